"""Figures S1 (resident adapters) and S5 (working sets): rows per second, in rounds by turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

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

# 1,000 are of voices, whose adapters are small.
GOALS = {256: 0.95, 1000: 0.95, 1024: 0.90}
GOAL_BEYOND = 0.60


def resident(
    setup: Setup, clients: Clients, counts: Sequence[int], *, rows: int, rounds: int, models: int
) -> list[Line]:
    """S1: rows over so many resident adapters, against all rows with one; the peers beside it.

    models: SavedModels of the first peer; 0: no peers.
    """
    cases = {f"{count:,} resident": count for count in counts}
    naive = _peers(setup, models) if models else {}
    rates: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    with serving(setup, clients, max(counts)) as (bank, batcher):
        make_resident(bank, setup.ids[: max(counts)])
        drive(setup, batcher, clients, uniform(setup.ids[:1], WARM_UP_ROWS, 0))
        for turn in range(rounds):
            for name, count in _turned(cases, turn):
                names = uniform(setup.ids[:count], rows, turn)
                load = drive(setup, batcher, clients, names)
                rates.setdefault(name, []).append(load.rate)
                used.setdefault(name, []).append(load.processor_rate)
            for name, serve in naive.items():
                alone = peers.rate(setup, serve, models, threads=clients.threads, rows=rows // 4)
                rates.setdefault(name, []).append(alone)
    first = next(iter(cases))
    lines = []
    for name, values in ((name, rates[name]) for name in [*cases, *naive]):
        figure, least = "S1" if name in cases else "S1 peer", GOALS.get(cases.get(name, 0))
        line = _line(figure, name, values, rates[first], least)
        lines.append(_with_processor(line, used[name], used[first]) if name in used else line)
    return lines


def _turned(cases: dict[str, Any], turn: int) -> list[tuple[str, Any]]:
    """Forwards and backwards, so that what a machine does meanwhile favours none."""
    return list(cases.items())[:: -1 if turn % 2 else 1]


def _peers(setup: Setup, models: int) -> dict[str, peers.Serve]:
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:models]]
    each, megabytes = peers.model_per_task(setup, models)
    return {
        f"a SavedModel per task, {models} ({megabytes / 2**20:.1f} MiB each)": each,
        "assign and run, under a lock": peers.assign_and_run(setup, adapters, locked=True),
    }


def one_for_all(setup: Setup, clients: Clients, *, rounds: int) -> list[Line]:
    """S1: a batch of which each row has its own adapter, against a call that has one for all rows,
    whose task-specific layers are shared like all others; seconds of the processor."""
    rows = clients.max_batch
    inputs = setup.batch(rows)
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:rows]]
    index = np.arange(rows) % len(adapters)
    calls: dict[str, Callable[[], object]] = {
        "one": lambda: setup.backbone.predict(inputs, adapters[0]),
        "own": lambda: setup.backbone.predict_mixed(inputs, adapters, index),
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):  # The first one warms up.
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            start = time.process_time()
            calls[name]()
            if turn:
                spent[name].append(time.process_time() - start)
    case = f"a call of {rows} rows with an adapter each, against one for all"
    each = statistics.median(spent["own"]) * 1e3
    value = f"{ratio(spent['one'], spent['own']):.2f}, {each:,.0f} ms of the processor"
    return [Line("S1", case, value)]


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
    used: dict[str, list[float]] = {}
    hits: dict[str, float] = {}
    for turn in range(rounds):
        for name, (count, choose) in _turned(cases, turn):
            ids = setup.ids[:count]
            with serving(setup, clients, capacity) as (bank, batcher):
                make_resident(bank, ids)
                before = bank.stats()
                load = drive(setup, batcher, clients, choose(ids, rows, turn))
                misses = bank.stats().loads - before.loads
            rates.setdefault(name, []).append(load.rate)
            used.setdefault(name, []).append(load.processor_rate)
            hits[name] = 1 - misses / rows
    lines = []
    for name in cases:
        first = next(key for key in cases if key.endswith(name.rpartition(" ")[2]))
        least = GOAL_BEYOND if name.startswith("2 x") else None
        line = _line("S5", name, rates[name], rates[first], least)
        line = _with_processor(line, used[name], used[first])
        lines.append(line._replace(value=f"{line.value}, {hits[name]:.0%} without a load"))
    return lines


def _line(
    figure: str, case: str, values: Sequence[float], first: Sequence[float], least: float | None
) -> Line:
    """Median rate, and median over rounds of its ratio to the first case of the same round."""
    share = ratio(values, first)
    text = f"{statistics.median(values):,.0f} rows/s, {share:.2f}"
    if least is None:
        return Line(figure, case, text)
    return Line(figure, case, text, f">= {least:.2f}", round(share, 2) >= least)


def _with_processor(line: Line, values: Sequence[float], first: Sequence[float]) -> Line:
    """The same ratio by the seconds that the processor spent: what other programs do is not in it,
    nor is waiting."""
    share = ratio(values, first)
    return line._replace(value=f"{line.value} ({share:.2f} by processor seconds)")


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Median over rounds."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))
