"""Figures S2, S3, S4, S6 and S9 of the serving benchmark: exactness, loads, hot swap, memory."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from benchmarks import serving_peers as peers
from benchmarks.serving_load import WARM_UP_ROWS, Clients, drive, make_resident, serving
from benchmarks.serving_setup import (
    Line,
    Setup,
    expected,
    flat,
    one_by_one,
    resident_bytes,
    tolerance,
)
from meta_shrink.adapters.index import INDEX_FILE
from meta_shrink.adapters.reading import load_adapter
from meta_shrink.errors import AdapterError
from meta_shrink.serving.bank import AdapterBank

ALIAS = "benchmark"
SWAPPED = 4
FLAT_MIB = 1.0
UNKNOWN = "0" * 64


def exactness(setup: Setup, clients: Clients) -> list[Line]:
    """S2: a mixed batch, each row with another adapter, against the rows one by one."""
    rows = clients.max_batch
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:rows]]
    index = np.arange(rows) % len(adapters)
    mixed = flat(setup.backbone.predict_mixed(setup.batch(rows), adapters, index))
    alone = np.stack([one_by_one(setup, adapters[index[row]], rows)[row] for row in range(rows)])
    error = float(np.abs(mixed - alone).max())
    size = float(np.abs(alone).max())
    equal = "bit-equal" if np.array_equal(mixed, alone) else f"{error / size:.1e} of the largest"
    case = f"{rows} rows, {len(adapters)} adapters, against one by one"
    goal = "bit-equal; <= 1e-5 elsewhere"
    return [Line("S2", case, f"max error {error:.2g} ({equal})", goal, error <= 1e-5 * size)]


def cold_loads(setup: Setup, count: int) -> list[Line]:
    """S3: files out of the page cache, read and verified."""
    whole = [
        _cold(setup, setup.path(key), setup.backbone.load_adapter) for key in setup.ids[:count]
    ]
    info, phi = setup.backbone.info, setup.backbone.default.tensors
    checks = [
        _cold(setup, setup.path(key), lambda path: load_adapter(path, info, default=phi))
        for key in setup.ids[:count]
    ]
    size = os.path.getsize(setup.path(setup.ids[0])) / 1e6
    what = f"{count} files of {size:.3g} MB"
    half, most = np.percentile(checks, [50, 99])
    goal, met = "p50 <= 5 ms, p99 <= 15 ms", bool(half <= 5e-3 and most <= 15e-3)
    return [
        Line("S3", f"{what}, every check of the file", _milliseconds(checks), goal, met),
        Line("S3", f"{what}, with the probe (first load of an id)", _milliseconds(whole)),
    ]


def _cold(setup: Setup, path: str, load: Callable[[str], object]) -> float:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    load(path)
    return time.perf_counter() - start


def _milliseconds(times: list[float]) -> str:
    half, most = np.percentile(times, [50, 99]) * 1e3
    return f"p50 {half:.2f} ms, p99 {most:.2f} ms"


def hot_swap(setup: Setup, clients: Clients, *, rows: int, swaps_per_second: float) -> list[Line]:
    """S4: an alias that is swapped all the time, against one that stays; quarters by turns."""
    ids = setup.ids[:SWAPPED]
    answers = expected(setup, [setup.backbone.load_adapter(setup.path(key)) for key in ids])
    close = tolerance(answers)

    def is_right(row: int, outputs: dict[str, np.ndarray]) -> bool:
        found = flat({name: value[None] for name, value in outputs.items()})
        return bool(
            (np.abs(answers[:, row % answers.shape[1]] - found).max(axis=-1) <= close).any()
        )

    latencies: dict[bool, list[np.ndarray]] = {True: [], False: []}
    errors = wrong = swaps = 0
    with serving(setup, clients, len(ids)) as (bank, batcher):
        swap_to(bank, setup, ids[0])
        drive(setup, batcher, clients, [ALIAS] * WARM_UP_ROWS)
        for swapped in (False, True, False, True):
            with swapper(bank, setup, ids, swaps_per_second if swapped else 0) as count:
                load = drive(setup, batcher, clients, [ALIAS] * (rows // 4), is_right)
            latencies[swapped].append(load.latencies)
            errors, wrong, swaps = errors + load.errors, wrong + load.wrong, swaps + count[0]
    os.remove(os.path.join(setup.directory, INDEX_FILE))
    still, moving = (np.percentile(np.concatenate(latencies[k]), 99) * 1e3 for k in (False, True))
    traced = [f for f in setup.backbone.signatures.values() if not _is_concrete(f)]
    case = f"{rows:,} rows, {clients.threads} threads, {swaps:,} swaps"
    faults = f"{wrong} torn, {errors} errors, {len(traced)} retraces"
    none = not (wrong or errors or traced)
    ratio = f"{moving:.1f} ms, {moving / still:.2f} x {still:.1f} ms"
    return [
        Line("S4", case, faults, "0, 0, 0", none),
        Line("S4", "p99 under swaps against without", ratio, "<= 1.5 x", moving <= 1.5 * still),
    ]


def _is_concrete(function: object) -> bool:
    """A concrete function has one trace for ever."""
    return isinstance(function, tf.types.experimental.ConcreteFunction)


def swap_to(bank: AdapterBank, setup: Setup, key: str) -> None:
    """Make the alias mean an adapter, as launch.adapt and SIGHUP do."""
    path = os.path.join(setup.directory, INDEX_FILE)
    with open(f"{path}.tmp", "w", encoding="ascii") as file:
        json.dump({ALIAS: key}, file)
    os.replace(f"{path}.tmp", path)
    bank.reload()


@contextmanager
def swapper(bank: AdapterBank, setup: Setup, ids: list[str], rate: float) -> Iterator[list[int]]:
    """A thread that swaps the alias within the block, `rate` times a second; [swaps so far]."""
    stop, count = threading.Event(), [0]

    def work() -> None:
        while not stop.wait(1 / rate):
            count[0] += 1
            swap_to(bank, setup, ids[count[0] % len(ids)])

    thread = threading.Thread(target=work)
    if rate:
        thread.start()
    yield count
    stop.set()
    if rate:
        thread.join()


def torn_peers(setup: Setup, clients: Clients, rows: int) -> list[Line]:
    """S4: what assigning adapters to variables does under the same threads."""
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:SWAPPED]]
    return [
        peers.torn(setup, adapters, locked=locked, threads=clients.threads, rows=rows)
        for locked in (False, True)
    ]


def memory(setup: Setup, count: int, cycles: int) -> list[Line]:
    """S6: what a resident adapter takes, and what is left after many loads and evictions."""
    bank = AdapterBank(setup.backbone, setup.directory, max_resident=count)
    make_resident(bank, setup.ids[:1])
    gc.collect()
    before = resident_bytes()
    make_resident(bank, setup.ids[:count])
    each = (resident_bytes() - before) / max(count - 1, 1)
    payload = bank.adapter_bytes
    arrays = bank.stats().resident_bytes / bank.stats().resident
    small = AdapterBank(setup.backbone, setup.directory, max_resident=2)
    marks = []
    for turn in range(cycles):
        make_resident(small, [setup.ids[turn % len(setup.ids)]])
        if turn in (cycles // 10, cycles - 1):
            gc.collect()
            marks.append(resident_bytes())
    growth = (marks[-1] - marks[0]) / 2**20
    what = f"{count} resident, payload {payload / 1e6:.3g} MB"
    found = f"{each / payload:.2f} x of process memory, {arrays / payload:.2f} x in arrays"
    flat_goal, is_flat = f"flat: < {FLAT_MIB:g} MiB", growth < FLAT_MIB
    return [
        Line("S6", what, found, "<= 1.1 x", round(each / payload, 2) <= 1.1),
        Line("S6", f"{cycles:,} loads and evictions", f"{growth:+.2f} MiB", flat_goal, is_flat),
    ]


def neighbours(setup: Setup, clients: Clients) -> list[Line]:
    """S9: the same rows with and without one whose adapter is unknown."""
    slow = clients._replace(max_batch=setup_rows(setup, clients), max_delay_ms=300.0)
    with serving(setup, slow, slow.max_batch) as (bank, batcher):
        ids = setup.ids[: slow.max_batch]
        make_resident(bank, ids)

        def ask(names: list[str]) -> list[Future]:
            return [
                batcher.submit(setup.row(int(number)), name) for number, name in enumerate(names)
            ]

        without = [flat_row(future) for future in ask(ids)]
        futures = [*ask(ids), batcher.submit(setup.row(0), UNKNOWN)]
        with_it = [flat_row(future) for future in futures[:-1]]
        error = futures[-1].exception(10)
    equal = all(np.array_equal(a, b) for a, b in zip(without, with_it, strict=True))
    typed = f"AdapterError {error.code}" if isinstance(error, AdapterError) else repr(error)
    value = f"{typed}; neighbours {'bit-equal' if equal else 'DIFFER'}"
    met = equal and isinstance(error, AdapterError)
    what = f"1 unknown adapter beside {len(ids)} rows"
    return [Line("S9", what, value, "typed error, bit-equal", met)]


def setup_rows(setup: Setup, clients: Clients) -> int:
    """Rows of a full batch with an adapter each."""
    return min(clients.max_batch, len(setup.ids))


def flat_row(future: Future) -> np.ndarray:
    """[n] of the outputs of a row."""
    return flat({name: value[None] for name, value in future.result(10).items()})[0]
