"""What an export starts from: a network, its meta-parameters, and which modules tasks own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec, TensorSpec
from meta_shrink.errors import UsageError
from meta_shrink.keras_model import flat_layers
from meta_shrink.losses import ExampleLoss
from meta_shrink.prior import Selection
from meta_shrink.registry import ModuleRegistry, relative_path
from meta_shrink.types import MetaParams


class ExportSource(NamedTuple):
    """A trained network as exports take it; any built keras.Model will do.

    name, algorithm: for people. meta: Phi. state: value of each non-trainable variable for phi
    itself (batch-norm moments), in model.non_trainable_variables order. selection: the
    task-specific modules. example_loss: (targets, outputs) -> [N], what adaptation minimises.
    targets: an array of the loss's targets, without its batch axis. adaptation: how new tasks are
    adapted: {"optimizer": {"name", ...}, "steps", "batch_size" (0: all examples), "reduction"
    ("mean" or "sum" of the loss over examples), "augment": {} or options of random_affine,
    "metric": a name of losses.METRICS or ""}. probe_range: [low, high) of the fixed input that
    tells whether an adapter works.
    """

    name: str
    algorithm: str
    model: keras.Model
    registry: ModuleRegistry
    meta: MetaParams
    state: Sequence[np.ndarray]
    selection: Selection
    example_loss: ExampleLoss
    targets: ArraySpec
    adaptation: Mapping[str, Any]
    probe_range: tuple[float, float] = (0.0, 1.0)


def adapter_tensors(source: ExportSource) -> tuple[TensorSpec, ...]:
    """The tensors of an adapter: variables of the selected modules, then all moments.

    Raises:
      UsageError: an adapter tensor would not be float32.
    """
    model, registry = source.model, source.registry
    specs = [
        TensorSpec(path, registry.names[module], shape, "variable")
        for path, shape, module in zip(registry.paths, registry.shapes, registry.index, strict=True)
        if registry.names[module] in source.selection.modules
    ]
    specs += [
        TensorSpec(path, path.rpartition("/")[0] or path, tuple(variable.shape), "moment")
        for path, variable in moment_variables(model)
    ]
    chosen = {spec.name for spec in specs}
    for variable in model.variables:
        path = relative_path(model, variable)
        if path in chosen and variable.dtype != "float32":
            raise UsageError(f"{path} is {variable.dtype}; an adapter holds float32 tensors only.")
    return tuple(specs)


def moment_variables(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """(path, variable) of the moments of every batch normalisation, in network order."""
    owned = {
        id(variable)
        for layer in flat_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.non_trainable_variables
    }
    return [
        (relative_path(model, variable), variable)
        for variable in model.non_trainable_variables
        if id(variable) in owned
    ]


def split_adapter(
    source: ExportSource, adapter: Mapping[str, tf.Tensor]
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Adapter tensors by name -> (theta, non-trainable state), both whole, for stateless_call.

    What the adapter does not hold is phi, or the state of the source.
    """
    theta = [
        adapter.get(path, value)
        for path, value in zip(source.registry.paths, source.meta.phi, strict=True)
    ]
    state = [
        adapter.get(relative_path(source.model, variable), value)
        for variable, value in zip(source.model.non_trainable_variables, source.state, strict=True)
    ]
    return theta, state


def input_specs(model: keras.Model) -> tuple[ArraySpec, ...]:
    """The inputs of a model; one input whose name Keras made up is called "inputs".

    Raises:
      UsageError: a subclassed model, which does not say what its inputs are.
    """
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise UsageError(
            f"Model {model.name!r} has no `inputs`; wrap it: keras.Model(x, model(x)) with one "
            "keras.Input x for each input."
        )
    made_up = len(tensors) == 1 and tensors[0].name.startswith("keras_tensor")
    return tuple(
        ArraySpec("inputs" if made_up else tensor.name, tuple(tensor.shape[1:]), tensor.dtype)
        for tensor in tensors
    )


def model_inputs(inputs: Mapping[str, tf.Tensor]) -> Any:
    """Inputs by name as a Keras model takes them: one alone without its name."""
    return dict(inputs) if len(inputs) > 1 else next(iter(inputs.values()))


def call_model(
    model: keras.Model, theta, state, inputs: Mapping[str, tf.Tensor], *, training: bool
) -> dict[str, tf.Tensor]:
    """One pure call: inputs by name -> outputs by name ("outputs" where there is only one)."""
    outputs = model.stateless_call(theta, state, model_inputs(inputs), training=training)[0]
    flat = tf.nest.flatten(outputs)
    names = ["outputs"] if len(flat) == 1 else list(model.output_names)
    return dict(zip(names, flat, strict=True))
