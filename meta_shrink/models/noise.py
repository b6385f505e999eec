"""Layers that draw at random (Dropout, GaussianNoise, ...) as pure functions of a key.

A Keras layer draws from a seed that it counts on; a snapshot of it would give every step and task
one and the same noise. Here the seeds come from a key, or nothing is drawn at all while other
layers stay in training mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.models.private_names import flat_layers, seed_generators
from meta_shrink.models.replaced_calls import replaced_calls
from meta_shrink.rng import fold_in


def random_layers(model: keras.Model) -> list[Any]:
    """Layers with seed generators of their own, those inside others included."""
    return [layer for layer in flat_layers(model) if seed_generators(layer)]


def seeded(model: keras.Model, state: Sequence[Any], key: tf.Tensor | None) -> list[Any]:
    """The non-trainable state with the seed of each generator from the key [2], if there is one."""
    if key is None:
        return list(state)
    layers = random_layers(model)
    seeds = {id(generator.state) for layer in layers for generator in seed_generators(layer)}
    return [
        _seed(fold_in(key, "layer_seed", number)) if id(variable) in seeds else value
        for number, (variable, value) in enumerate(
            zip(model.non_trainable_variables, state, strict=True)
        )
    ]


def reseed(model: keras.Model, key: tf.Tensor) -> None:
    """The same seeds from a key [2] put into the model itself, for a loop of Keras's own."""
    variables = model.non_trainable_variables
    for variable, value in zip(variables, seeded(model, variables, key), strict=True):
        if value is not variable:
            variable.assign(value)


def _seed(key: tf.Tensor) -> tf.Tensor:
    """A key as Keras has its seeds: uint32 [2], here without the sign."""
    return tf.cast(tf.bitwise.bitwise_and(key, 2**31 - 1), tf.uint32)


def drawing(model: keras.Model, allowed: bool) -> AbstractContextManager[None]:
    """While a model is called: unless allowed, its random layers are as outside training."""
    return replaced_calls([] if allowed else random_layers(model), _outside_training)


def _outside_training(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    del layer

    def quiet(*args: Any, **options: Any) -> Any:
        return call(*args, **options | ({"training": False} if "training" in options else {}))

    return quiet
