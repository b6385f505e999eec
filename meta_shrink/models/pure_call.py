"""One call of a Keras model in training mode, as a pure function."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from meta_shrink.models import private_names
from meta_shrink.models.kernels.exact_functions import exact_functions, nothing_recomputed
from meta_shrink.models.kernels.exact_moments import exact_moments, masks_without_padding
from meta_shrink.models.noise import drawing, seeded


class Called(NamedTuple):
    """What a call of a model gives.

    outputs: in the model's own structure. state: the non-trainable variables after the call.
    penalties: scalars that Keras adds to a loss: regularizers and what layers give to add_loss.
    """

    outputs: Any
    state: Sequence[Any]
    penalties: Sequence[tf.Tensor]


def pure_call(
    model: keras.Model,
    params: Sequence[Any],
    state: Sequence[Any],
    inputs: Any,
    *,
    key: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
    second_derivatives: bool = True,
) -> Called:
    """The model in training mode.

    Args:
      params, state: values of the trainable and the non-trainable variables.
      key: of the noise of layers that draw at random; without one they do not.
      weights: of the examples [N, ...]; those of weight 0 are left out of batch statistics.
      second_derivatives: make them exact; without, TensorFlow's own operations stay.
    """
    exact = exact_functions() if second_derivatives else nullcontext()
    norms = batch_norms(model)
    masks = masks_without_padding(norms, weights)
    silent = drawing(model, key is not None)
    with exact_moments(weights), masks, exact, nothing_recomputed(), silent:
        results: Any = model.stateless_call(
            params,
            seeded(model, state, key),
            inputs,
            return_losses=True,
            **mode(model, training=True),
        )
        outputs, after, penalties = results
        # Keras adds the numbers of a penalty that has several, one for each example for instance.
        return Called(outputs, after or [], [tf.reduce_sum(x) for x in penalties or []])


def mode(model: keras.Model, *, training: bool) -> dict[str, bool]:
    """The argument of a call for this mode, as Keras's fit and predict call a model: one whose call
    does not take it does without."""
    parameters = inspect.signature(model.call).parameters.values()
    takes = any(p.name == "training" or p.kind == p.VAR_KEYWORD for p in parameters)
    return {"training": training} if takes else {}


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalisations of a model, those inside other layers included."""
    layers = private_names.flat_layers(model)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def mask_of(output: tf.Tensor) -> tf.Tensor | None:
    """The mask that a model's output has: [N] or [N, T, ...], false where a step is padding."""
    return private_names.keras_mask(output)
