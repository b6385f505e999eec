"""benchmarks/scaling.py: slopes by hand, and a row as its process measures it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling import Row

ROOT = Path(__file__).resolve().parents[2]


def found(by: str, curve: str, times: dict[int, float]) -> dict:
    return {Row(curve, by, value): {"ms": ms, "mib": 100.0} for value, ms in times.items()}


def test_slopes_by_hand():
    assert scaling.slope([3.0, 30.0, 300.0], [1, 10, 100]) == pytest.approx(1)
    assert scaling.slope([5.0, 5.0], [1, 8]) == pytest.approx(0)
    assert scaling.slope([1.0, 4.0, 16.0], [1, 2, 4]) == pytest.approx(2)


def test_table_and_picture(tmp_path):
    measured = found("tasks", "sequential", {4: 40.0, 1: 10.0}) | found("width", "x", {40: 1.0})
    lines = scaling.table(measured)
    assert lines[2] == "| tasks | sequential | 1, 4 | 10, 40 | 1.00 | 100, 100 |"
    assert lines[3] == "| width | x | 40 | 1 |  | 100 |"
    scaling.draw(measured, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_no_row_is_measured_twice_and_all_differ(tmp_path, monkeypatch, capsys):
    rows = scaling.rows()
    assert len(set(rows)) == len(rows) == 36
    state = tmp_path / "state.jsonl"
    lines = [{"row": row._asdict(), "found": {"ms": 1.0, "mib": 1.0}} for row in rows]
    state.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(sys, "argv", ["scaling", f"--state={state}", f"--out={tmp_path / 'out'}"])
    scaling.main()
    assert "| replicas | 4 tasks | 1, 2, 4 |" in capsys.readouterr().out
    assert (tmp_path / "out" / "scaling.md").exists()


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"replicas": 2}, {"workers": 2}])
def test_a_row_of_two_measures_itself(more, monkeypatch):
    monkeypatch.chdir(ROOT)
    measured = scaling.measured_apart(Row("x", "x", 2, tasks=2, steps=3, **more))
    assert measured["ms"] > 0 and measured["mib"] >= 0  # A peak may have been before.
