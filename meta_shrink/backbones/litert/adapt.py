"""Adaptation as a function that LiteRT can run: proximal steps by gradients of builtin operations.

Deviations from training: every step sees all examples, without augmentation and without the noise
of layers that draw at random; and each call starts the task optimizer afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.adaptation import AdaptState, learning_rates, proximal_steps
from meta_shrink.adapters.backbone_info import argument_name
from meta_shrink.backbones.litert.gradients import builtin_gradients
from meta_shrink.backbones.litert.loop_invariant import in_two_parts
from meta_shrink.backbones.signatures import (
    adapter_specs,
    as_arguments,
    batch_specs,
    concrete,
    loss_of,
    moments_of,
    split_arguments,
)
from meta_shrink.backbones.source import (
    ExportSource,
    adapter_tensors,
    input_specs,
    target_arrays,
)
from meta_shrink.errors import UsageError
from meta_shrink.params import dense
from meta_shrink.proximal import TASK_OPTIMIZERS
from meta_shrink.sections import named

NUM_STEPS = "num_steps"
Specs = dict[str, tf.TensorSpec]
Tensors = Mapping[str, tf.Tensor]


def adapt_signature(source: ExportSource, examples: int) -> Any:
    """Concrete function (inputs [N, ...], targets [N, ...], variables, num_steps []) -> adapter.

    Proximal steps from the given variables towards phi; gradients are computed for the selected
    modules only. Batch norm uses batch statistics; the moments of the result are those of the
    adapted network over the inputs.

    Args:
      source: with arrays for tensors.
      examples: N.

    Raises:
      UsageError: an unknown task optimizer, or inputs or targets with an axis of any length.
    """
    specs = _specs(source, examples)
    arrays = [*input_specs(source.model), *target_arrays(source)]
    inputs = {argument_name(spec.name): spec.name for spec in input_specs(source.model)}
    paths = [spec.name for spec in adapter_tensors(source) if spec.kind == "variable"]
    names = [argument_name(path) for path in paths]
    prior = _prior(source, paths)
    optimizer = named("adapt", TASK_OPTIMIZERS, source.adaptation.optimizer)
    gradient = in_two_parts(concrete(_gradient(source, paths), specs), names)

    def adapt(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        known = gradient.before({n: given[n] for n in batch_specs(arrays)})
        theta = [given[name] for name in names]
        theta = proximal_steps(
            lambda theta, _: gradient.step(known, dict(zip(names, theta, strict=True))),
            optimizer,
            lambda step: (),
            AdaptState(theta, optimizer.init(theta), tf.constant(0)),
            prior,
            given[NUM_STEPS],
        ).theta
        examples = {name: given[argument] for argument, name in inputs.items()}
        adapted = dict(zip(paths, theta, strict=True))
        return as_arguments(adapted | moments_of(source, examples, adapted))

    return concrete(adapt, specs | {NUM_STEPS: tf.TensorSpec([], tf.int32)})


def _specs(source: ExportSource, examples: int) -> Specs:
    """All arguments of adapt but the number of steps."""
    arrays = [*input_specs(source.model), *target_arrays(source)]
    specs = {
        argument_name(spec.name): tf.TensorSpec([examples, *spec.shape], spec.dtype)
        for spec in arrays
    }
    loose = [name for name, spec in specs.items() if not spec.shape.is_fully_defined()]
    if loose:
        raise UsageError(
            f"{', '.join(loose)} has an axis of any length; adaptation in LiteRT needs fixed "
            "shapes: build the model for one length, or export without adapt."
        )
    own = [spec for spec in adapter_tensors(source) if spec.kind == "variable"]
    return specs | adapter_specs(own)


def _prior(source: ExportSource, paths: list[str]) -> tuple[list[Any], list[Any], list[Any]]:
    """phi, precisions and learning rates of the variables, as numbers."""
    registry, meta = source.registry, source.meta
    precision = registry.spread(tf.exp(-tf.constant(meta.log_sigma2)))
    columns = meta.phi, precision, learning_rates(meta, registry)
    own = [registry.paths.index(path) for path in paths]
    phi, precision, alpha = ([np.asarray(column[v]) for v in own] for column in columns)
    return phi, precision, alpha


def _gradient(source: ExportSource, paths: list[str]) -> Callable[..., list[tf.Tensor]]:
    """(inputs, targets, variables) -> gradient of the loss in the variables, a list."""

    def gradient(**given: tf.Tensor) -> list[tf.Tensor]:
        moving = {path: given.pop(argument_name(path)) for path in paths}
        examples, targets = split_arguments(given, input_specs(source.model), target_arrays(source))
        with builtin_gradients():
            loss = loss_of(source, examples, targets, moving)
        gradients = tf.gradients(loss, [*moving.values()], unconnected_gradients="zero")
        return dense(gradients)  # in_two_parts takes tensors alone.

    return gradient
