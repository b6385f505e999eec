"""Layers and variables that cannot be meta-learned right, whatever their graph is."""

from __future__ import annotations

import re

import keras
import numpy as np

from meta_shrink.errors import UsageError
from meta_shrink.models.moment_variables import check_paths
from meta_shrink.models.private_names import flat_layers

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_./>-]*")  # TensorFlow's rule for names of scopes.
HALF_TYPES = ("float16", "bfloat16")


def check_layers(model: keras.Model) -> None:
    """The variables may have every value and keep it; the layers carry nothing over.

    Raises:
      UsageError: one may not or does; the sentence names it.
    """
    check_paths(model)
    types = {variable.dtype for variable in model.trainable_variables}
    for variable in model.trainable_variables:
        # A whole network of doubles is for the library; experiments refuse it.
        _check_kind(variable, "float64" if types == {"float64"} else "float32")
    for variable in model.variables:
        _check_numbers(variable)
    for layer in flat_layers(model):
        if not isinstance(layer, keras.layers.InputLayer) and not _SCOPE.fullmatch(layer.name):
            raise UsageError(
                f"Layer {layer.name!r} has a name that no TensorFlow graph can hold: rename it, "
                "with letters, digits and . _ - only, a letter or digit first."
            )
        if getattr(layer, "stateful", False):
            raise UsageError(
                f"Layer {layer.name!r} has stateful=True, but tasks are independent and nothing "
                "is carried from one batch to the next: use stateful=False."
            )
        if getattr(layer, "renorm", False):
            raise UsageError(
                f"Layer {layer.name!r} has renorm=True, which needs running averages over all "
                "tasks: use batch normalisation without it."
            )


def _check_kind(variable: keras.Variable, dtype: str) -> None:
    """What is learned may be."""
    if variable.constraint is not None:
        raise UsageError(
            f"{variable.path} has the constraint {type(variable.constraint).__name__}, which "
            "proximal steps do not keep: remove it, or write the layer so that every value of "
            "the variable is allowed."
        )
    if getattr(variable, "overwrite_with_gradient", False):
        raise UsageError(
            f"{variable.path} is a scale that Keras overwrites in its own training (float8): "
            "quantize the layers after meta-training, or to int8."
        )
    if variable.dtype in HALF_TYPES:
        raise UsageError(
            f"{variable.path} is {variable.dtype}, too coarse for a prior around it: keep "
            f"variables in float32 (the policy mixed_{variable.dtype} computes in "
            f"{variable.dtype})."
        )
    if variable.dtype != dtype:
        raise UsageError(
            f"{variable.path} is {variable.dtype}, and what is learned beside it {dtype}: make its "
            f"layer with dtype={dtype!r}, or freeze it."
        )
    if 0 in variable.shape:
        raise UsageError(
            f"{variable.path} has the shape {tuple(variable.shape)}, in which there is nothing to "
            "learn: leave it out, or make it with trainable=False."
        )


def _check_numbers(variable: keras.Variable) -> None:
    """Numbers are numbers; what is frozen may be infinite, as a mask is."""
    if "float" not in variable.dtype:
        return
    numbers = variable.numpy()
    odd = ~np.isfinite(numbers) if variable.trainable else np.isnan(numbers)
    if count := int(np.sum(odd)):
        raise UsageError(
            f"{variable.path} has {count} of {numbers.size} numbers that are NaN"
            f"{' or infinite' if variable.trainable else ''}: load the model's weights anew."
        )
