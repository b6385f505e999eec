"""Prometheus metrics of a server. No label holds an adapter or a task: they may be people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meta_shrink.serving.bank_entries import BankStats

_ROWS = tuple(2**power for power in range(11))
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_FACTORS = (0.05, 0.1, 0.2, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


class Snapshot(NamedTuple):
    """What is read when metrics are asked for."""

    bank: BankStats
    waiting_rows: int
    ready: bool
    speaking: int = 0
    waiting_pieces: int = 0


class ServerMetrics:
    """The metrics, in a registry of their own.

    requests: by route and status. request_seconds: by route. rows: by outcome, "ok" or the code of
    an error. batch_rows, batch_seconds: of calls of the network. spoken_samples, real_time_factor:
    of utterances: samples so far, and seconds of sound a second of waiting for it.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "meta_shrink_requests", "HTTP requests.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "meta_shrink_request_seconds",
            "Time to the answer of an HTTP request.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rows = Counter("meta_shrink_rows", "Rows answered.", ["outcome"], registry=registry)
        self._batch_rows = Histogram(
            "meta_shrink_batch_rows", "Rows in a batch.", buckets=_ROWS, registry=registry
        )
        self._batch_seconds = Histogram(
            "meta_shrink_batch_seconds", "Time of a batch.", buckets=_SECONDS, registry=registry
        )
        self.spoken_samples = Counter(
            "meta_shrink_spoken_samples", "Samples of sound answered.", registry=registry
        )
        self.real_time_factor = Histogram(
            "meta_shrink_real_time_factor",
            "Of whole utterances: seconds of sound a second; below 1 is slower than it is heard.",
            buckets=_FACTORS,
            registry=registry,
        )
        registry.register(_SnapshotCollector(snapshot))

    def batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self._registry)


class _SnapshotCollector(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """None, so that registering asks for no snapshot."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The snapshot of this moment as metrics."""
        bank, waiting_rows, ready, speaking, waiting_pieces = self._snapshot()
        gauges = {
            "ready": ("1 if requests are answered.", float(ready)),
            "waiting_rows": ("Rows that have no answer yet.", waiting_rows),
            "speaking": ("Utterances that have begun and not ended.", speaking),
            "waiting_pieces": ("Pieces of them that have no answer yet.", waiting_pieces),
            "adapters_resident": ("Adapters in memory.", bank.resident),
            "adapters_pinned": ("Adapters that rows in flight use.", bank.pinned),
            "adapters_bytes": ("Bytes of their tensors.", bank.resident_bytes),
        }
        counters = {
            "adapter_hits": ("Rows whose adapter was resident when they came.", bank.hits),
            "adapter_misses": ("Rows whose adapter was not.", bank.misses),
            "adapter_loads": ("Adapters loaded and verified.", bank.loads),
            "adapter_load_failures": ("Adapters that could not be loaded.", bank.failures),
            "adapter_evictions": ("Adapters evicted.", bank.evictions),
            "adapter_load_seconds": ("Time of all loads.", bank.load_seconds),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"meta_shrink_{name}", text, value=value)
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"meta_shrink_{name}", text, value=value)
