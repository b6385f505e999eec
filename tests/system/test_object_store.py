"""Programs on gs://, as a user runs them: a Google Cloud Storage on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fake_gcs import fake_gcs
from tests.system.test_replicas import ends, start_workers

ROOT = Path(__file__).resolve().parents[2]
CONFIG = (
    "--config=configs/gaussian_linear.py:sigma_reptile",
    "--config.device.cpu_threads=1",
    "--config.adapt.steps=3",
    "--config.train.jit=off",
    "--config.train.meta_batch_size=2",
    "--config.train.task_axis=sequential",
    "--config.train.log_every=20",
    "--config.train.checkpoint_every=20",
    "--config.eval.num_tasks=4",
    "--config.eval.horizon=2",
)
# A killed run's lease need not be waited for in a test; all else is the program.
QUICK = "from meta_shrink.remote.lease import Lease; Lease.__init__.__kwdefaults__['seconds'] = 1.0"
PROGRAM = QUICK + "; from runpy import run_module; run_module('{}', run_name='__main__')"


def start(environment: dict[str, str], program: str, *flags: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM.format(program), *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)


def run(environment: dict[str, str], program: str, *flags: str, code: int = 0) -> str:
    process = start(environment, program, *flags)
    out, err = process.communicate(timeout=3600)
    assert process.returncode == code, err
    return out + err


@pytest.fixture
def gcs():
    with fake_gcs() as found:
        yield found


@pytest.mark.slow
def test_a_killed_run_in_a_bucket_resumes(gcs, tmp_path):
    server, environment = gcs
    train = (*CONFIG, "--config.train.steps=200", "--workdir=gs://bucket/runs/one")
    process = start(environment, "launch.train", *train)
    while "runs/one/checkpoints/ckpt-40.sha256" not in server.objects:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    told = run(environment, "launch.train", *train)
    assert "has a lease of process" in told and "resuming at meta-step" in told
    assert "runs/one/checkpoints/ckpt-200.sha256" in server.objects
    assert "runs/one/.lease" not in server.objects
    local = str(tmp_path / "run")
    run(environment, "launch.train", *CONFIG, "--config.train.steps=200", f"--workdir={local}")
    metrics = Path(local, "metrics.jsonl").read_bytes()
    assert server.objects["runs/one/metrics.jsonl"][0] == metrics


@pytest.mark.slow
def test_a_run_in_a_bucket_is_evaluated_reported_and_exported(gcs):
    server, environment = gcs
    train = (*CONFIG, "--config.train.steps=20", "--workdir=gs://bucket/runs/one")
    run(environment, "launch.train", *train)
    before = dict(server.objects)
    run(environment, "launch.evaluate", "--workdir=gs://bucket/runs/one")
    assert server.objects.keys() - before.keys() == {"runs/one/evaluation.json"}
    assert all(server.objects[key] == value for key, value in before.items())
    run(environment, "launch.report", "--workdir=gs://bucket/runs/one")
    assert b"<html" in server.objects["runs/one/report/index.html"][0]
    exported = ("--workdir=gs://bucket/runs/one", "--out=gs://bucket/backbones/one")
    run(environment, "export.backbone", *exported, "--num_tasks=2", "--rule=top_k", "--value=1")
    assert "backbones/one/1/saved_model.pb" in server.objects
    assert not [key for key in server.objects if ".lease" in key or key.endswith(".tmp")]


@pytest.mark.slow
def test_a_stop_signal_saves_into_the_bucket(gcs):
    server, environment = gcs
    train = (*CONFIG, "--config.train.steps=100000", "--workdir=gs://bucket/run")
    process = start(environment, "launch.train", *train)
    while "run/checkpoints/ckpt-20.sha256" not in server.objects:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    run(environment, "launch.train", *train, code=2)  # In use.
    process.terminate()
    process.communicate(timeout=600)
    assert process.returncode == 42 and "run/.lease" not in server.objects


@pytest.mark.slow
def test_two_processes_share_a_bucket(gcs):
    """Each has a copy of its own."""
    server, environment = gcs
    flags = [*CONFIG, "--workdir=gs://bucket/run"]
    for steps in (20, 40):
        ends(start_workers(*flags, f"--config.train.steps={steps}", environment=environment))
        assert f"run/checkpoints/ckpt-{steps}.sha256" in server.objects
        flags.append("--allow_config_change")
    assert "run/.lease" not in server.objects


def test_a_bucket_that_refuses_ends_a_run_before_it_starts(gcs):
    server, environment = gcs
    server.fail.add("run/.lease")
    told = run(environment, "launch.train", *CONFIG, "--workdir=gs://bucket/run", code=4)
    assert "error: gs://bucket/run/.lease cannot be written" in told and not server.objects
    told = run(environment, "launch.train", *CONFIG, "--workdir=gs://none/run", code=4)
    assert "error: gs://none/run/.lease cannot be written" in told
    assert os.path.exists(ROOT) and not os.path.exists(ROOT / "gs:")
