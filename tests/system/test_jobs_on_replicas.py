"""Searches and long adaptation on several devices and in several processes, as a user runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.system.test_programs import assert_one_error
from tests.system.test_replicas import (
    ON_DEVICES,
    ROOT,
    assert_same_but_for_rounding,
    config_of,
    ends,
    start_workers,
    steps_in,
)

IN_CHUNKS = "--config.train.chunk_steps=2"  # Of three steps.


@pytest.mark.slow
def test_a_search_on_two_devices_comes_to_what_one_device_does(tmp_path):
    """As a user runs it; a search of several processes is refused before anything is written."""
    settings = [*config_of("reptile", 1), "--config.search.num_trials=2", "--config.search.steps=5"]
    values = []
    for count, strategy in ((1, "one"), (2, "mirrored")):
        arguments = [*settings, f"--workdir={tmp_path / strategy}", f"--strategy={strategy}"]
        command = [sys.executable, "-c", ON_DEVICES, str(count), "sweep", *arguments]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=600)
        assert done.returncode == 0, done.stderr
        rows = json.loads((tmp_path / strategy / "trials.json").read_text())
        values.append([row["metric"] for row in rows])
    assert len(values[0]) == 2
    np.testing.assert_allclose(values[1], values[0], rtol=1e-5)
    joined = [*settings, f"--workdir={tmp_path / 'joined'}"]
    for _, error in ends(start_workers(*joined, program="sweep"), 2):
        assert_one_error(error, "start the same command with --strategy=one and one folder in each")
    assert not (tmp_path / "joined").exists()


@pytest.mark.slow
def test_two_processes_in_chunks_are_one(tmp_path):
    ends(start_workers(*config_of("sigma_reptile"), IN_CHUNKS, f"--workdir={tmp_path}"))
    assert_same_but_for_rounding(tmp_path)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_between_two_chunks(tmp_path):
    """Within a meta-step that would take hours: nothing but a chunk lets it hear the signal."""
    endless = ["--config.adapt.steps=1_000_000_000", f"--workdir={tmp_path}"]
    processes = start_workers(*config_of("sigma_reptile"), *endless)
    stdout = processes[0].stdout
    assert stdout is not None and "from the start" in stdout.readline()
    processes[1].send_signal(signal.SIGTERM)
    printed = ends(processes, 42)
    assert steps_in("".join(error for _, error in printed)) == {0}
