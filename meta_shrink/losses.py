"""Negative log-likelihoods of a Keras model as pure functions of (params, batch).

Scale: `reduction="mean"` (default) averages over the examples of a batch; sigma^2 is then N times
the Bayesian one, N the number of training examples. `reduction="sum"` is the exact posterior.
With weights w (see types.Batch) and losses l they are sum(w l) / sum(w) and sum(w l); a mask of
the model's output (padded steps of a sequence) is a factor of w. What Keras adds to a loss
(regularizers, add_loss) is added once. Losses of float16 and bfloat16 outputs are float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.keras_model import make_call
from meta_shrink.models.noise import random_layers
from meta_shrink.models.pure_call import Called, mask_of
from meta_shrink.models.refusals import (
    check_input_names,
    check_network,
    check_second_derivatives,
    example_specs,
)
from meta_shrink.network_loss import NetworkLoss
from meta_shrink.speech.prosody_loss import prosody
from meta_shrink.types import Batch, Params, batch_parts

ExampleLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Metric = Callable[[Params, Batch], tf.Tensor]
REDUCTIONS = ("mean", "sum")


def reduced(losses: tf.Tensor, weights: tf.Tensor | None = None, *, reduction: str) -> tf.Tensor:
    """Losses [N, ...] -> [] with weights [N], or as many leading axes of the losses as they have.

    The mean of nothing (all weights 0) is NaN.
    """
    if weights is None:
        return tf.reduce_mean(losses) if reduction == "mean" else tf.reduce_sum(losses)
    missing = [1] * (len(losses.shape) - len(weights.shape))
    weights = tf.reshape(tf.cast(weights, losses.dtype), [*tf.unstack(tf.shape(weights)), *missing])
    total = tf.reduce_sum(weights * losses)
    if reduction == "sum":
        return total
    return total / tf.reduce_sum(weights * tf.ones_like(losses))


def squared_error() -> ExampleLoss:
    """Squared error summed over outputs: [N, D] or [N], alike -> [N]. (No 1/2: the paper's MSE.)"""
    return lambda target, output: _total(tf.square(output - _like(target, output)))


def _total(squares: tf.Tensor) -> tf.Tensor:
    """[N, ..., D] -> [N, ...]; [N] are one number each."""
    return squares if len(squares.shape) == 1 else tf.reduce_sum(squares, axis=-1)


def _like(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """The targets as numbers like the outputs.

    Raises:
      UsageError: another shape: [N] minus [N, 1] would be [N, N].
    """
    if not target.shape.is_compatible_with(output.shape):
        raise UsageError(
            f"Targets have shape {target.shape}, the model's outputs {output.shape}; expected the "
            "same: make one number for each example [N, 1]."
        )
    return tf.cast(target, output.dtype)


def cross_entropy() -> ExampleLoss:
    """Softmax cross-entropy of integer labels: [N, ...], logits [N, ..., classes] -> [N, ...], in
    nats. As "sequence_cross_entropy", with a label for each time, it is measured in bits."""

    def loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(target, tf.int64), output)

    return loss


def gaussian(*, noise: Sequence[float]) -> ExampleLoss:
    """-log N(target; output, diag(noise^2)) without its constant: [N, D], [N, D] -> [N].

    Args:
      noise: D standard deviations (xi in App. C).

    Raises:
      UsageError: a standard deviation is not positive.
    """
    if not noise or min(noise) <= 0:
        raise UsageError(f"loss.noise is {list(noise)}; expected positive standard deviations.")

    def loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        scale = tf.constant(list(noise), output.dtype)
        return 0.5 * _total(tf.square((output - _like(target, output)) / scale))

    return loss


LOSSES = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
    "sequence_cross_entropy": cross_entropy,
    "gaussian": gaussian,
    "prosody": prosody,
}


def negative_log_likelihood(
    model: keras.Model,
    example_loss: ExampleLoss,
    *,
    reduction: str = "mean",
    native: bool = False,
) -> NetworkLoss:
    """The loss of a batch (inputs, targets[, weights]) as a scalar function of the parameters.

    Args:
      model: a built model.
      example_loss: (targets, outputs) -> one loss per example [N], outputs in the model's own
        structure.
      reduction: "mean" or "sum" over the examples.
      native: the function will run on the CPU without XLA; our layers then use fast kernels.

    Raises:
      UsageError: unknown reduction, or a model that cannot be meta-learned right (at the first
        call, if it does not say what its inputs are); the sentence names the layer.
    """
    if reduction not in REDUCTIONS:
        raise UsageError(f"loss.reduction is {reduction!r}; expected one of mean, sum.")
    call = make_call(model, native=native)
    unchecked = example_specs(model) is None
    if not unchecked:
        check_network(model)

    def value(params: Params, batch: Batch, key: tf.Tensor | None) -> tf.Tensor:
        nonlocal unchecked
        inputs, targets, weights = batch_parts(batch)
        check_input_names(model, inputs)
        if unchecked:
            check_network(model, inputs)
            unchecked = False
        called = call(params, inputs, key=key, weights=weights)
        if weights is not None:
            _refuse_weighted_penalties(model, called)
        return loss_of_call(called, example_loss, targets, weights, reduction=reduction)

    return NetworkLoss(value, bool(random_layers(model)), lambda: check_second_derivatives(model))


