"""Bank, batcher and the serving benchmark with a real, exported backbone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import serving_figures as figures
from benchmarks import serving_peers as peers
from benchmarks import serving_speed as speed
from benchmarks.serving_load import Clients, serving
from benchmarks.serving_setup import flat, set_up
from meta_shrink import AdapterError, save_backbone
from tests.backbones.sources import small_convnet, source_of

CLIENTS = Clients(threads=2, depth=2, max_batch=4, max_delay_ms=1.0)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """A small convnet with 8 adapters."""
    path = str(tmp_path_factory.mktemp("backbone"))
    save_backbone(source_of(small_convnet(), ["conv_1", "bn_1", "output"]), path)
    return set_up(path, str(tmp_path_factory.mktemp("adapters")), 8, "f16")


def single(setup, row, adapter=None):
    batch = {name: value[None] for name, value in setup.row(row).items()}
    return flat(setup.backbone.predict(batch, adapter))


def test_rows_are_answered_with_their_own_adapters(setup):
    with serving(setup, CLIENTS, 3) as (bank, batcher):
        names = [*setup.ids[:6], None, "0" * 64]
        futures = [batcher.submit(setup.row(row), name) for row, name in enumerate(names)]
        for row, key in enumerate(setup.ids[:6]):
            outputs = {name: value[None] for name, value in futures[row].result(60).items()}
            expected = single(setup, row, setup.backbone.load_adapter(setup.path(key)))
            np.testing.assert_allclose(flat(outputs), expected, rtol=1e-5, atol=1e-5)
        assert isinstance(futures[-1].exception(60), AdapterError)
    assert (bank.stats().resident, bank.stats().pinned) == (3, 0)


def test_peers_answer_as_we_do(setup):
    adapters = [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:2]]
    assign = peers.assign_and_run(setup, adapters, locked=True)
    models, _ = peers.model_per_task(setup, 2)
    one = {name: value[None] for name, value in setup.row(3).items()}
    for task in range(2):
        expected = single(setup, 3, adapters[task])
        np.testing.assert_allclose(flat(assign(one, task)), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(flat(models(one, task)), single(setup, 3), rtol=1e-5, atol=1e-5)


def test_figures(setup):
    swap = figures.hot_swap(setup, CLIENTS, rows=200, swaps_per_second=200.0)
    assert swap[0].value == "0 torn, 0 errors, 0 retraces"
    (unknown,) = figures.neighbours(setup, CLIENTS)
    assert unknown.value == "AdapterError not_found; neighbours bit-equal"
    lines = [
        *figures.exactness(setup, CLIENTS),
        *figures.cold_loads(setup, 4),
        *figures.memory(setup, 4, 40),
        *speed.resident(setup, CLIENTS, [1, 4], rows=40, rounds=1, models=2),
        *speed.working_sets(setup, CLIENTS, 2, rows=40, rounds=1),
    ]
    assert {line.figure for line in lines} == {"S1", "S1 peer", "S2", "S3", "S5", "S6"}
    locked = peers.torn(
        setup,
        [setup.backbone.load_adapter(setup.path(key)) for key in setup.ids[:2]],
        locked=True,
        threads=2,
        rows=20,
    )
    assert locked.value == "0 torn, 0 of another adapter"
