"""An evaluation that is killed, as a user runs it, goes on and ends as if nobody had killed it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

from meta_shrink.experiments.evaluation_parts import FOLDER
from tests.system.test_programs import LINEAR, run, settings, start


def found(workdir: Path) -> dict:
    evaluation = json.loads((workdir / "evaluation.json").read_text())
    del evaluation["environment"]
    return evaluation


def test_a_killed_evaluation_goes_on(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run("train", LINEAR, *settings(2), f"--workdir={whole}")
    shutil.copytree(whole, killed)
    options = ["--num_tasks=300", "--group_tasks=120", "--kinds=all,single"]
    done = run("evaluate", f"--workdir={whole}", *options)
    assert "adaptation steps: " in done.stderr and "(100 %)" in done.stderr
    for sign in (signal.SIGKILL, signal.SIGTERM):
        process = start("evaluate", f"--workdir={killed}", *options)
        before = len(list((killed / FOLDER).glob("*.npz")))
        while process.poll() is None and len(list((killed / FOLDER).glob("*.npz"))) <= before:
            time.sleep(0.005)
        process.send_signal(sign)
        process.communicate()
    was_whole = (killed / "evaluation.json").exists()  # It was quicker than the signal.
    again = run("evaluate", f"--workdir={killed}", *options)
    assert was_whole or "Going on where it was stopped" in again.stdout
    assert found(killed) == found(whole) and not (killed / FOLDER).exists()
