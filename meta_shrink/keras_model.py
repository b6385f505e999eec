"""A Keras model as functions of its parameters: forward pass, batch-norm moments, layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.models import private_names
from meta_shrink.models.kernels.native_kernels import native_kernels
from meta_shrink.models.pure_call import Called, batch_norms, pure_call
from meta_shrink.models.replaced_calls import replaced_calls
from meta_shrink.types import Params


def moments(
    model: keras.Model,
    theta: Params,
    inputs: Any,
    state: Sequence[Any] | None = None,
    *,
    weights: tf.Tensor | None = None,
) -> list[tf.Tensor]:
    """The model's non-trainable state with each batch norm's moments over these inputs [N, ...].

    One forward pass in training mode without noise; the moments are those of the inputs alone, not
    averaged with former ones; where the pass calls a layer several times, their mean over those
    calls, as a long training with Keras would have them. state: of what is no moment; the model's
    own by default. weights: of the inputs [N]; those of weight 0 are left out.
    """
    if state is None:
        state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
    with _averaging_calls(model):
        after = pure_call(model, theta, state, inputs, weights=weights).state
    return [tf.convert_to_tensor(value) for value in after]


@contextmanager
def _averaging_calls(model: keras.Model) -> Iterator[None]:
    """Running averages become the mean over a layer's calls in this block."""
    layers = batch_norms(model)
    before = [layer.momentum for layer in layers]
    try:
        with replaced_calls(layers, _averaging):
            yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


def _averaging(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    calls = 0

    def averaged(inputs, training=None, mask=None):
        nonlocal calls
        if training:  # Otherwise nothing is written.
            layer.momentum, calls = calls / (calls + 1), calls + 1
        return call(inputs, training=training, mask=mask)

    return averaged


def apply_model(model: keras.Model, *, native: bool = False) -> Callable[..., Any]:
    """(params, inputs [N, ...]) -> outputs [N, ...] of the model, in training mode without noise.

    Batch normalisation uses batch statistics; its running statistics are read and never written.

    Args:
      native: the function will run on the CPU without XLA; our layers then use fast kernels.
    """
    call = make_call(model, native=native)
    return lambda params, inputs: call(params, inputs).outputs


def make_call(model: keras.Model, *, native: bool = False) -> Callable[..., Called]:
    """(params, inputs, key=None, weights=None) -> Called; arguments as pure_call."""
    state = [variable.numpy() for variable in model.non_trainable_variables]

    def call(params: Params, inputs: Any, **options: Any) -> Called:
        with native_kernels(native):
            return pure_call(model, params, state, inputs, **options)

    return call


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a model, those of models inside it included."""
    return private_names.flat_layers(model, include_self=False)
