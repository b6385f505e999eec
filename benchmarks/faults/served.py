"""S1 to S6 and S9: the figures of benchmarks.serving, small, on the backbone of the killed runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.faults.processes import flags
from benchmarks.faults.runs import Row


def rows(backbone: str, *, rows: int, cycles: int) -> Iterator[Row]:
    """The lines of its table. Whether a goal is met is for the reader where it is about speed."""
    arguments = flags(
        backbone=backbone,
        rows=rows,
        rounds=1,
        resident="1,16,256",
        capacity=32,
        swap_rows=4 * rows,
        loads=max(20, rows // 20),
        cycles=cycles,
        only="S1,S2,S3,S4,S5,S6,S9",
        cpu_threads=1,
    )
    command = [sys.executable, "-m", "benchmarks.serving", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    for text in done.stdout.splitlines():
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("S"):
            figure, case, value, goal = cells
            yield Row(figure, case, goal, value, True)
    if done.returncode:
        yield Row("S", "benchmarks.serving", "ends", done.stderr.strip()[-200:], False)
