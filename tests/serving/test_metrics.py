"""The metrics of a server: every number under its own name."""

from __future__ import annotations

import pytest

from meta_shrink.serving.bank_entries import BankStats
from meta_shrink.serving.metrics import ServerMetrics, Snapshot

BANK = BankStats(hits=1, misses=2, loads=3, failures=4, evictions=5, load_seconds=6.5,
                 resident=7, pinned=8, resident_bytes=9)  # fmt: skip
EXPECTED = {
    "adapter_hits_total": 1,
    "adapter_misses_total": 2,
    "adapter_loads_total": 3,
    "adapter_load_failures_total": 4,
    "adapter_evictions_total": 5,
    "adapter_load_seconds_total": 6.5,
    "adapters_resident": 7,
    "adapters_pinned": 8,
    "adapters_bytes": 9,
    "waiting_rows": 10,
}


@pytest.mark.parametrize("ready", [True, False])
def test_every_number_has_its_name(ready):
    metrics = ServerMetrics(lambda: Snapshot(BANK, 10, ready))
    metrics.batch(3, 0.25)
    metrics.batch(5, 0.5)
    text = metrics.text().decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    found = {name.removeprefix("meta_shrink_"): float(value) for name, _, value in lines}
    for name, value in (EXPECTED | {"ready": float(ready)}).items():
        assert found[name] == value, name
    assert (found["batch_rows_count"], found["batch_rows_sum"]) == (2, 8)
    assert (found["batch_seconds_count"], found["batch_seconds_sum"]) == (2, 0.75)
