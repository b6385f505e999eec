"""launch.compare with real runs: stopped midway, resumed, one that fails, the table at the end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.reporting_samples import PNG, read_csv
from tests.tiny_runs import assert_same_run

ROOT = Path(__file__).resolve().parent.parent.parent
TINY_SET = """
from configs.comparisons import sinusoid

TINY = {
    "train.steps": 400, "adapt.steps": 3, "train.jit": "off", "train.meta_batch_size": 2,
    "train.task_axis": "sequential", "train.log_every": 20, "train.checkpoint_every": 100,
}

def get_config():
    config = sinusoid.get_config()
    names = ("maml", "sigma_maml")
    config.runs = [{"config": f"configs/sinusoid.py:{n}", "overrides": TINY} for n in names]
    config.seeds = [0, 1]
    config.evaluate = {"num_tasks": 10, "horizon": 1, "kinds": ["all", "selected"]}
    config.evaluate_others = None
    return config
"""
FAILS = """
def get_config(inner=get_config):
    config = inner()
    overrides = {**TINY, "adapt.learning_rate": 1e38}
    config.runs = [{"config": "configs/sinusoid.py:fomaml", "overrides": overrides}]
    config.seeds = [0]
    return config
"""
NAMES = ("maml_seed0", "sigma_maml_seed0", "maml_seed1", "sigma_maml_seed1")


def start(tmp_path: Path, *arguments: str, text: str = TINY_SET) -> subprocess.Popen[str]:
    (tmp_path / "tiny.py").write_text(text)
    command = [sys.executable, "-m", "launch.compare", f"--set={tmp_path / 'tiny.py'}"]
    command += [f"--out={tmp_path / 'out'}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=3600)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    return out, err


def times(tmp_path: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in tmp_path.glob("out/runs/*/evaluation.json")]


@pytest.mark.slow
def test_a_comparison_that_is_stopped_and_resumed(tmp_path):
    process = start(tmp_path, "--jobs=2")
    workdir = tmp_path / "out" / "runs" / "maml_seed0"
    while not (workdir / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = finish(process, 42)
    assert "maml_seed0: stopped" in out and "error: Stopped; the same command goes on" in err
    assert not (tmp_path / "out" / "methods.md").exists()

    out, _ = finish(start(tmp_path, "--jobs=2"))
    assert "4 of 4 runs done, 0 running, 0 failed" in out
    assert "resuming at meta-step" in (workdir / "run.log").read_text()
    assert {path.name for path in workdir.parent.iterdir()} == set(NAMES)
    table = (tmp_path / "out" / "methods.md").read_text(encoding="utf-8")
    assert "over seeds (Student's t; 10 held-out tasks each)" in table
    assert "| MAML | 2/2 |" in table and "| σ-MAML | 2/2 |" in table
    assert (tmp_path / "out" / "methods.png").read_bytes().startswith(PNG)
    rows = read_csv(tmp_path / "out" / "methods.csv")
    assert [row["method"] for row in rows] == ["MAML", "σ-MAML"]
    assert rows[0]["adapter_bytes_min"] == "7044" and rows[0]["task_specific_modules"] == ""
    found = [word.split(":") for word in rows[1]["task_specific_modules"].split()]
    assert sum(int(count) for _, count in found) == 4  # Two modules (top_k), two seeds.
    assert all(row["meta_steps"] == "400" for row in rows)
    assert all(float(row["peak_rss_mib"]) > 100 for row in rows)
    evaluation = json.loads((workdir / "evaluation.json").read_text())
    assert (evaluation["meta_step"], evaluation["num_tasks"]) == (400, 10)

    before = times(tmp_path)
    out, _ = finish(start(tmp_path))  # Nothing is left to do.
    assert times(tmp_path) == before and "All 4 runs are done already." in out

    alone = tmp_path / "alone"
    flags = (workdir / "run.log").read_text().splitlines()[0].split()[4:]
    train = [sys.executable, "-m", "launch.train", *flags, f"--workdir={alone}"]
    subprocess.run(train, cwd=ROOT, check=True, capture_output=True)
    assert_same_run(alone, workdir)


WITH_DATA = """
from ml_collections import ConfigDict

TINY = {
    "task.data_dir": "DATA", "model.hidden": [2], "train.steps": 2, "train.meta_batch_size": 1,
    "train.jit": "off", "adapt.steps": 1, "train.task_axis": "sequential",
}

def get_config():
    runs = [{"config": f"configs/arrays.py:{n}", "overrides": TINY} for n in ("fomaml", "reptile")]
    evaluate = {"kinds": ["all"], "horizon": 1}
    return ConfigDict({"name": "data", "seeds": [0], "runs": runs, "evaluate": evaluate})
"""


def write_tasks(folder: Path, slope: float) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(5):
        x = np.linspace(-1, 1, 6, dtype=np.float32)[:, np.newaxis]
        np.savez(folder / f"task_{number}.npz", inputs=x, targets=slope * number * x)


@pytest.mark.programs
def test_runs_on_data_are_done_once_and_not_mixed_with_those_on_others(tmp_path):
    write_tasks(tmp_path / "data", slope=1.0)
    text = WITH_DATA.replace("DATA", str(tmp_path / "data"))
    out, _ = finish(start(tmp_path, "--jobs=1", text=text))
    assert "2 of 2 runs done" in out
    table = (tmp_path / "out" / "methods.md").read_text(encoding="utf-8")
    assert "| FOMAML |" in table and "| Reptile |" in table
    log = tmp_path / "out" / "runs" / "fomaml_seed0" / "run.log"
    before, said = times(tmp_path), log.read_text()
    assert len(before) == 2
    out, _ = finish(start(tmp_path, "--jobs=1", text=text))
    assert "All 2 runs are done already." in out
    assert (times(tmp_path), log.read_text()) == (before, said)

    write_tasks(tmp_path / "data", slope=2.0)
    shutil.rmtree(tmp_path / "out" / "runs" / "reptile_seed0")
    out, _ = finish(start(tmp_path, "--jobs=1", "--only=reptile", text=text))
    assert "Not in the table, made with other data than reptile_seed0: fomaml_seed0." in out
    _, err = finish(start(tmp_path, "--jobs=1", text=text), 1)
    assert "fomaml_seed0 failed (exit code 2)" in err and "another config: data: " in err


def test_a_run_that_fails(tmp_path):
    out, err = finish(start(tmp_path, text=TINY_SET + FAILS), 1)
    said = "fomaml_seed0 failed (exit code 1): No task of 10 meta-steps in a row stayed finite"
    assert said in out and said in err
    assert err.endswith("error: 1 of 1 runs failed; the same command tries them again.\n")
    assert not (tmp_path / "out" / "methods.md").exists()
