"""Sequences of any length are computed alike whether or not TensorFlow knows the length."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.models.length_refusals import check_lengths

layers = keras.layers
ROWS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)  # 3 of 5 steps each.
ALIKE: dict[str, Callable[[], keras.layers.Layer]] = {
    "Dense": lambda: layers.Dense(2),
    "Conv1D": lambda: layers.Conv1D(2, 2, padding="causal"),
    "Conv1DTranspose": lambda: layers.Conv1DTranspose(2, 2, strides=2),
    "SeparableConv1D": lambda: layers.SeparableConv1D(2, 2),
    "LSTM": lambda: layers.LSTM(2, return_sequences=True),
    "Bidirectional": lambda: layers.Bidirectional(layers.GRU(2)),
    "AveragePooling1D": lambda: layers.AveragePooling1D(2),
    "GlobalMaxPooling1D": lambda: layers.GlobalMaxPooling1D(),
    "UpSampling1D": lambda: layers.UpSampling1D(2),
    "ZeroPadding1D": lambda: layers.ZeroPadding1D(1),
    "LayerNormalization": lambda: layers.LayerNormalization(),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "GroupNormalization": lambda: layers.GroupNormalization(2),
    "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.5),
}


def network(layer: keras.layers.Layer, length: int | None = None) -> keras.Model:
    x = keras.Input((length, 4))
    return keras.Model(x, layer(layers.Dense(4, "tanh", name="first")(x)))


@pytest.mark.parametrize("name", ALIKE)
def test_layers_that_take_any_length(name):
    check_lengths(network(ALIKE[name]()), ROWS)


def test_attention_takes_any_length():
    x = keras.Input((None, 4))
    check_lengths(keras.Model(x, layers.MultiHeadAttention(2, 2)(x, x)), ROWS)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9])
def test_a_layer_over_steps_of_any_number_is_refused(steps):
    """Keras takes the number of examples for theirs, which may be the same by chance."""
    rows = np.random.default_rng(0).normal(size=(4, steps, 4)).astype(np.float32)
    model = network(layers.TimeDistributed(layers.Dense(2, name="inner"), name="timed"))
    with pytest.raises(UsageError, match=r"lengths .* not known in advance.*'timed'.*the lengths"):
        check_lengths(model, rows)
    check_lengths(network(layers.TimeDistributed(layers.Dense(2)), steps), rows)


@keras.saving.register_keras_serializable("tests")
class ByKnownLength(layers.Layer):
    def call(self, inputs):
        return inputs / float(inputs.shape[1] or 1)


def test_a_layer_that_asks_for_the_length_in_python_is_named():
    with pytest.raises(UsageError, match=r"other numbers .*first in layer 'asks'"):
        check_lengths(network(ByKnownLength(name="asks")), ROWS)
    check_lengths(network(ByKnownLength(name="asks"), 5), ROWS)


def test_several_inputs_of_which_one_has_a_length():
    sequence, table = keras.Input((None, 4), name="sequence"), keras.Input((2,), name="table")
    pooled = layers.GlobalAveragePooling1D()(sequence)
    model = keras.Model([sequence, table], layers.Dense(1)(layers.Concatenate()([pooled, table])))
    check_lengths(model, [ROWS, ROWS[:, 0, :2]])
