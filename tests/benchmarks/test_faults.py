"""The fault measures, small: what they find is right, and a fault that is missed would show."""

from __future__ import annotations

import os

from benchmarks.faults import checkpoints
from benchmarks.faults.power import power_loss
from benchmarks.faults.runs import Runs


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