def loss_of_call(
    called: Called,
    example_loss: ExampleLoss,
    targets: Any,
    weights: tf.Tensor | None = None,
    *,
    reduction: str,
) -> tf.Tensor:
    """What a call of a model costs, []: the reduced loss and what Keras adds to it."""
    data = reduced(*_losses(example_loss, targets, called, weights), reduction=reduction)
    return tf.add_n([data, *(tf.cast(penalty, data.dtype) for penalty in called.penalties)])


def mean_metric(model: keras.Model, example_metric: ExampleLoss, *, native: bool = False) -> Metric:
    """The mean of a metric over a batch: no noise, batch statistics, nothing added to it."""
    call = make_call(model, native=native)

    def metric(params: Params, batch: Batch) -> tf.Tensor:
        inputs, targets, weights = batch_parts(batch)
        called = call(params, inputs, weights=weights)
        return reduced(*_losses(example_metric, targets, called, weights), reduction="mean")

    return metric


def _losses(example_loss: ExampleLoss, targets: Any, called: Called, weights: tf.Tensor | None):
    """(losses [N, ...], their weights or None), masked steps of the output left out."""
    losses = example_loss(targets, tf.nest.map_structure(widened, called.outputs))
    masks = [mask for x in tf.nest.flatten(called.outputs) if (mask := mask_of(x)) is not None]
    if not masks:
        return losses, weights
    if (
        len(masks) > 1
        or tf.nest.is_nested(called.outputs)
        or len(masks[0].shape) > len(losses.shape)
    ):
        raise UsageError(
            f"The model's output has a mask {masks[0].shape}, but there are several outputs or the "
            f"loss has the shape {losses.shape}: return one loss per step, or end the model in a "
            "layer that drops the mask."
        )
    mask = tf.cast(masks[0], losses.dtype)
    if weights is None:
        return losses, mask
    missing = [1] * (len(mask.shape) - len(weights.shape))
    shape = [*tf.unstack(tf.shape(weights)), *missing]
    return losses, mask * tf.reshape(tf.cast(weights, losses.dtype), shape)


def widened(output: tf.Tensor) -> tf.Tensor:
    """Outputs of half precision as float32, in which losses are computed."""
    return tf.cast(output, tf.float32) if output.dtype in (tf.float16, tf.bfloat16) else output


def _refuse_weighted_penalties(model: keras.Model, called: Called) -> None:
    own = sum(variable.regularizer is not None for variable in model.trainable_variables)
    if len(called.penalties) > own:
        raise UsageError(
            f"Model {model.name!r} adds losses of its activations (activity_regularizer or "
            "add_loss), which know nothing of a batch's weights: remove them, or give the tasks "
            "equal sizes and no weights."
        )


def accuracy() -> ExampleLoss:
    """Whether a label is right, 0 or 1: [N], logits [N, classes] -> [N]; of NaN it is NaN."""

    def right(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        hit = tf.cast(tf.equal(tf.argmax(output, axis=-1), tf.cast(target, tf.int64)), output.dtype)
        return tf.where(tf.reduce_any(tf.math.is_nan(output), axis=-1), math.nan, hit)

    return right


class MetricFacts(NamedTuple):
    """The held-out metric that goes with a loss.

    name, lower_is_better: for people. example: the loss per example -> the metric per example.
    """

    name: str
    lower_is_better: bool
    example: Callable[[ExampleLoss], ExampleLoss]


METRICS = {
    "squared_error": MetricFacts("mean squared error", True, lambda loss: loss),
    "cross_entropy": MetricFacts("accuracy", False, lambda loss: accuracy()),
    "sequence_cross_entropy": MetricFacts(
        "bits per sample", True, lambda loss: lambda *both: loss(*both) / math.log(2)
    ),
    "gaussian": MetricFacts("negative log-likelihood per observation", True, lambda loss: loss),
    "prosody": MetricFacts("negative log-likelihood per phone", True, lambda loss: loss),
}
