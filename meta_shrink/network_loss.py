"""What a loss of a Keras model is besides a function of (params, batch): noisy, or not smooth.

Algorithms take any function (params, batch) -> [] as nll; one of a Keras model is a NetworkLoss,
which also knows whether the model draws at random and whether it has second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from meta_shrink.rng import fold_in
from meta_shrink.types import Batch, NegLogLik, Params

# Losses of one task, each with a noise of its own.
STEP, VALIDATION, HESSIAN, WARM_START = range(4)


@dataclass(frozen=True)
class NetworkLoss:
    """(params, batch) -> [], without the noise of layers that draw at random (Dropout).

    value: (params, batch, key [2] of the noise or None: no noise) -> []. random: whether a layer
    draws. check_second_derivatives: raises UsageError, naming the layer that has none.
    """

    value: Callable[[Params, Batch, tf.Tensor | None], tf.Tensor]
    random: bool
    check_second_derivatives: Callable[[], None]

    def __call__(self, params: Params, batch: Batch) -> tf.Tensor:
        """The loss without noise, as metrics want it."""
        return self.value(params, batch, None)


def key_of_noise(key: tf.Tensor, loss: int, *numbers: int | tf.Tensor) -> tf.Tensor:
    """The key [2] of the noise of a task's loss: one of STEP, VALIDATION, ..., and the step."""
    return fold_in(key, "layer_noise", loss, *numbers)


def noise_key(
    nll: NegLogLik, key: tf.Tensor, loss: int, *numbers: int | tf.Tensor
) -> tf.Tensor | None:
    """As key_of_noise; None where the loss draws nothing."""
    random = isinstance(nll, NetworkLoss) and nll.random
    return key_of_noise(key, loss, *numbers) if random else None


def noisy(nll: NegLogLik, key: tf.Tensor | None) -> NegLogLik:
    """The loss with the noise of this key: the same in every call, a pure function again."""
    if key is None or not isinstance(nll, NetworkLoss):
        return nll
    return lambda params, batch: nll.value(params, batch, key)


def require_second_derivatives(nll: NegLogLik) -> None:
    """Refuse a network whose second derivatives TensorFlow does not know, or takes for zero.

    Raises:
      UsageError: it names the layer and the operation.
    """
    if isinstance(nll, NetworkLoss):
        nll.check_second_derivatives()


def without_noise(nll: NegLogLik, value: tf.Tensor, params: Params, batch: Any) -> tf.Tensor:
    """`value`, the loss of this batch, measured again without noise where it had some."""
    return nll(params, batch) if isinstance(nll, NetworkLoss) and nll.random else value
