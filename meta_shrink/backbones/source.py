"""What an export starts from: a network, its meta-parameters, and which modules tasks own."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import AdapterTensor, ArraySpec, Recipe, argument_name
from meta_shrink.adapters.recipe import TARGET_WEIGHTS
from meta_shrink.adapters.recipe import TARGETS as TARGETS
from meta_shrink.errors import UsageError
from meta_shrink.losses import ExampleLoss
from meta_shrink.models.moment_variables import moment_variables
from meta_shrink.models.pure_call import mode
from meta_shrink.prior import Selection
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import MetaParams

INDEX, NOISE_KEY = "adapter_index", "noise_key"  # Inputs of exported models beside their own.


class ExportSource(NamedTuple):
    """A trained network as exports take it; any built keras.Model will do.

    name, algorithm: for people. meta: Phi. state: value of each non-trainable variable for phi
    itself (batch-norm moments), in model.non_trainable_variables order. selection: the
    task-specific modules. example_loss: (targets, outputs) -> [N], what adaptation minimises.
    targets: an array of the loss's targets, without its batch axis; one for each output of a model
    with several, in the order of output_names. adaptation: how new tasks are adapted, without its
    targets. probe_range: [low, high) of the fixed input that tells whether an adapter works.
    probe_length: of its axes of any length.
    probe_integers: integers in it are below this, numbers that any such input takes; 0: rounded.
    weights: shape of an example's, of a model with one output, where its numbers count differently.
    """

    name: str
    algorithm: str
    model: keras.Model
    registry: ModuleRegistry
    meta: MetaParams
    state: Sequence[np.ndarray]
    selection: Selection
    example_loss: ExampleLoss
    targets: ArraySpec | tuple[ArraySpec, ...]
    adaptation: Recipe
    probe_range: tuple[float, float] = (0.0, 1.0)
    probe_length: int = 16
    probe_integers: int = 0
    weights: tuple[int | None, ...] | None = None


def adapter_tensors(source: ExportSource) -> tuple[AdapterTensor, ...]:
    """The tensors of an adapter: variables of the selected modules, then all moments.

    Raises:
      UsageError: an adapter tensor would not be float32.
    """
    model, registry = source.model, source.registry
    specs = tensors_of(model, registry, source.selection.modules)
    learned = zip(registry.paths, model.trainable_variables, strict=True)
    chosen = {spec.name for spec in specs}
    for path, variable in [*learned, *moment_variables(model)]:
        if path in chosen and variable.dtype != "float32":
            raise UsageError(f"{path} is {variable.dtype}; an adapter holds float32 tensors only.")
    return specs


def tensors_of(
    model: keras.Model, registry: ModuleRegistry, modules: Collection[str]
) -> tuple[AdapterTensor, ...]:
    """The tensors of an adapter with these task-specific modules."""
    variables = [
        AdapterTensor(path, registry.names[module], shape, "variable")
        for path, shape, module in zip(registry.paths, registry.shapes, registry.index, strict=True)
        if registry.names[module] in modules
    ]
    moments = [
        AdapterTensor(path, path.rpartition("/")[0] or path, tuple(variable.shape), "moment")
        for path, variable in moment_variables(model)
    ]
    return (*variables, *moments)


def refuse_clashes(specs: Sequence[ArraySpec | AdapterTensor]) -> None:
    """Inputs, targets and adapter tensors are arguments of an exported model, each by its name.

    Raises:
      UsageError: two would have one name, or one has that of an argument of every export.
    """
    names = [INDEX, NOISE_KEY, *(argument_name(spec.name) for spec in specs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"Two inputs of the exported model would be called {', '.join(twice)}; rename the "
            "model's inputs or layers."
        )


def split_adapter(
    source: ExportSource, adapter: Mapping[str, tf.Tensor]
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Adapter tensors by name -> (theta, non-trainable state), both whole, for stateless_call.

    What the adapter does not hold is phi, or the state of the source; so is all that is frozen,
    even under the path of something that learns.
    """
    theta = [
        adapter.get(path, value)
        for path, value in zip(source.registry.paths, source.meta.phi, strict=True)
    ]
    paths = {id(variable): path for path, variable in moment_variables(source.model)}
    state = [
        adapter.get(paths.get(id(variable), ""), value)
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
    structure = getattr(model, "_inputs_struct", tensors)
    names = sorted(structure) if isinstance(structure, dict) else [x.name for x in tensors]
    if len(names) != len(tensors) or any(map(keras.tree.is_nested, _parts(structure))):
        raise UsageError(
            f"Model {model.name!r} takes inputs inside of inputs; wrap it: keras.Model([x, y], "
            "model(...)) with one named keras.Input for each."
        )
    if text := [x.name for x in tensors if x.dtype == "string"]:
        raise UsageError(
            f"The input {text[0]!r} of model {model.name!r} takes text: make numbers of it in the "
            "data (keras.layers.TextVectorization, StringLookup or Hashing outside of the model)."
        )
    made_up = [name for name in names if name.startswith("keras_tensor")]
    new = ["inputs"] if len(names) == 1 else [f"inputs_{number}" for number in range(len(names))]
    return tuple(
        ArraySpec(given if name in made_up else name, tuple(tensor.shape[1:]), tensor.dtype)
        for name, given, tensor in zip(names, new, tensors, strict=True)
    )


def _parts(structure: Any) -> Sequence[Any]:
    values = structure.values() if isinstance(structure, Mapping) else structure
    return list(values) if keras.tree.is_nested(structure) else [structure]


def model_inputs(model: keras.Model, inputs: Mapping[str, tf.Tensor]) -> Any:
    """Inputs by name in the structure that a Keras model was built with."""
    flat = [inputs[spec.name] for spec in input_specs(model)]
    structure = getattr(model, "_inputs_struct", None)
    return flat[0] if structure is None else keras.tree.pack_sequence_as(structure, flat)


def output_names(model: keras.Model) -> tuple[str, ...]:
    """A name for each output: its keys in a dict, otherwise its layer; one alone is "outputs".

    What would be called as another one before it gets a number.
    """
    paths = keras.tree.flatten_with_path(getattr(model, "_outputs_struct", [None]))
    if len(paths) == 1 and not any(isinstance(key, str) for key in paths[0][0]):
        return ("outputs",)
    names: list[str] = []
    for (path, _), layer in zip(paths, model.output_names, strict=True):
        keyed = any(isinstance(key, str) for key in path)
        name = "_".join(map(str, path)) if keyed else layer
        others = (f"{name}_{number}" for number in itertools.count(1))
        names.append(name if name not in names else next(n for n in others if n not in names))
    return tuple(names)


def target_arrays(source: ExportSource) -> tuple[ArraySpec, ...]:
    """What a source's loss compares with: "targets", perhaps with "targets_weights"; or "targets_"
    + its name for each output.

    Raises:
      UsageError: not as many as the model has outputs, or weights for several.
    """
    weights = source.weights
    if isinstance(source.targets, ArraySpec):
        own = () if weights is None else (ArraySpec(TARGET_WEIGHTS, weights, "float32"),)
        return (replace(source.targets, name=TARGETS), *own)
    if weights is not None:
        raise UsageError("The source has weights and several targets; give one, or no weights.")
    names = output_names(source.model)
    if len(source.targets) != len(names):
        raise UsageError(
            f"The source has {len(source.targets)} targets, but the model has the outputs "
            f"{', '.join(names)}: give an ArraySpec for each."
        )
    pairs = zip(names, source.targets, strict=True)
    return tuple(replace(spec, name=f"{TARGETS}_{name}") for name, spec in pairs)


def model_targets(source: ExportSource, targets: Mapping[str, tf.Tensor]) -> Any:
    """Targets by name as the loss takes them: one alone, or in the structure of the outputs."""
    if isinstance(source.targets, ArraySpec):
        return targets[TARGETS]
    flat = [targets[spec.name] for spec in target_arrays(source)]
    structure = getattr(source.model, "_outputs_struct", [None])
    return keras.tree.pack_sequence_as(structure, flat)


def call_model(
    model: keras.Model, theta, state, inputs: Mapping[str, tf.Tensor], *, training: bool
) -> dict[str, tf.Tensor]:
    """One pure call: inputs by name -> outputs by name (output_names)."""
    given = model_inputs(model, inputs)
    outputs = model.stateless_call(theta, state, given, **mode(model, training=training))[0]
    return dict(zip(output_names(model), keras.tree.flatten(outputs), strict=True))
