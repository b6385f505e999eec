"""Batch normalisations that would be in another mode where noise is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.noise import random_layers
from meta_shrink.models.private_names import flat_layers
from meta_shrink.models.pure_call import batch_norms


def check_norms_in_noise(model: keras.Model, noisy: Sequence[Any], silent: Sequence[Any]) -> None:
    """Batch normalisations take the batch's moments with noise and without.

    A layer that draws at random is called as outside training where noise is off, and may hand
    that on. Metrics and moments would be of another network than the one that is trained.

    Args:
      noisy, silent: the non-trainable variables after a traced call with noise and without.

    Raises:
      UsageError: one does not; the sentence names it and the layer around it.
    """
    pairs = zip(model.non_trainable_variables, noisy, silent, strict=True)
    changed = {
        id(v) for v, with_noise, without in pairs if _written(with_noise) != _written(without)
    }
    for norm in batch_norms(model):
        if changed & {id(variable) for variable in norm.non_trainable_variables}:
            around = [x.name for x in random_layers(model) if norm in flat_layers(x)]
            raise UsageError(
                f"Layer {around[-1]!r} draws at random and hands its argument `training` on to the "
                f"batch normalisation {norm.name!r}, which would take other moments where noise is "
                "off: call it without that argument, or draw in a layer of its own "
                "(keras.layers.Dropout)."
            )


def _written(value: Any) -> bool:
    """Whether a variable after a traced call is no longer the constant that was given."""
    return tf.get_static_value(value) is None
