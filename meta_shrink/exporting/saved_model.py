"""The backbone as one SavedModel whose signatures take the tensors of an adapter as inputs.

    serving_default   inputs                                     -> outputs of phi itself
    serve             inputs, one adapter                        -> outputs
    serve_mixed       inputs [B], adapter_index [B], adapters [A]-> outputs, a row by its adapter
    default_adapter   nothing                                    -> the adapter of phi itself
    gradient          inputs, targets, one adapter's variables   -> gradient of the loss in them
    moments           inputs, one adapter's variables            -> the adapter's moments

Nothing is assigned and no function is traced again when adapters change. The file needs TensorFlow
alone, neither this package nor the model's code. Adapter tensors are called as in the adapter,
with "__" for "/".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec, TensorSpec, argument_name
from meta_shrink.batch_statistics import moments
from meta_shrink.errors import UsageError
from meta_shrink.exporting.row_wise import row_wise
from meta_shrink.exporting.source import (
    ExportSource,
    adapter_tensors,
    call_model,
    input_specs,
    moment_variables,
    relative_path,
    split_adapter,
)
from meta_shrink.losses import REDUCTIONS
from meta_shrink.native_kernels import native_kernels
from meta_shrink.params import dense

INDEX, TARGETS = "adapter_index", "targets"
Tensors = Mapping[str, tf.Tensor]


class Servable(NamedTuple):
    """A module ready to be saved, its signatures, and why serve_mixed is missing, if it is."""

    module: tf.Module
    signatures: dict[str, Any]
    mixed_reason: str
    outputs: tuple[ArraySpec, ...]


def servable(source: ExportSource) -> Servable:
    """Trace all signatures of a source.

    Raises:
      UsageError: the model can not be exported; the message says why.
    """
    module = tf.Module()
    # As variables, they are saved once and not in every signature.
    module.phi = [tf.Variable(value, trainable=False) for value in source.meta.phi]
    module.state = [tf.Variable(value, trainable=False) for value in source.state]
    source = source._replace(meta=source.meta._replace(phi=module.phi), state=module.state)
    inputs, tensors = input_specs(source.model), adapter_tensors(source)
    _refuse_clashes([spec.name for spec in inputs], tensors)
    variables = [spec for spec in tensors if spec.kind == "variable"]
    forward = _forward(source)
    batch = _specs(inputs)
    adapter = {argument_name(spec.name): tf.TensorSpec(spec.shape) for spec in tensors}
    moving = {argument_name(spec.name): tf.TensorSpec(spec.shape) for spec in variables}
    targets = {TARGETS: tf.TensorSpec([None, *source.targets.shape], source.targets.dtype)}
    serve = _traced(lambda **given: forward(*_split(given, inputs, tensors)), batch | adapter)
    signatures = {
        "serving_default": _traced(lambda **given: forward(given, {}), batch),
        "serve": serve,
        "default_adapter": _traced(lambda: _default(source, tensors), {}),
        "gradient": _traced(_gradient(source, inputs, variables), batch | targets | moving),
    }
    if any(spec.kind == "moment" for spec in tensors):
        signatures["moments"] = _traced(_moments(source, inputs, variables), batch | moving)
    mixed, reason = _try_mixed(forward, inputs, tensors)
    if mixed is not None:
        signatures["serve_mixed"] = mixed
    outputs = tuple(
        ArraySpec(name, tuple(spec.shape[1:]), spec.dtype.name)
        for name, spec in serve.structured_outputs.items()
    )
    return Servable(module, signatures, reason, outputs)


def _refuse_clashes(inputs: list[str], tensors: tuple[TensorSpec, ...]) -> None:
    names = [*inputs, INDEX, TARGETS, *(argument_name(spec.name) for spec in tensors)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"Two inputs of the exported model would be called {', '.join(twice)}; rename the "
            "model's inputs or layers."
        )


def _traced(function: Callable[..., Any], specs: Mapping[str, tf.TensorSpec]):
    """A concrete function of keyword arguments."""
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)


def _specs(arrays: tuple[ArraySpec, ...]) -> dict[str, tf.TensorSpec]:
    return {spec.name: tf.TensorSpec([None, *spec.shape], spec.dtype) for spec in arrays}


def _split(given: Tensors, inputs, tensors) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Arguments of a signature -> (inputs, adapter tensors by their own names)."""
    adapter = {spec.name: given[argument_name(spec.name)] for spec in tensors}
    return {spec.name: given[spec.name] for spec in inputs}, adapter


def _forward(source: ExportSource) -> Callable[[Tensors, Tensors], dict[str, tf.Tensor]]:
    """(inputs, adapter tensors) -> outputs, in inference mode."""

    def forward(inputs: Tensors, adapter: Tensors) -> dict[str, tf.Tensor]:
        theta, state = split_adapter(source, adapter)
        with native_kernels():
            return call_model(source.model, theta, state, inputs, training=False)

    return forward


def _try_mixed(forward, inputs, tensors):
    """(concrete function, "") of serve_mixed, or (None, why the model has none)."""
    mixed = row_wise(forward)

    def call(**given: tf.Tensor) -> Tensors:
        index = given.pop(INDEX)
        examples, adapters = _split(given, inputs, tensors)
        return mixed(examples, index, adapters)

    stacked = {argument_name(spec.name): tf.TensorSpec([None, *spec.shape]) for spec in tensors}
    specs = _specs(inputs) | {INDEX: tf.TensorSpec([None], tf.int32)} | stacked
    try:
        return _traced(call, specs), ""
    except ValueError as error:
        first = str(error).strip().splitlines()[-1]
        return None, f"the network can not run with an adapter per row ({first[:200]})"


def _default(source: ExportSource, tensors: tuple[TensorSpec, ...]) -> dict[str, tf.Tensor]:
    values = default_tensors(source, tensors)
    return {argument_name(name): tf.identity(value) for name, value in values.items()}


def default_tensors(source: ExportSource, tensors: tuple[TensorSpec, ...]) -> dict[str, Any]:
    """The adapter of phi itself: {name: tensor}."""
    model = source.model
    values = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    for variable, value in zip(model.non_trainable_variables, source.state, strict=True):
        values[relative_path(model, variable)] = value
    return {spec.name: values[spec.name] for spec in tensors}


def _gradient(source: ExportSource, inputs, variables):
    """Gradient of the loss in the variables given: nothing is computed for any other."""
    reduce = REDUCTIONS[source.adaptation["reduction"]]

    def gradient(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        examples, moving = _split(given, inputs, variables)
        with tf.GradientTape() as tape:
            tape.watch(moving)
            theta, state = split_adapter(source, moving)
            with native_kernels():
                outputs = call_model(source.model, theta, state, examples, training=True)
            output = outputs[next(iter(outputs))] if len(outputs) == 1 else outputs
            loss = reduce(source.example_loss(given[TARGETS], output))
        grads = dense(tape.gradient(loss, moving, unconnected_gradients="zero"))
        return {argument_name(name): grad for name, grad in grads.items()}

    return gradient


def _moments(source: ExportSource, inputs, variables):
    """The moments of the adapted network over these inputs."""
    wanted = [path for path, _ in moment_variables(source.model)]
    paths = [relative_path(source.model, v) for v in source.model.non_trainable_variables]

    def of(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        examples, moving = _split(given, inputs, variables)
        theta, frozen = split_adapter(source, moving)
        one = examples if len(examples) > 1 else next(iter(examples.values()))
        with native_kernels():
            state = dict(zip(paths, moments(source.model, theta, one, frozen), strict=True))
        return {argument_name(path): state[path] for path in wanted}

    return of
