"""Networks that give probabilities are refused for cross entropy, wherever they make them."""

from __future__ import annotations

import keras
import pytest
from keras import layers, ops

from meta_shrink import UsageError
from meta_shrink.models.logits import check_logits


def ending(*last) -> keras.Model:
    x = given = keras.Input((4,))
    for layer in last:
        x = layer(x)
    return keras.Model(given, x)


def soft(name: str = "soft"):
    return layers.Dense(3, "softmax", name=name)


def gated() -> keras.Model:
    """A gate, which is a sigmoid, in front of logits."""
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(3)(x) * layers.Dense(3, "sigmoid", name="last")(x))


def ensemble() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.Average()([soft("one")(x), soft("two")(x)]))


PROBABILITIES = {
    "activation": lambda: ending(soft()),
    "a sigmoid": lambda: ending(layers.Dense(3, "sigmoid")),
    "a layer": lambda: ending(layers.Dense(3), layers.Softmax()),
    "an operation": lambda: ending(layers.Dense(3), ops.softmax),
    "inside a model": lambda: ending(keras.Sequential([keras.Input((4,)), soft()])),
    "in another shape": lambda: ending(layers.Dense(6, "softmax"), layers.Reshape((2, 3))),
    "cast": lambda: ending(
        layers.Dense(3, "softmax", dtype="mixed_bfloat16"), layers.Activation("linear")
    ),
    "a mean": ensemble,
}
LOGITS = {
    "logits": lambda: ending(soft(), layers.Dense(3)),
    "logarithms": lambda: ending(soft(), ops.log),
    "gated": gated,
}


@pytest.mark.parametrize("kind", PROBABILITIES)
def test_probabilities_are_refused(kind):
    model = PROBABILITIES[kind]()
    with pytest.raises(UsageError, match=r"gives probabilities .* takes logits"):
        check_logits(model, "cross_entropy")
    check_logits(model, "squared_error")


@pytest.mark.parametrize("kind", LOGITS)
def test_logits_are_taken(kind):
    check_logits(LOGITS[kind](), "cross_entropy")
