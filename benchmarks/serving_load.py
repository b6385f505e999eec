"""Load on a batcher: threads that keep rows in flight, and which adapter each row names."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from benchmarks.serving_setup import Setup
from meta_shrink.serving.bank import AdapterBank
from meta_shrink.serving.batching import Batcher

WARM_UP_ROWS = 50


class Clients(NamedTuple):
    """Threads and the rows that each keeps in flight; max_batch, max_delay_ms of the batcher."""

    threads: int
    depth: int
    max_batch: int
    max_delay_ms: float


class Load(NamedTuple):
    """What came of a load. seconds, processor: as a whole, by the clock and of this process;
    latencies: of each row."""

    seconds: float
    processor: float
    latencies: np.ndarray
    errors: int
    wrong: int

    @property
    def rate(self) -> float:
        """Rows per second."""
        return len(self.latencies) / self.seconds

    @property
    def processor_rate(self) -> float:
        """Rows per second of the processor, whatever else it does."""
        return len(self.latencies) / self.processor

    def percentile(self, percent: float) -> float:
        """Milliseconds within which this share of the rows was answered."""
        return float(np.percentile(self.latencies, percent)) * 1e3


@contextmanager
def serving(setup: Setup, clients: Clients, capacity: int) -> Iterator[tuple[AdapterBank, Batcher]]:
    """A bank and a batcher, with room for all rows in flight."""
    bank = AdapterBank(setup.backbone, setup.directory, max_resident=capacity)
    options: dict[str, Any] = {
        "max_batch": clients.max_batch,
        "max_delay_ms": clients.max_delay_ms,
        "max_queue": 4 * clients.threads * clients.depth,
    }
    with Batcher(setup.backbone, bank, **options) as batcher:
        yield bank, batcher


def make_resident(bank: AdapterBank, ids: Sequence[str]) -> None:
    """Load adapters."""
    for key in ids:
        with bank.pinned(key):
            pass


def drive(
    setup: Setup,
    batcher: Batcher,
    clients: Clients,
    names: Sequence[str | None],
    is_right: Callable[[int, dict[str, np.ndarray]], bool] = lambda row, answer: True,
) -> Load:
    """Send one row for each name, spread over the threads; wait for all answers.

    is_right(row number, outputs): what it denies is counted.
    """
    with ThreadPoolExecutor(clients.threads) as pool:
        start, used = time.perf_counter(), time.process_time()
        jobs = [
            pool.submit(
                _client,
                setup,
                batcher,
                clients.depth,
                range(number, len(names), clients.threads),
                names,
                is_right,
            )
            for number in range(clients.threads)
        ]
        parts = [job.result() for job in jobs]
        seconds, used = time.perf_counter() - start, time.process_time() - used
    latencies, errors, wrong = zip(*parts, strict=True)
    return Load(seconds, used, np.concatenate(latencies), sum(errors), sum(wrong))


def _client(setup, batcher, depth, numbers, names, is_right) -> tuple[list[float], int, int]:
    """(latencies, errors, wrong answers) of one thread's rows."""
    flying: deque[tuple[int, Any]] = deque()
    latencies: list[float] = []
    errors = wrong = 0
    for number in [*numbers, *([None] * depth)]:
        if number is not None:
            start = time.perf_counter()
            future = batcher.submit(setup.row(number), names[number])
            future.add_done_callback(
                lambda _, start=start: latencies.append(time.perf_counter() - start)
            )
            flying.append((number, future))
        if flying and (number is None or len(flying) >= depth):
            row, future = flying.popleft()
            if future.exception() is not None:
                errors += 1
            else:
                wrong += not is_right(row, future.result())
    return latencies, errors, wrong


def uniform(ids: list[str], count: int, seed: int) -> list[str]:
    """`count` names, all adapters equally often."""
    return [ids[number] for number in np.random.default_rng(seed).integers(len(ids), size=count)]


def zipf(ids: list[str], count: int, seed: int) -> list[str]:
    """`count` names, the r-th adapter in proportion to 1 / r."""
    weights = 1 / np.arange(1, len(ids) + 1)
    chosen = np.random.default_rng(seed).choice(len(ids), size=count, p=weights / weights.sum())
    return [ids[number] for number in chosen]
