"""Proximal task optimizers: one step on the likelihood, then an exact step on the Gaussian prior.

Both have the MAP of Eq. 4 as fixed point, whatever the prior strength. With precision 0
(sigma^2 = inf) they are plain gradient descent and Adam; with precision inf (sigma^2 = 0) the
proximal map returns phi bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.params import zeros_like
from meta_shrink.types import Params, TaskOptimizer


def proximal_gd() -> TaskOptimizer:
    """Proximal gradient descent with L2 regularization (Algorithm 2, lambda = 1/sigma^2)."""

    def init(theta: Params) -> tuple[()]:
        del theta
        return ()

    def update(grad, state, theta, phi, precision, alpha):
        moved = [
            _towards(t - a * g, p, weight=a * lam)
            for g, t, p, lam, a in zip(grad, theta, phi, precision, alpha, strict=True)
        ]
        return moved, state

    return TaskOptimizer(init, update)


class _AdamState(NamedTuple):
    count: tf.Tensor
    first: Params
    second: Params


def proximal_adam(
    *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> TaskOptimizer:
    """Proximal Adam with L2 regularization (Algorithm 3, lambda = 1/sigma^2).

    The step and the proximal weight share one denominator sqrt(v_hat + epsilon); as the paper
    prints it, the step has Adam's own sqrt(v_hat) + epsilon, and the fixed point is not the MAP.
    So epsilon stands under the root: 1e-8 here is 1e-4 in the usual place.

    Raises:
      UsageError: beta1 or beta2 outside [0, 1), epsilon not positive.
    """
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and epsilon > 0):
        raise UsageError(
            f"proximal_adam got beta1={beta1}, beta2={beta2}, epsilon={epsilon}; expected "
            "betas in [0, 1) and a positive epsilon."
        )

    def init(theta: Params) -> _AdamState:
        return _AdamState(tf.zeros([], theta[0].dtype), zeros_like(theta), zeros_like(theta))

    def update(grad, state, theta, phi, precision, alpha):
        count = state.count + 1
        first = [beta1 * m + (1 - beta1) * g for m, g in zip(state.first, grad, strict=True)]
        second = [beta2 * v + (1 - beta2) * g * g for v, g in zip(state.second, grad, strict=True)]
        moved = []
        for m, v, t, p, lam, a in zip(first, second, theta, phi, precision, alpha, strict=True):
            step = a / tf.sqrt(v / (1 - beta2**count) + epsilon)
            moved.append(_towards(t - step * m / (1 - beta1**count), p, weight=step * lam))
        return moved, _AdamState(count, first, second)

    return TaskOptimizer(init, update)


def _towards(theta_half: tf.Tensor, phi: tf.Tensor, *, weight: Any) -> tf.Tensor:
    """The proximal map of weight/2 ||theta - phi||^2: last line of Algorithms 2 and 3."""
    return (theta_half - phi) / (1 + weight) + phi


TASK_OPTIMIZERS = {"proximal_gd": proximal_gd, "proximal_adam": proximal_adam}
