"""Gradients that users declare, and classes that TensorFlow samples: right, or refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, negative_log_likelihood, squared_error
from tests.problems import parameters

layers = keras.layers


class Sampled(layers.Layer):
    """Adds a loss of classes that TensorFlow samples."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=(20, input_shape[-1]))
        self.bias = self.add_weight(shape=(20,))

    def call(self, x):
        """x."""
        labels = tf.zeros([tf.shape(x)[0], 1], tf.int64)
        table, bias = tf.convert_to_tensor(self.table), tf.convert_to_tensor(self.bias)
        losses = tf.nn.sampled_softmax_loss(table, bias, labels, x, 4, 20)
        self.add_loss(tf.reduce_mean(losses))
        return x


class Declared(layers.Layer):
    """tanh(x w) with a gradient of its own, w being an argument or not."""

    def __init__(self, *, argument: bool, **options):
        super().__init__(**options)
        self.argument = argument

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], input_shape[-1]))

    def call(self, x):
        """tanh(x w)."""
        own = tf.convert_to_tensor(self.w)

        @tf.custom_gradient
        def function(x, *given):
            w = given[0] if given else tf.convert_to_tensor(self.w)
            y = tf.tanh(x @ w)

            def gradient(dy, variables=None):
                up = dy * (1 - y * y)
                both = up @ tf.transpose(w), tf.transpose(x) @ up
                return (both[: 1 + len(given)], [both[1]]) if variables else both[: 1 + len(given)]

            return y, gradient

        return function(x, own) if self.argument else function(x)


def network(layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), layer, layers.Dense(2)])


REFUSED = {
    "draws at random .LogUniformCandidateSampler": lambda: Sampled(name="odd"),
    "has a tf.custom_gradient": lambda: Declared(argument=False, name="odd"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_be_wrong_is_refused(words):
    with pytest.raises(UsageError, match=f"'odd' {words}"):
        negative_log_likelihood(network(REFUSED[words]()), squared_error())


def test_a_declared_gradient_of_arguments_is_that_of_the_function():
    declared, plain = network(Declared(argument=True)), network(layers.Dense(4, "tanh"))
    plain.layers[0].bias.assign(tf.zeros([4]))
    x, y = tf.random.stateless_normal([5, 4], [1, 2]), tf.zeros([5, 2])
    found = []
    for model in (declared, plain):
        params = parameters(model)
        params[0] = parameters(declared)[0]
        params[-2:] = parameters(declared)[-2:]
        with tf.GradientTape() as tape:
            tape.watch(params)
            value = negative_log_likelihood(model, squared_error())(params, (x, y))
        found.append([value, tape.gradient(value, params)[0]])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
