"""A Keras model as functions of its parameters: forward pass, batch-norm moments, layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.models.kernels.exact_moments import exact_moments
from meta_shrink.models.kernels.native_kernels import native_kernels
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

    One forward pass in training mode; the moments are those of the inputs alone, not averaged
    with former ones. state: of what is no moment; the model's own by default. weights: of the
    inputs [N]; those of weight 0 are left out.
    """
    if state is None:
        state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
    with _forgetting(model), exact_moments(weights):
        return model.stateless_call(theta, state, inputs, training=True)[1]


@contextmanager
def _forgetting(model: keras.Model) -> Iterator[None]:
    """Running averages become the latest value."""
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


def apply_model(model: keras.Model, *, native: bool = False) -> Callable[..., tf.Tensor]:
    """(params, inputs [N, ...], weights=None) -> outputs [N, ...] of the model, in training mode.

    Batch normalisation uses statistics of the batch, without its padding where weights tell of it;
    its running statistics are read and never written.
    Normalisation layers get their exact second derivatives (see exact_moments).

    Args:
      native: the function will run on the CPU without XLA; our layers then use fast kernels.
    """
    frozen = [variable.numpy() for variable in model.non_trainable_variables]

    def forward(params: Params, inputs: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        with exact_moments(weights), native_kernels(native):
            return model.stateless_call(params, frozen, inputs, training=True)[0]

    return forward


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a model, those of models inside it included."""
    return list(model._flatten_layers(include_self=False))  # pyright: ignore[reportAttributeAccessIssue]
