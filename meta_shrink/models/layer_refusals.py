"""Layers and variables that cannot be meta-learned right, whatever their graph is."""

from __future__ import annotations

import re

import keras

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
    for variable in model.trainable_variables:
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
