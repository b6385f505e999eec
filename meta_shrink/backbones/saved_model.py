"""The backbone as one SavedModel whose signatures take the tensors of an adapter as inputs.

    serving_default   inputs                                     -> outputs of phi itself
    serve             inputs, one adapter                        -> outputs
    serve_mixed       inputs [B], adapter_index [B], adapters [A]-> outputs, a row by its adapter
    default_adapter   nothing                                    -> the adapter of phi itself
    gradient          inputs, targets, one adapter's variables   -> gradient of the loss in them
                      (and noise_key [2], where layers draw at random)
    moments           inputs, one adapter's variables            -> the adapter's moments
    mask              inputs, one adapter                        -> which steps of the output count
    speak             features, state, an adapter per row        -> samples of a WaveNet (`voices`)

Nothing is assigned and no function is traced again when adapters change. The file needs TensorFlow
alone, neither this package nor the model's code. Adapter tensors are called as in the adapter,
with "__" for "/" (argument_name).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec, argument_name
from meta_shrink.backbones.row_wise import row_wise
from meta_shrink.backbones.signatures import (
    adapter_specs,
    as_arguments,
    batch_specs,
    concrete,
    default_tensors,
    loss_of,
    mask_of_one,
    moments_of,
    outputs_of,
    split_arguments,
)
from meta_shrink.backbones.source import (
    INDEX,
    NOISE_KEY,
    ExportSource,
    adapter_tensors,
    input_specs,
    refuse_clashes,
    target_arrays,
)
from meta_shrink.backbones.voices import speak_signature
from meta_shrink.errors import foreign
from meta_shrink.models.kernels.native_kernels import native_kernels
from meta_shrink.models.noise import random_layers
from meta_shrink.models.refusals import check_network
from meta_shrink.params import dense
from meta_shrink.speech.synthesis import speaks

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
      UsageError: the model cannot be exported; the message says why.
    """
    module = tf.Module()
    source = _with_variables(module, source)
    inputs, targets = input_specs(source.model), target_arrays(source)
    tensors = adapter_tensors(source)
    check_network(source.model)
    refuse_clashes([*inputs, *targets, *tensors])
    variables = [spec for spec in tensors if spec.kind == "variable"]
    batch, adapter, moving = batch_specs(inputs), adapter_specs(tensors), adapter_specs(variables)
    noise = {NOISE_KEY: tf.TensorSpec([2], tf.int32)} if random_layers(source.model) else {}

    masks: list[tf.Tensor | None] = []  # As the traces of the network find them.

    def forward(examples: Tensors, own: Tensors) -> dict[str, tf.Tensor]:
        with native_kernels():
            outputs = outputs_of(source, examples, own)
        masks.append(mask_of_one(outputs))
        return outputs

    default = as_arguments(default_tensors(source, tensors))
    serve = concrete(
        lambda **given: forward(*split_arguments(given, inputs, tensors)), batch | adapter
    )
    signatures = {
        "serving_default": concrete(
            lambda **given: forward(*split_arguments(given, inputs, ())), batch
        ),
        "serve": serve,
        "default_adapter": concrete(lambda: tf.nest.map_structure(tf.identity, default), {}),
        "gradient": concrete(
            _gradient(source, inputs, targets, variables),
            batch | batch_specs(targets) | moving | noise,
        ),
    }
    if any(spec.kind == "moment" for spec in tensors):
        signatures["moments"] = concrete(_moments(source, inputs, variables), batch | moving)
    if masks[0] is not None:
        signatures["mask"] = concrete(_mask(source, inputs, tensors), batch | adapter)
    if speaks(source.registry.paths, source.adaptation.recordings.get("speaker")):
        signatures["speak"] = speak_signature(source, tensors)
    mixed, reason = _try_mixed(forward, inputs, tensors)
    if mixed is not None:
        signatures["serve_mixed"] = mixed
    return Servable(module, signatures, reason, _output_specs(serve))


def _with_variables(module: Any, source: ExportSource) -> ExportSource:
    """The source with phi and state as variables of the module: saved once, not per signature."""
    module.phi = [tf.Variable(value, trainable=False) for value in source.meta.phi]
    module.state = [tf.Variable(value, trainable=False) for value in source.state]
    return source._replace(meta=source.meta._replace(phi=module.phi), state=module.state)


def _output_specs(serve: Any) -> tuple[ArraySpec, ...]:
    return tuple(
        ArraySpec(name, tuple(spec.shape[1:]), spec.dtype.name)
        for name, spec in serve.structured_outputs.items()
    )


def _mask(source: ExportSource, inputs, tensors):
    """Which steps of the one output count, [B] or [B, T, ...]."""

    def mask(**given: tf.Tensor) -> Tensors:
        with native_kernels():
            outputs = outputs_of(source, *split_arguments(given, inputs, tensors))
        return {"mask": tf.cast(mask_of_one(outputs), tf.float32)}

    return mask


def _try_mixed(forward, inputs, tensors):
    """(concrete function, "") of serve_mixed, or (None, why the model has none)."""
    mixed = row_wise(forward)

    def call(**given: tf.Tensor) -> Tensors:
        index = given.pop(INDEX)
        examples, adapters = split_arguments(given, inputs, tensors)
        return mixed(examples, index, adapters)

    stacked = {argument_name(spec.name): tf.TensorSpec([None, *spec.shape]) for spec in tensors}
    specs = batch_specs(inputs) | {INDEX: tf.TensorSpec([None], tf.int32)} | stacked
    try:
        return concrete(call, specs), ""
    except ValueError as error:
        first = str(error).strip().splitlines()[-1]
        return None, f"the network cannot run with an adapter per row ({foreign(first, 200)})"


def _gradient(source: ExportSource, inputs, targets, variables):
    """Gradient of the loss in the variables given: nothing is computed for any other."""

    def gradient(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        examples, moving = split_arguments(given, inputs, variables)
        aims, _ = split_arguments(given, targets, ())
        with tf.GradientTape() as tape, native_kernels():
            tape.watch(moving)
            loss = loss_of(source, examples, aims, moving, given.get(NOISE_KEY))
        return as_arguments(dense(tape.gradient(loss, moving, unconnected_gradients="zero")))

    return gradient


def _moments(source: ExportSource, inputs, variables):
    """The moments of the adapted network over these inputs."""

    def moments(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        with native_kernels():
            return as_arguments(moments_of(source, *split_arguments(given, inputs, variables)))

    return moments
