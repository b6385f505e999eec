"""What a caller asks of an exported network: what fits it is computed, the rest refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from meta_shrink import Backbone, DataError, UsageError, adapt_tasks, save_backbone
from tests.backbones.sources import source_of

layers = keras.layers
AUDIO = np.random.default_rng(0).normal(size=[3, 6])
SPEAKER = np.array([0, 3, 1])


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Backbone:
    """A network of audio and one of four speakers."""
    audio = keras.Input((6,), name="audio")
    speaker = keras.Input((), name="speaker", dtype="int32")
    both = layers.Concatenate()([audio, layers.Embedding(4, 2, name="table")(speaker)])
    model = keras.Model([audio, speaker], layers.Dense(2, name="head")(both))
    out = str(tmp_path_factory.mktemp("voices"))
    source = source_of(model, ["head"], classification=False, rate=0.01)
    save_backbone(source._replace(probe_integers=4), out)
    return Backbone.load(out)


def test_a_row_of_a_table_that_is_not_there(voices, tmp_path):
    asked = AUDIO, SPEAKER + 4
    with pytest.raises(UsageError, match=r"no row [4-7], .* expected 0 to 3"):
        voices.predict(asked)
    with pytest.raises(UsageError, match=r"no row [4-7], .* expected 0 to 3"):
        voices.predict_mixed(asked, [voices.default], [0, 0, 0])
    with pytest.raises(DataError, match=r"no row [4-7], .* expected 0 to 3"):
        adapt_tasks(voices, {"new": (asked, np.ones([3, 2]))}, str(tmp_path), log=lambda _: None)


def test_rows_with_adapters_of_their_own_take_what_one_row_takes(voices):
    alone = voices.predict((AUDIO, SPEAKER))["outputs"]
    mixed = voices.predict_mixed((AUDIO, SPEAKER), [voices.default], [0, 0, 0])["outputs"]
    np.testing.assert_allclose(mixed, alone, atol=1e-6)
    for ask in (voices.predict, lambda x: voices.predict_mixed(x, [voices.default], [0, 0, 0])):
        with pytest.raises(DataError, match="speaker holds float64"):
            ask((AUDIO, SPEAKER + 0.7))
