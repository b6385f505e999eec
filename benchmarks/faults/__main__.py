"""Faults on real programs: kills, signals, full disks, flipped bits; R1 to R17 and S1 to S9.

    python -m benchmarks.faults [--nightly] [--only=R1,R3] [--out=docs/results/faults.md]

`make faults` runs the small size (10 minutes of two cores), `make faults NIGHTLY=1` the size of the
requirements. Each figure is measured in processes of its own, in a temporary folder. Exit code 1:
a goal was missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from benchmarks.faults import checkpoints, power, served, state
from benchmarks.faults.processes import apart
from benchmarks.faults.runs import ALGORITHMS, Row, Runs, goodput, kills, programs, signals


class Size(NamedTuple):
    """How much of everything."""

    kills: int
    algorithms: tuple[str, ...]
    signals: int
    fresh: int
    programs: int
    restarts: int
    flips: int
    every: int
    order: int
    soak_steps: int
    rows: int
    cycles: int


SMALL = Size(1, ALGORITHMS, 12, 6, 4, 1, 300, 256, 24, 4_000, 400, 400)
FULL = Size(25, ALGORITHMS, 50, 50, 50, 5, 4_000, 16, 500, 20_000, 20_000, 10_000)


def main() -> None:
    """Measure, print and write; see the module's docstring."""
    # Not absl's flags: the programs that run in forks of this process have their own.
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("--nightly", action="store_true", help="the size of the requirements")
    parser.add_argument("--only", default="", help="figures, with commas; all by default")
    parser.add_argument("--out", default="", help="Markdown file to write; none if empty")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    size = FULL if options.nightly else SMALL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for figures, measure in measures(folder, size):
            if only and not only & set(figures):
                continue
            found = apart(measure)
            if isinstance(found, str):
                found = [[figures[0], "", "", found, False]]
            rows += [Row(*row) for row in found]
            for row in rows[-len(found) :]:
                print(line(row), flush=True)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(page(rows, size))
    sys.exit(0 if all(row.met for row in rows) else 1)


def measures(folder: str, size: Size) -> Iterator[tuple[list[str], Callable[[], Any]]]:
    """(the figures, the function that measures them)."""
    runs = Runs(os.path.join(folder, "runs"))
    yield ["R1", "R12"], lambda: list(kills(runs, size.kills, size.algorithms))
    yield ["R2"], lambda: list(signals(runs, size.signals, size.fresh))
    yield ["R2", "S1", "S9"], lambda: list(programs(runs, size.programs))
    yield ["R16"], lambda: list(goodput(runs, size.restarts))
    yield (
        ["R3", "R4", "R5", "R6", "R10", "R11"],
        lambda: list(checkpoints.rows(folder, flips=size.flips, every=size.every)),
    )
    yield ["R13"], lambda: [power.power_loss(folder)]
    parts = state.rows(algorithms=size.algorithms, order=size.order, soak_steps=size.soak_steps)
    for figure, part in zip(("R7", "R8", "R9", "R14", "R17"), parts, strict=True):
        yield [figure], lambda part=part: [part()]
    backbone = os.path.join(runs.folder, "backbone_-1")
    yield (
        ["S1", "S2", "S3", "S4", "S5", "S6", "S9"],
        lambda: list(served.rows(backbone, rows=size.rows, cycles=size.cycles)),
    )


def line(row: Row) -> str:
    """One line of the table."""
    word = "yes" if row.met else "**no**"
    return f"| {row.figure} | {row.what} | {row.goal} | {row.found} | {word} |"


def page(rows: list[Row], size: Size) -> str:
    """The results as a page."""
    head = [
        "# Faults",
        "",
        "What the requirements ask of a run that is killed, stopped, damaged or out of disk, and "
        "of a server under load, measured on the real programs. Made by `make faults`"
        f"{' NIGHTLY=1' if size == FULL else ''}; `make faults NIGHTLY=1` has the sizes of the "
        "requirements.",
        "",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, TensorFlow {tf.__version__}. "
        "Seconds are those of the processor, so that a busy machine does not change them.",
        "",
        "| | what | goal | found | met |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *map(line, rows), ""])


if __name__ == "__main__":
    main()
