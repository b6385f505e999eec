"""The program on several devices and in several processes: the run of one device, one writer.

Two processes on this machine are joined over TF_CONFIG, as those of two machines are.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.free_ports import free_ports
from configs import sinusoid
from meta_shrink import build, open_workdir, restore, train
from meta_shrink.experiments.train import set_up
from tests.system.test_programs import assert_one_error, rows_in, settings, start, wait_for_row
from tests.tiny_runs import NO_LOG, assert_same_run, mostly_slow, tiny_config

ROOT = Path(__file__).resolve().parent.parent.parent
ALGORITHMS = [name for name in sinusoid.ALGORITHMS if name != "demo"]
KILLS = 20
HANGS = 3600  # seconds; no verdict hangs on how fast the machine is
STEPS = {"train.meta_batch_size": 4, "train.checkpoint_every": 10, "train.log_every": 5}
# A program on a machine that has several devices; there is no flag for what only a test wants.
ON_DEVICES = """
import runpy, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
count = int(sys.argv[1])
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
sys.argv = [f"launch.{sys.argv[2]}", *sys.argv[3:]]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def start_workers(
    *arguments: str,
    others: Sequence[str] = (),
    program: str = "train",
    environment: Mapping[str, str] = os.environ,
) -> list[subprocess.Popen]:
    """Two processes; the second has these arguments too."""
    hosts, processes = [f"127.0.0.1:{port}" for port in free_ports(2)], []
    for index, more in enumerate(((), others)):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        own = {**environment, "TF_CONFIG": json.dumps(config)}
        flags = ["--strategy=multi_worker", *arguments, *more]
        processes.append(start(program, *flags, env=own))
    return processes


def ends(processes, code: int = 0) -> list[tuple[str, str]]:
    """What each process printed, once all have ended."""
    printed = [process.communicate(timeout=HANGS) for process in processes]
    assert [process.returncode for process in processes] == [code] * len(printed), printed
    return printed


def config_of(algorithm: str, steps: int = 20) -> list[str]:
    """Settings under which rounding stays small.

    Damped so far that no solve meets negative curvature, and MAML in smaller meta-steps: one last
    bit of one kernel grows to 8e-3 of phi within 20 of its own, on one device.
    """
    config = sinusoid.get_config(algorithm)
    damped = {"algorithm.damping": 100.0} if "damping" in config.algorithm else {}
    calm = {"meta_optimizer.phi.learning_rate": 3e-4} if algorithm == "maml" else {}
    more = settings(steps, **STEPS, **damped, **calm)
    return [f"--config=configs/sinusoid.py:{algorithm}", *more]


def vector(values) -> np.ndarray:
    return np.concatenate([value.numpy().ravel() for value in tf.nest.flatten(values)])


def assert_same_but_for_rounding(workdir: Path) -> None:
    """phi, sigma^2 and log alpha of a run are those of its config on one device, to 1e-5."""
    experiment, found, step = restore(str(workdir), **NO_LOG)
    training = set_up(experiment, tf.distribute.get_strategy())
    done = 0
    while done < step:  # In chunks a call is one meta-step.
        done += training.run(step - done)
    expected = training.state.meta()
    for name in experiment.learned:
        got, wanted = (vector(getattr(meta, name)) for meta in (found, expected))
        if name == "log_sigma2":
            got, wanted = np.exp(got), np.exp(wanted)
        assert np.linalg.norm(got - wanted) <= 1e-5 * np.linalg.norm(wanted), name


