"""Batcher: rows of many adapters in one call, and what happens to rows that fail."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from meta_shrink import AdapterBank, AdapterError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.errors import Overloaded, Stopping
from meta_shrink.serving.batching import Batcher
from tests.serving.fakes import FakeBackbone, put_adapter, put_broken

ROW = {"x": [1.0, 2.0]}


@pytest.fixture
def serving(tmp_path):
    """make(**options) -> (backbone, bank, batcher), closed at the end."""
    made = []

    def make(*, bank_options=None, **options):
        backbone = FakeBackbone()
        bank = AdapterBank(backbone, str(tmp_path), **(bank_options or {}))
        batcher = Batcher(backbone, bank, **options)
        made.append((backbone, batcher))
        return backbone, bank, batcher

    yield make
    for backbone, batcher in made:
        for gate in (backbone.gate, *backbone.load_gates.values()):
            gate.set()
        batcher.close()


def wait_until(condition):
    for _ in range(60_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("it never came true")


def hold(backbone, batcher):
    """Occupy the worker with one row until backbone.gate is set."""
    backbone.gate.clear()
    future = batcher.submit(ROW)
    wait_until(future.running)
    return future


def test_rows_of_several_adapters_share_one_call(tmp_path, serving):
    backbone, bank, batcher = serving(max_batch=8, max_delay_ms=0)
    keys = [put_adapter(tmp_path, number) for number in (2, 3)]
    for key in keys:
        with bank.pinned(key):
            pass
    first = hold(backbone, batcher)
    futures = [batcher.submit(ROW, key) for key in (keys[0], None, keys[1], keys[0])]
    backbone.gate.set()
    values = [future.result(60)["y"].tolist() for future in futures]
    assert values == [[6.0] * 4, [3.0] * 4, [9.0] * 4, [6.0] * 4]
    assert first.result(60)["y"][0] == 3.0
    assert backbone.batches == [1, 4]
    assert bank.stats().pinned == 0


def test_a_batch_has_at_most_max_batch_rows(serving):
    backbone, _, batcher = serving(max_batch=4, max_delay_ms=0)
    hold(backbone, batcher)
    futures = [batcher.submit(ROW) for _ in range(10)]
    backbone.gate.set()
    assert all(future.result(60)["y"][0] == 3.0 for future in futures)
    assert backbone.batches == [1, 4, 4, 2]


def test_a_full_batch_does_not_wait_and_a_partial_one_waits_for_it(serving):
    backbone, _, batcher = serving(max_batch=2, max_delay_ms=60_000)
    for _ in range(2):
        first = batcher.submit(ROW)
        time.sleep(0.02)
        assert not first.done()  # A minute's delay: nothing but a second row ends it.
        second = batcher.submit(ROW)
        assert first.result(60)["y"][0] == second.result(60)["y"][0] == 3.0
    assert backbone.batches == [2, 2]


def test_a_partial_batch_does_not_wait_for_ever(serving):
    backbone, _, batcher = serving(max_batch=2, max_delay_ms=20)
    assert batcher.submit(ROW).result(60)["y"][0] == 3.0
    assert backbone.batches == [1]


def test_unknown_and_broken_adapters_leave_their_neighbours_alone(tmp_path, serving):
    _, bank, batcher = serving(max_batch=16)
    good, broken = put_adapter(tmp_path, 4), put_broken(tmp_path)
    alone = [batcher.submit(ROW, name).result(60)["y"] for name in (good, None)]
    names = [good, broken, None, "c" * 64, "nobody", "../x"]
    futures = [batcher.submit(ROW, name) for name in names]
    assert np.array_equal(futures[0].result(60)["y"], alone[0])
    assert np.array_equal(futures[2].result(60)["y"], alone[1])
    codes = []
    for number in (1, 3, 4, 5):
        with pytest.raises(AdapterError) as caught:
            futures[number].result(60)
        codes.append(caught.value.code)
    assert codes == ["pin", "not_found", "not_found", "id"]
    batcher.close()  # A future has its result before what counts its row has run.
    assert bank.stats().pinned == batcher.waiting == 0


def test_a_row_that_the_network_refuses_fails_alone(serving):
    backbone, _, batcher = serving(max_batch=8, max_delay_ms=0)
    backbone.refused_input = 666.0
    hold(backbone, batcher)
    good = [batcher.submit(ROW) for _ in range(2)]
    bad = batcher.submit({"x": [0.0, 666.0]})
    backbone.gate.set()
    assert [future.result(60)["y"][0] for future in good] == [3.0, 3.0]
    with pytest.raises(RuntimeError):
        bad.result(60)


def test_a_slow_load_does_not_hold_up_other_adapters(tmp_path, serving):
    backbone, _, batcher = serving(loaders=1)
    slow, fast = put_adapter(tmp_path, 5), put_adapter(tmp_path, 6)
    batcher.submit(ROW, fast).result(60)
    backbone.load_gates[slow] = threading.Event()
    waiting = [batcher.submit(ROW, slow) for _ in range(3)]
    assert batcher.submit(ROW, fast).result(60)["y"][0] == 18.0
    assert batcher.submit(ROW).result(60)["y"][0] == 3.0
    assert not any(future.done() for future in waiting)
    backbone.load_gates[slow].set()
    assert [future.result(60)["y"][0] for future in waiting] == [15.0] * 3
    assert backbone.probed.count(slow) == 1


def test_rows_beyond_the_queue_are_refused(tmp_path, serving):
    backbone, _, batcher = serving(max_queue=4)
    first = hold(backbone, batcher)
    futures = [first, *(batcher.submit(ROW) for _ in range(3))]
    with pytest.raises(Overloaded, match="4 rows"):
        batcher.submit(ROW)
    backbone.gate.set()
    for future in futures:
        future.result(60)
    wait_until(lambda: batcher.waiting == 0)
    batcher.submit(ROW).result(60)


def test_loads_take_no_more_than_half_of_the_queue(tmp_path, serving):
    backbone, _, batcher = serving(max_queue=4, loaders=1)
    keys = [put_adapter(tmp_path, number) for number in range(3)]
    for key in keys:
        backbone.load_gates[key] = threading.Event()
    futures = [batcher.submit(ROW, key) for key in keys]
    with pytest.raises(Overloaded):
        futures[2].result(60)
    assert batcher.submit(ROW).result(60)["y"][0] == 3.0
    for key in keys:
        backbone.load_gates[key].set()
    assert [future.result(60)["y"][0] for future in futures[:2]] == [0.0, 3.0]


def test_more_adapters_in_flight_than_resident_ones(tmp_path, serving):
    _, bank, batcher = serving(max_batch=2, bank_options={"max_resident": 2})
    keys = [put_adapter(tmp_path, number) for number in range(9)]
    futures = [batcher.submit(ROW, key) for key in keys for _ in range(3)]
    answers = [future.result(10)["y"][0] for future in futures]
    assert answers == [3.0 * number for number in range(9) for _ in range(3)]
    assert bank.stats().pinned == 0


def test_a_cancelled_row_is_left_out(tmp_path, serving):
    backbone, bank, batcher = serving(max_delay_ms=0)
    key = put_adapter(tmp_path, 2)
    batcher.submit(ROW, key).result(60)
    hold(backbone, batcher)
    cancelled, kept = batcher.submit(ROW, key), batcher.submit(ROW, key)
    assert cancelled.cancel()
    backbone.gate.set()
    assert kept.result(60)["y"][0] == 6.0
    assert backbone.batches == [1, 1, 1]
    assert bank.stats().pinned == 0


def test_close_answers_what_waits_and_refuses_the_rest(tmp_path, serving):
    backbone, _, batcher = serving(max_delay_ms=10_000, max_batch=100)
    key = put_adapter(tmp_path, 2)
    backbone.load_gates[key] = threading.Event()
    futures = [batcher.submit(ROW, key), batcher.submit(ROW)]
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(batcher.close)
        assert futures[1].result(60)["y"][0] == 3.0
        with pytest.raises(Stopping):
            batcher.submit(ROW)
        assert not closing.done()
        backbone.load_gates[key].set()
        assert futures[0].result(60)["y"][0] == 6.0
        closing.result(60)
    batcher.close()


def test_rows_of_several_lengths(tmp_path):
    backbone = FakeBackbone(inputs=(ArraySpec("x", (None,), "float32"),))
    seen = []
    bank = AdapterBank(backbone, str(tmp_path))
    with Batcher(backbone, bank, on_batch=lambda rows, seconds: seen.append(rows)) as batcher:
        rows = [[1.0] * length for length in (1, 3, 1, 2, 3)]
        futures = [batcher.submit({"x": row}) for row in rows]
        assert [future.result(60)["y"][0] for future in futures] == [1.0, 3.0, 1.0, 2.0, 3.0]
    assert sum(seen) == 5


def test_rows_are_hits_or_misses_by_what_was_there_when_they_came(tmp_path, serving):
    """However many wait for one load, and whether it succeeds."""
    backbone, bank, batcher = serving(max_queue=64)
    key, broken = put_adapter(tmp_path, 2), put_broken(tmp_path)
    backbone.load_gates[key] = threading.Event()
    cold = [batcher.submit(ROW, key) for _ in range(10)]
    assert (bank.stats().hits, bank.stats().misses) == (0, 10)
    backbone.load_gates[key].set()
    assert [future.result(60)["y"][0] for future in cold] == [6.0] * 10
    assert (bank.stats().hits, bank.stats().misses) == (0, 10)
    for future in [batcher.submit(ROW, key) for _ in range(7)]:
        future.result(60)
    with pytest.raises(AdapterError):
        batcher.submit(ROW, broken).result(60)
    batcher.submit(ROW).result(60)  # Phi itself is no adapter of the bank.
    stats = bank.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.failures) == (7, 11, 1, 1)
    batcher.close()
    assert bank.stats().pinned == 0
