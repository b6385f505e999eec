"""S1 to S6 and S9: the figures of benchmarks.serving, on the backbone of a small trained run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.faults.processes import flags
from benchmarks.faults.results import Row, not_measured

MET = {"yes": True, "no": False, "": None}
CELLS = 5


def rows(backbone: str, figures: str, *, rows: int, **options: object) -> Iterator[Row]:
    """The lines of its table; it says itself which goals are met.

    Args:
      figures: with commas. rows, options: of benchmarks.serving.
    """
    arguments = flags(
        backbone=backbone,
        only=figures,
        rows=rows,
        swap_rows=10 * rows,
        loads=max(20, rows // 10),
        capacity=32,
        cpu_threads=1,
        **options,
    )
    command = [sys.executable, "-m", "benchmarks.serving", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(of_table(done.stdout))
    yield from found
    why = done.stderr.strip().replace("\n", " ")[-200:]
    for figure in figures.split(","):
        if not any(row.figure == figure for row in found):
            yield not_measured(figure, "benchmarks.serving", "", f"it ended with: {why}")


def of_table(text: str) -> Iterator[Row]:
    """The lines of figures in a table that benchmarks.serving prints."""
    for line in text.splitlines():
        cells = [
            cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")
        ]
        if len(cells) == CELLS and cells[0].startswith("S"):
            figure, case, value, goal, met = cells
            yield Row(figure, case, goal, value, MET[met])
