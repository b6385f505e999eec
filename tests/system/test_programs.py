"""The programs as a user runs them: files, exit codes, kills, and one sentence per error."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs import gaussian_linear, sinusoid
from meta_shrink import open_workdir
from tests.tiny_runs import NO_LOG, assert_same_run, changed, mostly_slow

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = {
    "device.cpu_threads": 1,
    "adapt.steps": 3,
    "train.jit": "off",
    "train.meta_batch_size": 2,
    "train.task_axis": "sequential",
    "train.log_every": 20,
    "train.checkpoint_every": 100,
    "eval.num_tasks": 20,
    "eval.horizon": 2,
}
LINEAR = "--config=configs/gaussian_linear.py:sigma_reptile"


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"launch.{program}", *arguments]


def start(program: str, *arguments: str, **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(program, *arguments), cwd=ROOT, **pipes, **options)


def run(program: str, *arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess:
    process = start(program, *arguments, **options)
    out, err = process.communicate(timeout=3600)
    assert process.returncode == code, err
    return subprocess.CompletedProcess(process.args, code, out, err)


def settings(steps: int, **more) -> list[str]:
    options = SETTINGS | {"train.steps": steps} | more
    return [f"--config.{key}={value}" for key, value in options.items()]


def wait_for_row(workdir: Path, process: subprocess.Popen, rows: int) -> None:
    """Until metrics.jsonl has more rows than this."""
    file = workdir / "metrics.jsonl"
    while not file.exists() or file.read_bytes().count(b"\n") <= rows:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def rows_in(workdir: Path) -> int:
    file = workdir / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def kill_until_done(
    workdir: Path, arguments: list[str], kills: int, *signals: signal.Signals
) -> None:
    """Send the signals to the run at random instants, one a process, and let it finish at last."""
    chance = random.Random(str(arguments))
    for number in range(kills):
        process = start("train", *arguments, f"--workdir={workdir}")
        wait_for_row(workdir, process, rows_in(workdir))
        time.sleep(chance.uniform(0, 0.2))
        sent = signals[number % len(signals)]
        process.send_signal(sent)
        process.communicate(timeout=3600)
        expected = 42 if sent == signal.SIGTERM else -signal.SIGKILL
        assert process.returncode == expected
    run("train", *arguments, f"--workdir={workdir}")


def test_train_evaluate_report_and_kills(tmp_path):
    whole, cut_off = tmp_path / "whole", tmp_path / "cut_off"
    arguments = [LINEAR, *settings(800)]
    run("train", *arguments, f"--workdir={whole}")
    assert {"config.json", "metrics.jsonl", "timing.jsonl", "checkpoints"} <= {
        path.name for path in whole.iterdir()
    }
    again = run("train", *arguments, f"--workdir={whole}")
    assert "finished already" in again.stdout

    evaluated = run("evaluate", f"--workdir={whole}")
    assert "all modules" in evaluated.stdout
    assert json.loads((whole / "evaluation.json").read_text())["num_tasks"] == 20
    run("report", f"--workdir={whole}")
    assert (whole / "report" / "index.html").stat().st_size > 1000

    kill_until_done(cut_off, arguments, 2, signal.SIGTERM, signal.SIGKILL)
    assert_same_run(whole, cut_off)


# The program on a machine that has two devices; there is no flag for what only a test wants.
ON_TWO_DEVICES = """
import runpy, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.argv = ["launch.train", *sys.argv[1:]]
runpy.run_module("launch.train", run_name="__main__")
"""


@pytest.mark.parametrize(
    "algorithm",
    mostly_slow([name for name in sinusoid.ALGORITHMS if name != "demo"], "sigma_reptile"),
)
def test_mirrored_programs_agree_with_one_device(algorithm, tmp_path):
    arguments = [f"--config=configs/sinusoid.py:{algorithm}"]
    arguments += settings(3, **{"train.log_every": 1, "train.eval_every": 3})
    run("train", *arguments, f"--workdir={tmp_path / 'one'}", "--strategy=one")
    mirrored = [*arguments, f"--workdir={tmp_path / 'mirrored'}", "--strategy=mirrored"]
    process = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES, *mirrored], cwd=ROOT, text=True, capture_output=True
    )
    assert process.returncode == 0, process.stderr
    one, both = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "mirrored")
    )
    assert [row["step"] for row in both] == [1, 2, 3, 3]
    for row, expected in zip(both, one, strict=True):
        assert row.pop("kind") == expected.pop("kind")
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "algorithm",
    [name for name in sinusoid.ALGORITHMS if name != "demo"],
)
def test_killed_processes_end_bit_equal(algorithm, tmp_path):
    config = f"--config=configs/sinusoid.py:{algorithm}"
    arguments = [config, *settings(1500)]
    run("train", *arguments, f"--workdir={tmp_path / 'whole'}")
    both = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
    kill_until_done(tmp_path / "killed", arguments, 3, *both)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def limit_files() -> None:
    """A disk that takes small files only, where the file system's root quota would not do."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))


def own_config(steps: int) -> dict:
    config = gaussian_linear.get_config("sigma_reptile").to_dict()
    return changed(config, SETTINGS | {"train.steps": steps})


def test_a_full_disk_ends_the_run(tmp_path):
    with open_workdir(str(tmp_path / "run"), own_config(400), **NO_LOG):
        pass
    arguments = [LINEAR, *settings(400), f"--workdir={tmp_path / 'run'}"]
    # Else Python leaves truncated .pyc files behind for every later program.
    clean = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    failed = run("train", *arguments, code=4, preexec_fn=limit_files, env=clean)
    assert_one_error(failed.stderr, "could not be saved")
    run("train", *arguments)


def assert_one_error(stderr: str, part: str) -> None:
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and part in errors[0], stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("program", "arguments", "code", "part"),
    [
        ("train", [LINEAR, "--config.train.stepz=3"], 2, "stepz"),
        ("train", ["--config=configs/gaussian_linear.py:protonet"], 2, "protonet"),
        ("train", [LINEAR, "--config.device.cpu_threads=-1"], 2, "cpu_threads is -1"),
        ("train", [LINEAR, *settings(7), "--workdir=other"], 2, "train.steps"),
        ("train", [LINEAR, "--workdir=a_file"], 2, "a_file cannot be written"),
        ("train", [LINEAR, *settings(50, **{"adapt.learning_rate": 1e38})], 1, "stayed finite"),
        ("evaluate", ["--workdir=other"], 4, "no checkpoint"),
        ("report", ["--workdir=other"], None, "evaluat"),
        ("sweep", [LINEAR], 2, "0 ranges"),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(program, arguments, code, part, tmp_path):
    with open_workdir(str(tmp_path / "other"), own_config(5), **NO_LOG):
        pass
    (tmp_path / "a_file").write_text("in the way")
    arguments = [a.replace("--workdir=", f"--workdir={tmp_path}/") for a in arguments]
    if not any(a.startswith("--workdir=") for a in arguments):
        arguments = [*arguments, f"--workdir={tmp_path}/run"]
    process = start(program, *arguments)
    _, stderr = process.communicate(timeout=3600)
    assert process.returncode in ((2, 4) if code is None else (code,)), stderr
    assert_one_error(stderr, part)
    if code == 2:
        assert not os.path.exists(tmp_path / "run" / "config.json")
