"""Variables that cannot be learned, by their paths; penalties of several numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, negative_log_likelihood, squared_error
from tests.problems import parameters, precision_of

layers = keras.layers
X = tf.random.stateless_normal([5, 4], [1, 2])


class Scaled(layers.Layer):
    """x, and what a variable of this shape, type and start adds up to."""

    def __init__(self, shape=(3,), start: float = 1.0, *, learned=True, of="float32", **options):
        super().__init__(**options)
        constant: Any = keras.initializers.Constant(start)
        kind = {"dtype": of, "trainable": learned, "name": "w"}
        self.w = self.add_weight(shape=shape, initializer=constant, **kind)

    def call(self, x):
        """x plus the sum, as far as it is finite."""
        total = keras.ops.cast(keras.ops.sum(self.w), x.dtype)
        return x + keras.ops.clip(total, -1.0, 1.0)


def network(layer: layers.Layer) -> keras.Model:
    x = keras.Input((4,))
    hidden = layer(layers.Dense(4, name="first")(x))
    return keras.Model(x, layers.Dense(2, name="last")(hidden))


NUMBER = r"has 3 of 3 numbers that are NaN"
REFUSED = {
    "double": (
        lambda: Scaled(of="float64", name="odd"),
        "is float64, and what .* beside it float32",
    ),
    "whole": (lambda: Scaled(of="int32", name="odd"), "is int32, and what .* beside it float32"),
    "empty": (lambda: Scaled((0, 3), name="odd"), r"has the shape \(0, 3\), in which"),
    "learned NaN": (lambda: Scaled(start=np.nan, name="odd"), f"{NUMBER} or infinite"),
    "learned infinity": (lambda: Scaled(start=np.inf, name="odd"), f"{NUMBER} or infinite"),
    "frozen NaN": (lambda: Scaled(start=np.nan, learned=False, name="odd"), f"{NUMBER}: load"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_learned_is_refused_by_its_path(kind):
    make, sentence = REFUSED[kind]
    with pytest.raises(UsageError, match=f"^odd/w {sentence}"):
        negative_log_likelihood(network(make()), squared_error())


TAKEN = {
    "frozen infinity": {"start": -np.inf, "learned": False},
    "frozen double": {"of": "float64", "learned": False},
    "frozen empty": {"shape": (0, 3), "learned": False},
    "one number": {"shape": ()},
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_frozen_may_be_of_any_kind(kind):
    model = network(Scaled(**TAKEN[kind]))
    value = negative_log_likelihood(model, squared_error())(
        parameters(model), (X, tf.zeros([5, 2]))
    )
    np.testing.assert_allclose(value, np.mean(np.sum(model(X) ** 2, 1)), rtol=1e-5)


def test_networks_of_doubles_are_taken_where_keras_makes_such():
    with precision_of("float64"):
        assert negative_log_likelihood(network(layers.Dense(4)), squared_error())


class Penalised(layers.Layer):
    """Adds what a function makes of x to the loss."""

    def __init__(self, penalty):
        super().__init__()
        self.penalty = penalty

    def call(self, x):
        """x."""
        self.add_loss(self.penalty(x))
        return x


PENALTIES = {
    "one": lambda x: tf.reduce_sum(x**2),
    "one an example": lambda x: tf.reduce_sum(x**2, 1),
    "one a number": lambda x: x**2,
}


@pytest.mark.parametrize("kind", PENALTIES)
def test_penalties_are_summed_as_by_keras(kind):
    model = network(Penalised(PENALTIES[kind]))
    targets = tf.zeros([5, 2])
    model.compile(loss="mean_squared_error")
    expected: Any = model.evaluate(X, targets, batch_size=5)
    # Keras's mean is over the outputs too, ours sums over them.
    fit = np.mean(np.square(model(X)))
    value = negative_log_likelihood(model, squared_error())(parameters(model), (X, targets))
    np.testing.assert_allclose(value, expected + fit, rtol=1e-5)
