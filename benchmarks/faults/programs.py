"""R2 and R6 for the programs beside launch.train: signals and full disks, then the same command."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.faults.processes import Ended, flags, run
from benchmarks.faults.results import Row
from benchmarks.faults.runs import ALLOWED_SECONDS, SIGNALS, Runs, training_flags

STOPPED, FULL = 42, 4
TRIES = 5  # Instants for each signal, which must hit the program before it has ended.
SET = """
from configs.comparisons import sinusoid

def get_config():
    config = sinusoid.get_config()
    config.runs = [{{"config": "configs/sinusoid.py:fomaml", "overrides": {overrides!r}}}]
    config.seeds = [0]
    config.evaluate = {{"num_tasks": 2, "horizon": 1, "kinds": ["all"]}}
    config.evaluate_others = None
    return config
"""


class Case(NamedTuple):
    """A program that writes into a folder.

    arguments: folder -> its flags. prepare: makes the folder, where it must be there before. ends:
    whether it ends by itself. writes: whether a full disk is tried too.
    """

    program: str
    arguments: Callable[[str], list[str]]
    prepare: Callable[[str], object] = lambda folder: None
    ends: bool = True
    writes: bool = True


def cases(runs: Runs) -> dict[str, Case]:
    """Every program but launch.train, on one trained run and what is made of it."""
    trained, tasks = runs.trained(), runs.made("tasks", "export.tasks", count=3)
    backbone = runs.made(
        "backbone", "export.backbone", num_tasks=1, modules="layer_3/kernel,layer_3/bias"
    )
    adapters = os.path.join(runs.folder, "adapters")
    enrolment = flags(backbone=backbone, data=tasks)

    def copied(folder: str) -> None:
        shutil.copytree(trained, folder)

    def evaluated(folder: str) -> None:
        shutil.copytree(runs.evaluated(), folder)

    def declared(folder: str) -> list[str]:
        path = os.path.join(runs.folder, "one_run.py")
        overrides = dict(f.lstrip("-").split("=") for f in training_flags())
        with open(path, "w", encoding="utf-8") as file:
            values = {k.removeprefix("config."): _value(v) for k, v in overrides.items()}
            file.write(SET.format(overrides=values))
        return flags(set=path, out=folder, jobs=1)

    searched = flags(config="configs/sinusoid.py:fomaml", config__search__num_trials=2)
    searched += [*training_flags(), "--config.search.steps=20"]
    one = Case("launch.adapt", lambda folder: [*enrolment, f"--out={folder}"])
    if not os.path.exists(adapters):
        _expect(run(one.program, one.arguments(adapters)), 0)
    listed = [
        Case("launch.evaluate", lambda folder: flags(workdir=folder), copied),
        Case("launch.report", lambda folder: flags(workdir=folder), evaluated),
        Case("export.backbone", lambda folder: flags(workdir=trained, out=folder, num_tasks=1)),
        Case(
            "export.litert",
            lambda folder: flags(workdir=trained, out=folder, adapt=True, examples=5),
        ),
        Case("export.tasks", lambda folder: flags(workdir=trained, out=folder, count=3)),
        one,
        Case("launch.sweep", lambda folder: [*searched, f"--workdir={folder}"]),
        Case("launch.compare", declared),
        Case(
            "launch.serve",
            lambda folder: flags(backbone=backbone, adapters=adapters, port=0),
            ends=False,
            writes=False,
        ),
    ]
    return {case.program: case for case in listed}


def _value(text: str) -> object:
    return int(text) if text.isdecimal() else text


def _expect(ended: Ended, code: int) -> None:
    if ended.code != code:
        raise RuntimeError(f"ended with {ended.code}: {ended.output[-500:]}")


def stopped(runs: Runs, program: str, count: int) -> Row:
    """R2: signals at random seconds; then the same command ends."""
    case, folder = cases(runs)[program], os.path.join(runs.folder, f"stopped_{program}")
    case.prepare(f"{folder}_whole")
    seconds = 4.0  # By then a server serves.
    if case.ends:
        whole = run(program, case.arguments(f"{folder}_whole"))
        _expect(whole, 0)
        seconds = whole.seconds
    after, bad = [], []
    for turn in range(TRIES * count):
        if len(after) == count:
            break
        place, number = f"{folder}_{turn}", SIGNALS[turn % 3 if case.ends else 0]
        case.prepare(place)
        at = runs.random.uniform(0.02, 1.0 if case.ends else 1.5) * seconds
        ended = run(program, case.arguments(place), number=number, at=at)
        if ended.seconds_after is None or (ended.code == 0 and case.ends):
            continue  # It had ended before: another time.
        after.append(ended.seconds_after)
        codes = (STOPPED,) if case.ends else (STOPPED, 0)
        if ended.code not in codes or "Traceback" in ended.output:
            bad.append(f"{number.name} at {at:.1f} s: {ended.code}")
        elif case.ends and (again := run(program, case.arguments(place))).code:
            bad.append(f"the same command: {again.code}")
    slowest = max(after, default=0.0)
    found = f"{len(after) - len(bad)}/{len(after)}; at most {slowest:.2f} s of the processor"
    met = len(after) == count and not bad and slowest <= ALLOWED_SECONDS
    goal = "exit 42, no traceback, the same command goes on; <= 2 s"
    return Row("R2", f"signals in {program}", goal, "; ".join([found, *bad[:3]]), met)


def full(runs: Runs, program: str, shares: Sequence[float]) -> Row:
    """R6: no file may grow beyond shares of the largest that the program writes."""
    case, folder = cases(runs)[program], os.path.join(runs.folder, f"full_{program}")
    place = f"{folder}_whole"
    case.prepare(place)
    before = set(_files(place))
    _expect(run(program, case.arguments(place)), 0)
    written = {path: size for path, size in _files(place).items() if path not in before}
    largest, bad = max(written.values()), []
    for share in shares:
        shutil.rmtree(place, ignore_errors=True)
        case.prepare(place)
        limit = int(share * largest)
        ended = run(program, case.arguments(place), limits={resource.RLIMIT_FSIZE: limit})
        wrong = [path for path in _files(place) if path.endswith((".tmp", "_temp"))]
        wrong += [
            path
            for path, size in _files(place).items()
            if not size and written.get(path) and os.path.basename(path) != ".lock"
        ]
        if ended.code not in (0, FULL) or "Traceback" in ended.output or wrong:
            bad.append(f"limit {limit}: {ended.code} {' '.join(wrong[:2])}")
        elif (again := run(program, case.arguments(place))).code:
            bad.append(f"limit {limit}, then with room: {again.code}")
    what = f"no room for the files of {program}, {len(shares)} limits"
    goal = "exit 4, nothing half-written; with room the same command ends"
    found = "; ".join([f"{len(shares) - len(bad)}/{len(shares)}", *bad[:3]])
    return Row("R6", what, goal, found, not bad)


def _files(folder: str) -> dict[str, int]:
    """{path below the folder: bytes}."""
    return {
        os.path.relpath(os.path.join(top, name), folder): os.path.getsize(os.path.join(top, name))
        for top, _, names in os.walk(folder)
        for name in names
    }


PROGRAMS = (
    "launch.evaluate",
    "launch.report",
    "export.backbone",
    "export.litert",
    "export.tasks",
    "launch.adapt",
    "launch.sweep",
    "launch.compare",
    "launch.serve",
)


def rows(runs: Runs, program: str, *, count: int, shares: Sequence[float]) -> Iterator[Row]:
    """Both for one program."""
    yield stopped(runs, program, count)
    if cases(runs)[program].writes:
        yield full(runs, program, shares)
