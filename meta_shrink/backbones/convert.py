"""An adapter in other forms: inside a Keras model, and as a tf.train.Checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.full_disk import full_disk_told
from meta_shrink.errors import ArtefactError, UsageError
from meta_shrink.models.moment_variables import check_paths, moment_variables
from meta_shrink.variable_paths import relative_path


def merge(adapter: Adapter, model: keras.Model) -> None:
    """Put an adapter's tensors into the variables of a model, which becomes that task's model.

    Args:
      model: the backbone's own architecture with phi in it; its other variables stay.

    Raises:
      UsageError: the model lacks a variable of the adapter, or has it twice or in another shape.
    """
    check_paths(model)
    variables = {relative_path(model, variable): variable for variable in model.variables}
    # What is frozen may have the path of something that learns.
    variables |= {
        relative_path(model, variable): variable for variable in model.trainable_variables
    }
    variables |= dict(moment_variables(model))
    for name, value in adapter.tensors.items():
        if name not in variables or tuple(variables[name].shape) != value.shape:
            raise UsageError(
                f"Model {model.name!r} has no variable {name} of shape {list(value.shape)}, which "
                "the adapter holds; build the model that the backbone was exported from."
            )
    for name, value in adapter.tensors.items():
        variables[name].assign(value)


def to_checkpoint(adapter: Adapter, prefix: str) -> str:
    """Write an adapter's tensors as a tf.train.Checkpoint, for programs with TensorFlow alone.

    The checkpoint has no fingerprint and no probe: keep the adapter file.

    Returns:
      The path that tf.train.load_checkpoint takes; a tensor's key is "adapter/" + its name, with
      TensorFlow's ".." for a dot, + "/.ATTRIBUTES/VARIABLE_VALUE".

    Raises:
      DiskError, UsageError: it cannot be written.
    """
    values = {name: tf.Variable(value) for name, value in adapter.tensors.items()}
    with full_disk_told(prefix):
        os.makedirs(os.path.dirname(os.path.abspath(prefix)), exist_ok=True)
        return tf.train.Checkpoint(adapter=_nested(values)).write(prefix)


def from_checkpoint(prefix: str, backbone: BackboneInfo) -> dict[str, np.ndarray]:
    """The tensors of such a checkpoint, to be made an adapter again (Backbone.seal).

    Raises:
      ArtefactError: it cannot be read, or lacks a tensor of this backbone or has another shape.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ArtefactError(f"{prefix} is no checkpoint that can be read ({error}).") from error
    tensors = {}
    for spec in backbone.tensors:
        key = f"adapter/{spec.name.replace('.', '..')}/.ATTRIBUTES/VARIABLE_VALUE"
        if key not in shapes or tuple(shapes[key]) != spec.shape:
            raise ArtefactError(
                f"{prefix} has no {spec.name} of shape {list(spec.shape)}: it is not of an adapter "
                f"of {backbone.name}."
            )
        tensors[spec.name] = reader.get_tensor(key)
    return tensors


def _nested(values: Mapping[str, tf.Variable]) -> dict[str, Any]:
    """Dicts whose keys are the parts of the names."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = name.split("/")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return root
