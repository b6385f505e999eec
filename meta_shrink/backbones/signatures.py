"""The network of a source as pure functions of inputs and adapter tensors, and their signatures.

Adapter tensors are given by their own names, {"conv_0/kernel": tensor}; what an adapter does not
hold is phi. TensorFlow's own kernels, if any, are the caller's choice (native_kernels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from meta_shrink.adapters.backbone_info import AdapterTensor, ArraySpec, argument_name
from meta_shrink.adapters.recipe import TARGET_WEIGHTS
from meta_shrink.backbones.source import (
    ExportSource,
    call_model,
    model_inputs,
    model_targets,
    split_adapter,
)
from meta_shrink.keras_model import moments
from meta_shrink.losses import loss_of_call
from meta_shrink.models.moment_variables import moments_by_path
from meta_shrink.models.pure_call import mask_of, pure_call

Tensors = Mapping[str, tf.Tensor]


def outputs_of(source: ExportSource, inputs: Tensors, adapter: Tensors) -> dict[str, tf.Tensor]:
    """Outputs by name in inference mode."""
    theta, state = split_adapter(source, adapter)
    return call_model(source.model, theta, state, inputs, training=False)


def mask_of_one(outputs: Tensors) -> tf.Tensor | None:
    """The mask of the one output of a network; None where there is none, or several outputs."""
    values = list(outputs.values())
    return mask_of(values[0]) if len(values) == 1 else None


def loss_of(
    source: ExportSource,
    inputs: Tensors,
    targets: Tensors,
    moving: Tensors,
    key: tf.Tensor | None = None,
) -> tf.Tensor:
    """What adaptation minimises, without the prior, []: in training mode, with noise by the key."""
    theta, state = split_adapter(source, moving)
    given = model_inputs(source.model, inputs)
    called = pure_call(source.model, theta, state, given, key=key, second_derivatives=False)
    return loss_of_call(
        called,
        source.example_loss,
        model_targets(source, targets),
        None if source.weights is None else targets[TARGET_WEIGHTS],
        reduction=source.adaptation.reduction,
    )


def moments_of(source: ExportSource, inputs: Tensors, moving: Tensors) -> dict[str, tf.Tensor]:
    """The batch-norm moments of the network with these variables over the inputs."""
    model = source.model
    theta, state = split_adapter(source, moving)
    values = moments(model, theta, model_inputs(model, inputs), state)
    return moments_by_path(model, values)


def default_tensors(source: ExportSource, tensors: Iterable[AdapterTensor]) -> dict[str, Any]:
    """The adapter of phi itself: {name: tensor}."""
    values = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    values |= moments_by_path(source.model, source.state)
    return {spec.name: values[spec.name] for spec in tensors}


def concrete(function: Callable[..., Any], specs: Mapping[str, tf.TensorSpec]) -> Any:
    """The function traced for keyword arguments of these shapes and types."""
    arguments = {
        name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()
    }
    return tf.function(function, autograph=False).get_concrete_function(**arguments)


def batch_specs(arrays: Iterable[ArraySpec]) -> dict[str, tf.TensorSpec]:
    """Arguments [B, ...] for these arrays."""
    return {
        argument_name(spec.name): tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in arrays
    }


def adapter_specs(tensors: Iterable[AdapterTensor]) -> dict[str, tf.TensorSpec]:
    """Arguments for the tensors of one adapter."""
    return {argument_name(spec.name): tf.TensorSpec(spec.shape) for spec in tensors}


def split_arguments(
    given: Tensors, inputs: Iterable[ArraySpec], tensors: Iterable[ArraySpec | AdapterTensor]
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Arguments of a signature -> (inputs, adapter tensors by their own names)."""
    return _by_own_name(given, inputs), _by_own_name(given, tensors)


def _by_own_name(
    given: Tensors, specs: Iterable[ArraySpec | AdapterTensor]
) -> dict[str, tf.Tensor]:
    return {spec.name: given[argument_name(spec.name)] for spec in specs}


def as_arguments(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Adapter tensors by the names that arguments have."""
    return {argument_name(name): value for name, value in tensors.items()}
