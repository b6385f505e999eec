"""The serving benchmark with pieces of speech as rows, on a small network of voices."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import serving_figures as figures
from benchmarks import serving_speed as speed
from benchmarks.serving_load import Clients
from benchmarks.serving_setup import set_up
from benchmarks.serving_voices import speaking
from benchmarks.speaker_network import voice_source
from meta_shrink import UsageError, save_backbone
from tests.backbones.sources import small_convnet, source_of

CLIENTS = Clients(threads=2, depth=2, max_batch=2, max_delay_ms=0.0)
ADAPTERS = 8


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """A network of ten blocks and adapters of all its dilated layers."""
    path = str(tmp_path_factory.mktemp("backbone"))
    save_backbone(voice_source(channels=2, cycles=1, frames=4, samples=320), path)
    return set_up(path, str(tmp_path_factory.mktemp("adapters")), ADAPTERS, "f32")


def test_the_network_is_that_of_the_config():
    source = voice_source()
    assert source.registry.num_modules == 123
    assert source.selection.modules[0] == "block_10_dilated" and len(source.selection.modules) == 12
    assert source.selection.bytes == 12 * 4 * (2 * 16 * 32 + 32)


@pytest.mark.programs
def test_figures_of_predictions(setup):
    lines = [
        *speed.resident(setup, CLIENTS, [1, ADAPTERS], rows=8, rounds=2, models=0),
        *speed.one_for_all(setup, CLIENTS, rounds=1),
    ]
    assert [line.figure for line in lines] == ["S1"] * 3
    assert "by processor seconds" in lines[1].value and "against one for all" in lines[2].case


@pytest.mark.programs
def test_figures_of_speaking(setup):
    spoken = speaking(setup)
    assert spoken.row(0)["codes"].shape == (40 * 80,)
    assert not np.array_equal(spoken.row(0)["noise"], spoken.row(1)["noise"])
    (exact,) = figures.exactness(spoken, CLIENTS)
    assert "bit-equal" in exact.value and exact.met
    swap = figures.hot_swap(spoken, CLIENTS, rows=16, swaps_per_second=200.0)
    assert swap[0].value == "0 torn, 0 errors, 0 retraces"
    (unknown,) = figures.neighbours(spoken, CLIENTS)
    assert unknown.value == "AdapterError not_found; neighbours bit-equal"
    lines = [
        *figures.cold_loads(spoken, 2),
        *figures.memory(spoken, ADAPTERS, 20),
        *speed.resident(spoken, CLIENTS, [1, ADAPTERS], rows=8, rounds=1, models=0),
        *speed.working_sets(spoken, CLIENTS, 2, rows=8, rounds=1),
    ]
    assert {line.figure for line in lines} == {"S1", "S3", "S5", "S6"}


def test_a_network_that_does_not_speak_is_refused(tmp_path):
    save_backbone(source_of(small_convnet(), ["output"]), str(tmp_path / "backbone"))
    mute = set_up(str(tmp_path / "backbone"), str(tmp_path / "adapters"), 1, "f32")
    with pytest.raises(UsageError, match="does not speak"):
        speaking(mute)
