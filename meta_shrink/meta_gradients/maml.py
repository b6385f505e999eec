"""MAML, sigma-MAML, Meta-SGD (one function) and first-order MAML."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.network_loss import (
    VALIDATION,
    noise_key,
    noisy,
    require_second_derivatives,
    without_noise,
)
from meta_shrink.params import dense
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import Adapt, Batch, MetaGradient, MetaParams, NegLogLik, Task


def whole_training_batch(task: Task) -> Batch:
    """All training examples of a task."""
    return task.train


def maml(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    nll_data: Callable[[Task], Batch] | None = None,
) -> MetaGradient:
    """Back-propagation through adaptation: grad_Phi nll_val(theta_hat(Phi)) (Eq. 6).

    sigma-MAML when log sigma^2 is learned, MAML at sigma^2 = inf, Meta-SGD at sigma^2 = inf with
    log alpha learned: the gradient holds all three parts, in log sigma^2 and log alpha.
    Memory grows with the number of adaptation steps.

    Args:
      nll_data: task -> batch that the metric nll_train is of; the whole training batch by default.

    Returns:
      (MetaParams, Task, Adapt) -> (gradient of the same structure, metrics nll_val and nll_train).
    """
    del registry
    require_second_derivatives(nll)
    pick = nll_data or whole_training_batch

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        with tf.GradientTape() as tape:
            tape.watch(meta)
            theta = adapt(meta, task)
            nll_val = noisy(nll, noise_key(nll, task.key, VALIDATION))(theta, task.val)
        delta = dense(tape.gradient(nll_val, meta, unconnected_gradients="zero"))
        nll_val = without_noise(nll, nll_val, theta, task.val)
        return delta, {"nll_val": nll_val, "nll_train": nll(theta, pick(task))}

    return meta_gradient


def fomaml(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    nll_data: Callable[[Task], Batch] | None = None,
) -> MetaGradient:
    """First-order MAML: grad nll_val at theta_hat, adaptation's own derivative taken as I.

    Up to the factor 1/(1 + damping/lambda) this is iMAML with one conjugate-gradient step where
    the Hessian vanishes (Section 4.2, end); learns phi only. nll_data as maml.
    """
    del registry
    pick = nll_data or whole_training_batch

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        theta = adapt(meta, task)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            nll_val = noisy(nll, noise_key(nll, task.key, VALIDATION))(theta, task.val)
        grad = dense(tape.gradient(nll_val, theta, unconnected_gradients="zero"))
        delta = MetaParams(
            grad,
            tf.zeros_like(meta.log_sigma2),
            tf.nest.map_structure(tf.zeros_like, meta.log_alpha),
        )
        nll_val = without_noise(nll, nll_val, theta, task.val)
        return delta, {"nll_val": nll_val, "nll_train": nll(theta, pick(task))}

    return meta_gradient
