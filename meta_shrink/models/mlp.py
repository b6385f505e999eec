"""Fully connected network (the sinusoid network of App. E.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.seeds import first_seed


def mlp(
    *,
    seed: int,
    inputs: int = 1,
    outputs: int = 1,
    hidden: Sequence[int] = (40, 40),
    activation: str = "relu",
    initializer: str = "he_normal",
) -> keras.Model:
    """Dense layers [N, inputs] -> [N, outputs], named layer_1, layer_2, ... in network order.

    Args:
      seed: of the initial weights; biases start at 0.
      hidden: width of each hidden layer.
      activation: of the hidden layers; the last layer is linear.
      initializer: Keras name of the weight initializer.

    Raises:
      UsageError: a width below 1.
    """
    widths = [*hidden, outputs]
    if inputs < 1 or min(widths) < 1:
        raise UsageError(f"model widths are {inputs} -> {widths}; expected at least 1 each.")
    model = keras.Sequential([keras.Input((inputs,), name="inputs")], name="mlp")
    for number, width in enumerate(widths):
        weights: Any = keras.initializers.get(
            {"class_name": initializer, "config": {"seed": first_seed(seed) + number}}
        )
        last = number == len(widths) - 1
        model.add(
            keras.layers.Dense(
                width,
                activation=None if last else activation,
                kernel_initializer=weights,
                name=f"layer_{number + 1}",
            )
        )
    return model
