"""Prosody: how long each phone of a text lasts, and its melody, from the phones around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from meta_shrink.errors import UsageError
from meta_shrink.models.seeds import first_seed


def prosody(
    *, seed: int, inputs: int, points: int = 3, hidden: Sequence[int] = (64, 64)
) -> keras.Model:
    """Inputs of phones [N, inputs] -> [N, 1 + 2 * points]: log duration, logits of voicing, log
    pitch.

    Modules are layers: hidden_1, hidden_2, ..., then duration, voicing and pitch, so that an
    adapter may hold a speaker's rhythm or melody alone.

    Args:
      seed: of the initial weights (Glorot uniform); biases start at 0.
      inputs: numbers that it is told of a phone. points: of a phone, with voicing and pitch.
      hidden: width of each hidden layer (tanh).

    Raises:
      UsageError: a size below 1, or no hidden layer.
    """
    if not hidden or min(inputs, points, *hidden) < 1:
        raise UsageError(
            f"model got inputs={inputs}, points={points}, hidden={list(hidden)}; expected at least "
            "1 each, and a hidden layer."
        )

    def dense(width: int, number: int, name: str, activation: str | None = None):
        weights: Any = keras.initializers.GlorotUniform(seed=first_seed(seed) + number)
        return keras.layers.Dense(width, activation, kernel_initializer=weights, name=name)

    told = keras.Input((inputs,), name="inputs")
    x = told
    for number, width in enumerate(hidden, start=1):
        x = dense(width, number, f"hidden_{number}", "tanh")(x)
    heads = (("duration", 1), ("voicing", points), ("pitch", points))
    said = [
        dense(width, len(hidden) + number, name)(x)
        for number, (name, width) in enumerate(heads, start=1)
    ]
    outputs = keras.layers.Concatenate(name="prosody")(said)
    return keras.Model(told, outputs, name="prosody")
