"""The fault measures, small: what they find is right, and a fault that is missed would show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from benchmarks import serving_speed
from benchmarks.faults import checkpoints, processes
from benchmarks.faults.power import power_loss
from benchmarks.faults.results import Result, Results, Row, not_measured, page
from benchmarks.faults.runs import Runs
from benchmarks.faults.served import of_table


def test_the_measures_of_checkpoints(tmp_path):
    found = list(checkpoints.rows(str(tmp_path), flips=9, every=512))
    found.append(power_loss(str(tmp_path)))
    assert [row.figure for row in found] == ["R3", "R4", "R5", "R6", "R10", "R11", "R13"]
    assert all(row.met for row in found), found


def test_what_is_restored_is_told_apart(tmp_path):
    source = checkpoints.original(str(tmp_path))

    def restored(change) -> object:
        return checkpoints.restored_after(str(tmp_path), source, change)

    assert restored(lambda copy: None) == 10
    assert restored(lambda copy: os.remove(os.path.join(copy, "ckpt-10.index"))) == 5
    assert (
        restored(lambda copy: [os.remove(os.path.join(copy, n)) for n in os.listdir(copy)]) is None
    )


def test_leftovers_are_named(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for step in (1, 2, 3, 4):
        for ending in (".index", ".sha256", ".data-00000-of-00001"):
            (folder / f"ckpt-{step}{ending}").touch()
    (tmp_path / "run" / "metrics.jsonl.0123abcd.tmp").touch()
    left = Runs(str(tmp_path)).leftovers("run")
    assert left[0] == "metrics.jsonl.0123abcd.tmp" and len(left) == 4
    assert all(name.startswith("ckpt-1.") for name in left[1:])


ROWS = [
    Row("R1", "kills", "equal", "8/8", True),
    Row("S1", "256 resident", ">= 0.95", "0.89", False),
    not_measured("S7", "voices", "<= 1 %", "no speech yet"),
]


def test_results_are_kept_and_the_page_says_what_is_owed(tmp_path):
    results = Results(str(tmp_path))
    assert results.load("kills") is None
    results.save("kills", Result("small", "0123abc", 60.0, ROWS[1:0:-1] + ROWS[:1]))
    found = results.load("kills")
    assert found is not None and found == Result("small", "0123abc", 60.0, [ROWS[1], ROWS[0]])
    lines = page([found], ROWS[2:]).splitlines()[-3:]
    assert lines[0] == "| R1 | kills | equal | 8/8 | yes | 0123abc |"
    assert lines[1] == "| S1 | 256 resident | >= 0.95 | 0.89 | **no** | 0123abc |"
    assert lines[2] == "| S7 | voices | <= 1 % | not measured: no speech yet | – | – |"


def test_serving_figures_are_met_only_where_they_were_measured_so():
    text = """sinusoid: 6 modules
| figure | case | value | goal | met |
| S1 | 1 resident | 100 rows/s, 1.00 |  |  |
| S1 | 256 resident | 89 rows/s, 0.89 | >= 0.95 | no |
| S2 | 16 rows | max error 0 | bit-equal | yes |
"""
    assert [(row.figure, row.met) for row in of_table(text)] == [
        ("S1", None), ("S1", False), ("S2", True)
    ]  # fmt: skip


@pytest.mark.parametrize(("rates", "met"), [([95.0, 80.0, 99.0], True), ([94.0] * 3, False)])
def test_the_goal_of_a_ratio_is_for_the_median_of_rounds(rates, met):
    line = serving_speed._line("S1", "256 resident", rates, [100.0] * 3, 0.95)
    assert line.met is met and line.value.endswith("0.95" if met else "0.94")


def test_seconds_are_of_a_process_and_its_children():
    work = "import time\nwhile time.process_time() < 0.3: pass\n"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {work!r}])\n{work}"
    program += "print('worked', flush=True)\ninput()"
    command, pipe = [sys.executable, "-c", program], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None and process.stdout.readline() == b"worked\n"
        seconds = processes._processor_seconds(process.pid)
        process.send_signal(signal.SIGKILL)
    assert seconds is not None and seconds >= 0.5
