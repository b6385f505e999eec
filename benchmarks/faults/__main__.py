"""Faults on real programs: kills, signals, full disks, flipped bits; R1 to R17 and S1 to S9.

    python -m benchmarks.faults [--nightly] [--only=R1,R3] [--state=FOLDER] [--out=FILE.md]

`make faults` runs the small size (about 20 minutes of one core), `make faults NIGHTLY=1` the full
one, in hours. Parts run one after another, each in processes of its own. What a part found
is kept in --state, and a part that has been measured at this commit and in this size is not
measured again: cut off, the same command goes on. --page writes the page of what is there, of
whichever commit, and measures nothing. Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.commit import present_commit
from benchmarks.faults import checkpoints, enrolled, power, programs, served, state, writes
from benchmarks.faults.processes import apart
from benchmarks.faults.results import (
    Result,
    Results,
    Row,
    line,
    not_measured,
    page,
)
from benchmarks.faults.runs import ALGORITHMS, Runs, goodput, kills, signals


class Size(NamedTuple):
    """How much of everything."""

    name: str
    kills: int
    signals: int
    fresh: int
    programs: int
    shares: tuple[float, ...]
    restarts: int
    flips: int
    every: int
    all_errors: bool
    order: int
    soak_steps: int
    rows: int
    rounds: int
    cycles: int
    resident: str


SMALL = Size(
    name="small",
    kills=1,
    signals=12,
    fresh=6,
    programs=3,
    shares=(0.0, 0.6),
    restarts=1,
    flips=300,
    every=256,
    all_errors=False,
    order=24,
    soak_steps=4_000,
    rows=2_000,
    rounds=3,
    cycles=1_000,
    resident="1,16,256,1024",
)
FULL = Size(
    name="nightly",
    kills=25,
    signals=50,
    fresh=50,
    programs=50,
    shares=(0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99),
    restarts=5,
    flips=4_000,
    every=16,
    all_errors=True,
    order=500,
    soak_steps=20_000,
    rows=20_000,
    rounds=7,
    cycles=10_000,
    resident="1,16,64,256,1024",
)
# S3 and S6 are about bytes: of an adapter of 1.6 MB.
SERVING, LARGE = (("S1", "S2"), ("S3",), ("S4",), ("S5",), ("S6",), ("S9",)), ("S3", "S6")
OWED = (
    not_measured(
        "R15", "checkpoints of the version before", "100 % are read", "0.1.0 is the first version"
    ),
    not_measured(
        "S7",
        "similarity of voices at 5 sizes of adapters",
        "<= 1 % less than all modules",
        "by benchmarks.voice_quality instead: voices_size.md",
    ),
)


def main() -> None:
    """Measure, print and write; see the module's docstring."""
    # Not absl's flags: the programs that run in forks of this process have their own.
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    parser.add_argument("--nightly", action="store_true", help="the full size, hours")
    parser.add_argument("--only", default="", help="figures or parts, with commas; else all")
    parser.add_argument("--state", default="runs/faults", help="folder of what was found")
    parser.add_argument("--out", default="", help="Markdown file to write; none if empty")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    size, results = FULL if options.nightly else SMALL, Results(options.state)
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, figures, measure in parts(folder, size):
            result = results.load(name)
            wanted = not only or only & {name, *figures}
            if not options.page and wanted and not _is_current(result, size):
                result = measured(figures[0], size, measure)
                results.save(name, result)
            for row in result.rows if result and (wanted or options.page) else ():
                print(line(row, result.commit if result else ""), flush=True)
            found += [result] if result else []
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(page(found, OWED))
    sys.exit(0 if all(row.met is not False for result in found for row in result.rows) else 1)


def _is_current(result: Result | None, size: Size) -> bool:
    """Whether it is of this size and commit, and no file differs from the commit."""
    commit = present_commit()
    is_of_it = result is not None and (result.size, result.commit) == (size.name, commit)
    return is_of_it and not commit.endswith("+")


def measured(figure: str, size: Size, measure: Callable[[], Any]) -> Result:
    """What a part finds in a process of its own."""
    commit, before = present_commit(), _seconds()
    rows = apart(measure)
    if isinstance(rows, str):
        rows = [[figure, "this part of the measures", "ends", rows, False]]
    return Result(size.name, commit, _seconds() - before, [Row(*row) for row in rows])


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parts(folder: str, size: Size) -> Iterator[tuple[str, tuple[str, ...], Callable[[], Any]]]:
    """(name, the figures, the function that measures them)."""
    runs = Runs(f"{folder}/runs")
    yield "kills", ("R1", "R12"), lambda: list(kills(runs, size.kills, ALGORITHMS))
    yield "signals", ("R2",), lambda: list(signals(runs, size.signals, size.fresh))
    for program in programs.PROGRAMS:
        yield (
            program,
            ("R2", "R6"),
            lambda program=program: list(
                programs.rows(runs, program, count=size.programs, shares=size.shares)
            ),
        )
    yield "goodput", ("R16",), lambda: list(goodput(runs, size.restarts))
    yield (
        "checkpoints",
        ("R3", "R4", "R5", "R6", "R10", "R11"),
        lambda: list(checkpoints.rows(folder, flips=size.flips, every=size.every)),
    )
    yield "calls", ("R6",), lambda: [writes.failing_calls(folder, all_errors=size.all_errors)]
    yield "power", ("R13",), lambda: [power.power_loss(folder)]
    yield "state", ("R7",), lambda: [state.completeness(ALGORITHMS)]
    yield "order", ("R8",), lambda: [state.data_order(size.order)]
    yield "nonfinite", ("R9",), lambda: [state.not_a_number(ALGORITHMS)]
    yield "replicas", ("R14",), lambda: state.replicas(5)
    yield "soak", ("R17",), lambda: [state.soak(size.soak_steps)]
    small = {"num_tasks": 1, "modules": "layer_3/kernel,layer_3/bias"}
    for figures in SERVING:
        is_large = figures[0] in LARGE
        options = {"rows": size.rows, "rounds": size.rounds, "resident": size.resident}
        options["cycles"] = size.cycles // 5 if is_large else size.cycles

        def measure(figures=figures, is_large=is_large, options=options) -> list[Row]:
            if is_large:
                backbone = enrolled.speaker_backbone(folder)
            else:
                backbone = runs.made("backbone", "export.backbone", **small)
            encoding = "f16" if is_large else "f32"
            return list(served.rows(backbone, ",".join(figures), encoding=encoding, **options))

        yield f"serving_{figures[0]}", figures, measure
    yield "enrolment", ("S7", "S8"), lambda: list(enrolled.rows(folder, rounds=size.rounds))


if __name__ == "__main__":
    main()
