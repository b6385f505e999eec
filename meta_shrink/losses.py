"""Negative log-likelihoods of a Keras model as pure functions of (params, batch).

Scale: `reduction="mean"` (default) averages over the examples of a batch; sigma^2 is then N times
the Bayesian one, N the number of training examples. `reduction="sum"` is the exact posterior.
With weights w (see types.Batch) and losses l they are sum(w l) / sum(w) and sum(w l).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.keras_model import apply_model
from meta_shrink.types import Batch, NegLogLik, Params, batch_parts

ExampleLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Metric = Callable[[Params, Batch], tf.Tensor]
REDUCTIONS = ("mean", "sum")


def reduced(losses: tf.Tensor, reduction: str, weights: tf.Tensor | None = None) -> tf.Tensor:
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
    """Squared error summed over outputs: [N, D], [N, D] -> [N]. (No 1/2: the paper's MSE.)"""

    def loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.square(output - _like(target, output)), axis=-1)

    return loss


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
    return lambda target, output: tf.nn.sparse_softmax_cross_entropy_with_logits(target, output)


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
        return 0.5 * tf.reduce_sum(tf.square((output - _like(target, output)) / scale), axis=-1)

    return loss


LOSSES = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
    "sequence_cross_entropy": cross_entropy,
    "gaussian": gaussian,
}


def negative_log_likelihood(
    model: keras.Model,
    example_loss: ExampleLoss,
    *,
    reduction: str = "mean",
    native: bool = False,
) -> NegLogLik:
    """The loss of a batch (inputs, targets[, weights]) as a scalar function of the parameters.

    Args:
      model: a built model.
      example_loss: (targets, outputs) -> one loss per example [N].
      reduction: "mean" or "sum" over the examples.
      native: as apply_model.

    Raises:
      UsageError: unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise UsageError(f"loss.reduction is {reduction!r}; expected one of mean, sum.")
    forward = apply_model(model, native=native)

    def nll(params: Params, batch: Batch) -> tf.Tensor:
        inputs, targets, weights = batch_parts(batch)
        losses = example_loss(targets, forward(params, inputs, weights))
        return reduced(losses, reduction, weights)

    return nll


def accuracy() -> ExampleLoss:
    """Whether a label is right, 0 or 1: [N], logits [N, classes] -> [N]."""
    return lambda target, output: tf.cast(
        tf.equal(tf.argmax(output, axis=-1, output_type=target.dtype), target), output.dtype
    )


def in_bits(loss: ExampleLoss) -> ExampleLoss:
    """The same loss in bits."""
    return lambda target, output: loss(target, output) / math.log(2)


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
    "sequence_cross_entropy": MetricFacts("bits per sample", True, in_bits),
    "gaussian": MetricFacts("negative log-likelihood per observation", True, lambda loss: loss),
}
