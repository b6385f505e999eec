"""Figures S1 (resident adapters) and S5 (working sets): rows per second, in rounds by turns."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks import serving_peers as peers
from benchmarks.serving_load import (
    WARM_UP_ROWS,
    Clients,
    drive,
    make_resident,
    serving,
    uniform,
    zipf,
)
from benchmarks.serving_setup import Line, Setup

GOALS = {256: 0.95, 1024: 0.90}
GOAL_BEYOND = 0.60


def resident(
    setup: Setup, clients: Clients, counts: Sequence[int], *, rows: int, rounds: int, models: int
) -> list[Line]:
    """S1: rows over so many resident adapters, against all rows with one; the peers beside it."""
    cases = {f"{count:,} resident": count for count in counts}
    rates: dict[str, list[float]] = {}
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:models]]
    each, megabytes = peers.model_per_task(setup, models)
    naive = {
        f"a SavedModel per task, {models} ({megabytes / 2**20:.1f} MiB each)": each,
        "assign and run, under a lock": peers.assign_and_run(setup, adapters, locked=True),
    }
    with serving(setup, clients, max(counts)) as (bank, batcher):
        make_resident(bank, setup.ids[: max(counts)])
        drive(setup, batcher, clients, uniform(setup.ids[:1], WARM_UP_ROWS, 0))
        for turn in range(rounds):
            for name, count in cases.items():
                names = uniform(setup.ids[:count], rows, turn)
                rates.setdefault(name, []).append(drive(setup, batcher, clients, names).rate)
            for name, serve in naive.items():
                alone = peers.rate(setup, serve, models, threads=clients.threads, rows=rows // 4)
                rates.setdefault(name, []).append(alone)
    first = rates[next(iter(cases))]
    lines = []
    for name, values in rates.items():
        figure, least = "S1" if name in cases else "S1 peer", GOALS.get(cases.get(name, 0))
        lines.append(_line(figure, name, values, first, least))
    return lines


def working_sets(
    setup: Setup, clients: Clients, capacity: int, *, rows: int, rounds: int
) -> list[Line]:
    """S5: working sets of 0.5 to 4 x what is resident, each loaded once before, against 0.5 x."""
    cases = {
        f"{share:g} x {capacity} resident, {name}": (max(int(share * capacity), 1), choose)
        for choose, name in ((uniform, "uniform"), (zipf, "Zipf"))
        for share in (0.5, 1, 2, 4)
    }
    rates: dict[str, list[float]] = {}
    hits: dict[str, float] = {}
    for turn in range(rounds):
        for name, (count, choose) in cases.items():
            ids = setup.ids[:count]
            with serving(setup, clients, capacity) as (bank, batcher):
                make_resident(bank, ids)
                before = bank.stats()
                load = drive(setup, batcher, clients, choose(ids, rows, turn))
                misses = bank.stats().loads - before.loads
            rates.setdefault(name, []).append(load.rate)
            hits[name] = 1 - misses / rows
    lines = []
    for name, values in rates.items():
        first = rates[next(key for key in cases if key.endswith(name.rpartition(" ")[2]))]
        least = GOAL_BEYOND if name.startswith("2 x") else None
        line = _line("S5", name, values, first, least)
        lines.append(line._replace(value=f"{line.value}, {hits[name]:.0%} without a load"))
    return lines


def _line(
    figure: str, case: str, values: Sequence[float], first: Sequence[float], least: float | None
) -> Line:
    """Median rate, and median over rounds of its ratio to the first case of the same round."""
    ratio = statistics.median(value / other for value, other in zip(values, first, strict=True))
    text = f"{statistics.median(values):,.0f} rows/s, {ratio:.2f}"
    if least is None:
        return Line(figure, case, text)
    return Line(figure, case, text, f">= {least:.2f}", round(ratio, 2) >= least)
