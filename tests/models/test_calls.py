"""Networks that work once, while they are built, are refused by the layer that fails then."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.errors import foreign
from meta_shrink.models.call_refusals import check_calls
from meta_shrink.models.refusals import check_network
from tests.models.test_rows import Own, network

layers = keras.layers
ROWS = tf.constant(np.random.default_rng(0).uniform(0.5, 2.0, [6, 4]).astype("float32"))


class Cached(layers.Layer):
    """It normalises its kernel once."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")
        self.unit = None

    def call(self, x):
        if self.unit is None:
            self.unit = self.kernel / tf.norm(self.kernel)
        return x @ self.unit


class Remembers(layers.Layer):
    """It keeps what nothing uses, as layers do to be looked into."""

    def call(self, x):
        self.last = x
        return x


class FailsInTraining(layers.Layer):
    def call(self, x, training=None):
        if training:
            raise ValueError("no\ntraining")
        return x


def inside(layer: layers.Layer) -> keras.Model:
    return network(keras.Sequential([keras.Input((4,)), layer], name="around"))


@pytest.mark.parametrize("make", [network, inside])
def test_a_layer_that_keeps_a_tensor_is_named(make):
    model = make(Cached(name="odd"))
    words = r"on examples, first in layer 'odd': it keeps a tensor .* compute it anew"
    with pytest.raises(UsageError, match=words):
        check_calls(model, ROWS)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


def test_a_layer_that_fails_in_one_mode_is_named():
    with pytest.raises(UsageError, match=r"first in layer 'odd': .*no training"):
        check_calls(network(FailsInTraining(name="odd")), ROWS)


def test_what_is_called_again_is_taken():
    check_calls(network(Remembers()), ROWS)
    own = Own()
    own(ROWS)
    check_calls(own, ROWS)


class Compiled(layers.Layer):
    """Its call is a tf.function, which reads its weight as it was."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    @tf.function
    def call(self, x):
        return x @ self.kernel


class Builds(layers.Layer):
    """Its call is a tf.function, which makes a layer."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = layers.Dense(4, name="inner")

    @tf.function
    def call(self, x):
        return self.inner(x)


@pytest.mark.parametrize("kind", [Compiled, Builds])
def test_a_call_that_is_a_function_of_tensorflow_is_told(kind):
    with pytest.raises(
        UsageError, match=r"Layer 'odd' .*, or take away the @tf.function around it"
    ):
        check_network(network(kind(name="odd")))


def test_an_error_of_another_library_is_one_plain_line():
    assert foreign("\x1b[1mfailed\n  here\x1b[0m\x07") == "failed here\\x07"
    assert foreign("a long one", 6) == "a long"