@pytest.mark.parametrize("algorithm", mostly_slow(ALGORITHMS, "sigma_reptile"))
def test_two_processes_are_one_and_the_chief_alone_writes(algorithm, tmp_path):
    arguments = [*config_of(algorithm), f"--workdir={tmp_path / 'run'}"]
    (chief, _), (other, _) = ends(start_workers(*arguments))
    assert "from the start" in chief and other == ""
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [5, 10, 15, 20]
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert_same_but_for_rounding(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_devices_of_one_process_are_one(algorithm, count, tmp_path):
    arguments = [*config_of(algorithm), f"--workdir={tmp_path}", "--strategy=mirrored"]
    command = [sys.executable, "-c", ON_DEVICES, str(count), "train", *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    assert_same_but_for_rounding(tmp_path)


def steps_in(text: str) -> set[int]:
    return {int(step) for step in re.findall(r"meta-step (\d+)", text)}


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_one_step_and_one_device_goes_on(tmp_path):
    arguments = [*config_of("sigma_reptile", 10**6), f"--workdir={tmp_path}"]
    processes = start_workers(*arguments)
    wait_for_row(tmp_path, processes[0], 2)
    processes[1].send_signal(signal.SIGTERM)
    printed = ends(processes, 42)
    (step,) = steps_in("".join(error for _, error in printed))
    alone = start("train", *arguments, "--strategy=one")
    wait_for_row(tmp_path, alone, (tmp_path / "metrics.jsonl").read_text().count("\n"))
    alone.send_signal(signal.SIGTERM)
    ((out, _),) = ends([alone], 42)
    assert f"resuming at meta-step {step};" in out


@pytest.mark.slow
def test_a_killed_process_ends_the_others_resumable(tmp_path):
    arguments = [*config_of("sigma_reptile", 10**6), f"--workdir={tmp_path}"]
    processes = start_workers(*arguments)
    wait_for_row(tmp_path, processes[0], 2)
    processes[1].kill()
    ((_, error),) = ends(processes[:1], 42)
    processes[1].communicate(timeout=HANGS)
    assert_one_error(error, "Another process of this job ended")


@pytest.mark.slow
def test_a_job_whose_processes_are_killed_again_and_again_ends_as_one_that_is_not(tmp_path):
    """Either of two, at random moments; each time both are started anew."""
    arguments = config_of("sigma_reptile", 20 * STEPS["train.log_every"] * KILLS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ends(start_workers(*arguments, f"--workdir={whole}"))
    chance = random.Random(0)
    for _ in range(KILLS):
        more, processes = chance.randrange(16), start_workers(*arguments, f"--workdir={killed}")
        wait_for_row(killed, processes[0], rows_in(killed) + more)
        time.sleep(0.2 * chance.random())
        victim = processes.pop(chance.randrange(2))
        victim.kill()
        victim.communicate(timeout=HANGS)
        ends(processes, 42)
    ends(start_workers(*arguments, f"--workdir={killed}"))
    assert_same_run(killed, whole)


@pytest.mark.slow
def test_processes_with_different_settings_are_refused(tmp_path):
    arguments = [*config_of("sigma_reptile"), f"--workdir={tmp_path / 'run'}"]
    for _, error in ends(start_workers(*arguments, others=["--config.seed=7"]), 2):
        assert_one_error(error, "differ in their config")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_evaluate_as_one(tmp_path):
    """Three held-out tasks: two for the first process, and one for the second."""
    experiment = build(tiny_config(changes={"train.steps": 5, "device.cpu_threads": 1}))
    with open_workdir(str(tmp_path), experiment.config, **NO_LOG) as workdir:
        train(experiment, workdir, **NO_LOG)
    flags = [f"--workdir={tmp_path}"]
    ends([start("evaluate", *flags, "--strategy=one")])
    one = json.loads((tmp_path / "evaluation.json").read_text())
    (chief, _), (other, _) = ends(start_workers(*flags, program="evaluate"))
    assert "all modules" in chief and other == ""
    both = json.loads((tmp_path / "evaluation.json").read_text())
    assert both["environment"] != one["environment"]
    assert len(both["schemes"]) == len(one["schemes"])
    for scheme, expected in zip(both["schemes"], one["schemes"], strict=True):
        for name in ("mean", "ci95"):
            np.testing.assert_allclose(scheme[name], expected[name], rtol=1e-6, atol=1e-7)


def test_without_a_tpu_the_program_says_so_and_writes_nothing(tmp_path):
    arguments = [*config_of("sigma_reptile"), f"--workdir={tmp_path / 'run'}"]
    ((_, error),) = ends([start("train", *arguments, "--strategy=tpu")], 2)
    assert_one_error(error, "found no TPU on this machine")
    assert not (tmp_path / "run").exists()
