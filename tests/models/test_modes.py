"""Networks whose training mode is more than noise and batch statistics are refused by the layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from meta_shrink import UsageError
from meta_shrink.models.mode_refusals import check_modes
from tests.models.keras_layers import CASES
from tests.models.keras_layers import network as network_of
from tests.models.test_every_layer import MEASURED, batch_of
from tests.models.test_rows import network

layers = keras.layers
ROWS = tf.constant(np.random.default_rng(0).uniform(0.5, 2.0, [6, 4]).astype("float32"))


class Scaled(layers.Layer):
    def call(self, x, training=None):
        return x * 0.1 if training else x


class Longer(layers.Layer):
    """Twice the columns in training."""

    def call(self, x, training=None):
        return ops.concatenate([2.0 * x, x], -1) if training else x


class Auxiliary(layers.Layer):
    """It calls another layer in training alone."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(4, name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x, training=None):
        return x + self.inner(x) if training else x


class Outside(keras.Model):
    """What differs is the model's own, behind its layers."""

    def call(self, inputs, training=None, mask=None):
        y = super().call(inputs, training=training, mask=mask)
        return y + 1.0 if training else y


class OwnDropout(layers.Layer):
    """Noise with what belongs to it in training mode."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, x, training=None):
        return keras.random.dropout(x, 0.5, seed=self.seed_generator) * 2.0 if training else x


def outside() -> keras.Model:
    plain = network()
    return Outside(plain.inputs, plain.outputs)


def shared() -> keras.Model:
    """The second call of a layer differs by what comes before it."""
    twice = layers.Dense(4, name="twice")
    return network(twice, Scaled(name="odd"), twice)


REFUSED = {
    "scaled": (lambda: network(Scaled(name="odd")), "in layer 'odd'"),
    "in front of zeros": (lambda: network(Scaled(name="odd"), last="zeros"), "in layer 'odd'"),
    "of another shape": (
        lambda: network(Longer(name="odd"), layers.Lambda(lambda x: x[:, :4])),
        "in layer 'odd'",
    ),
    "a layer inside": (lambda: network(Auxiliary(name="odd")), "in layer 'odd'"),
    "behind all layers": (outside, "behind its last layer"),
    "a layer called twice": (shared, "in layer 'odd'"),
    "a batch of one size": (lambda: network(Scaled(name="odd"), batch=9), "in layer 'odd'"),
    "inside a model": (
        lambda: network(keras.Sequential([keras.Input((4,)), Scaled(name="odd")])),
        "in layer 'odd'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_training_mode_changes_is_refused(kind):
    make, where = REFUSED[kind]
    with pytest.raises(UsageError, match=f"in training mode than in inference, first {where}:"):
        check_modes(model := make(), ROWS)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


TAKEN = {
    "batch normalisation": lambda: network(layers.BatchNormalization()),
    "noise": lambda: network(layers.Dropout(0.5), layers.GaussianNoise(1.0)),
    "noise of one's own": lambda: network(OwnDropout()),
    "half numbers": lambda: network(layers.Dense(30, dtype="mixed_bfloat16")),
    "not a number": lambda: network(layers.Lambda(lambda x: ops.log(x - 3.0))),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_noise_and_batch_statistics_are_taken(kind):
    check_modes(TAKEN[kind](), ROWS)


@pytest.mark.parametrize("name", MEASURED)
def test_every_layer_of_keras_is_taken(name):
    check_modes(network_of(CASES[name]), batch_of(CASES[name], 4)[0])
