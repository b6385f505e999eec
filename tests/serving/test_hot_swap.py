"""Aliases swapped while many threads ask: every answer is of one adapter, whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from meta_shrink import AdapterBank
from meta_shrink.serving.batching import Batcher
from tests.serving.fakes import FakeBackbone, put_adapter, put_index


def test_hot_swap_under_load_tears_nothing(tmp_path):
    """8 threads, aliases swapped all the time, fewer places than adapters: 0 torn, 0 errors."""
    backbone = FakeBackbone()
    bank = AdapterBank(backbone, str(tmp_path), max_resident=3)
    keys = [put_adapter(tmp_path, number) for number in range(1, 7)]
    put_index(tmp_path, {"task": keys[0]})
    bank.reload()
    batcher = Batcher(backbone, bank, max_delay_ms=0.2)
    stop = threading.Event()

    def swap():
        turn = 0
        while not stop.is_set():
            turn += 1
            put_index(tmp_path, {"task": keys[turn % 6]})
            bank.reload()

    def ask(seed):
        seen = set()
        for step in range(400):
            x = float(seed * 400 + step + 1)
            y = batcher.submit({"x": [x, 0.0]}, "task").result(60)["y"]
            assert (y == y[0]).all()
            seen.add(float(y[0]) / x)
        return seen

    swapper = threading.Thread(target=swap)
    swapper.start()
    with ThreadPoolExecutor(8) as pool:
        seen = set().union(*pool.map(ask, range(8)))
    stop.set()
    swapper.join()
    batcher.close()
    assert seen <= {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    assert len(seen) > 1
    assert bank.stats().pinned == 0
