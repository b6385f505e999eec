"""Batch normalisation at evaluation: transductive by batch statistics, inductive by task moments.

Transductive: the validation images of a task are normalised by their own statistics, so that they
help each other. Inductive: by the moments of the adapted network over the task's training data,
computed once after adaptation, so that an image is classified whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.losses import ExampleLoss, Metric
from meta_shrink.rng import fold_in
from meta_shrink.task_sources import MOMENTS
from meta_shrink.types import Augment, Params, Task, TaskMetric


def transductive(metric: Metric) -> TaskMetric:
    """The metric on the validation data as one batch."""
    return lambda theta, task: metric(theta, task.val)


def inductive_metric(
    model: keras.Model, example_metric: ExampleLoss, augment: Augment | None = None
) -> TaskMetric:
    """The mean metric on the validation data, normalised by moments of the training data.

    Args:
      model: any built model; those of its layers that are batch normalisations have moments.
      example_metric: (targets, outputs) -> [N].
      augment: drawn once for the images that the moments are of.
    """

    def metric(theta: Params, task: Task) -> tf.Tensor:
        inputs, _ = task.train
        if augment is not None:
            inputs = augment(fold_in(task.key, MOMENTS), inputs)
        state = moments(model, theta, inputs)
        val_inputs, val_targets = task.val
        outputs = model.stateless_call(theta, state, val_inputs, training=False)[0]
        return tf.reduce_mean(example_metric(val_targets, outputs))

    return metric


def moments(
    model: keras.Model, theta: Params, inputs: Any, state: Sequence[Any] | None = None
) -> list[tf.Tensor]:
    """The model's non-trainable state with each batch norm's moments over these inputs [N, ...].

    One forward pass in training mode; the moments are those of the inputs alone, not averaged
    with former ones. state: of what is no moment; the model's own by default.
    """
    if state is None:
        state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
    with _forgetting(model):
        return model.stateless_call(theta, state, inputs, training=True)[1]


@contextmanager
def _forgetting(model: keras.Model) -> Iterator[None]:
    """Running averages become the latest value."""
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
