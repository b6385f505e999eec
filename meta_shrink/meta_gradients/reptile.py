"""Reptile and sigma-Reptile: phi by maximum a posteriori (Section 4.2)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.linear_solve import Solve
from meta_shrink.meta_gradients.imaml import Hessian, implicit_gradient
from meta_shrink.meta_gradients.maml import whole_training_batch
from meta_shrink.params import multiply, subtract
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import Adapt, Batch, MetaGradient, MetaParams, NegLogLik, Task

PHI_SCALES = ("precision", "sigma2")


def reptile(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    nll_data: Callable[[Task], Batch] | None = None,
) -> MetaGradient:
    """Delta_phi = phi - theta_hat (Section 2), learns phi only.

    sigma-Reptile at sigma^2 = inf with the rate of phi proportional to sigma^2. The paper adapts
    on a task's training and validation data together: see tasks.transforms.train_on_all.
    """
    del registry
    pick = nll_data or whole_training_batch

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        theta = adapt(meta, task)
        delta = MetaParams(
            phi=subtract(meta.phi, theta),
            log_sigma2=tf.zeros_like(meta.log_sigma2),
            log_alpha=tf.nest.map_structure(tf.zeros_like, meta.log_alpha),
        )
        return delta, {"nll_val": nll(theta, task.val), "nll_train": nll(theta, pick(task))}

    return meta_gradient


def sigma_reptile(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    solve: Solve | None = None,
    hessian: Hessian | None = None,
    phi_scale: str = "precision",
) -> MetaGradient:
    """Delta_phi_m = (phi_m - theta_m) / sigma_m^2, Delta_log_sigma^2 of sigma-iMAML (Eq. 10).

    The dependence of phi on sigma^2 is ignored, as in the paper (App. B.4).

    Args:
      solve, hessian: of implicit_gradient.
      phi_scale: "precision" as printed; "sigma2" multiplies Delta_phi by sigma_m^2, the learning
        rate "proportional to sigma^2" of Section 4.2, which is then Reptile's phi update.

    Raises:
      UsageError: unknown phi_scale, or what implicit_gradient refuses.
    """
    if phi_scale not in PHI_SCALES:
        raise UsageError(f"algorithm.phi_scale is {phi_scale!r}; expected one of {PHI_SCALES}.")
    delta_at = implicit_gradient(nll, registry, solve=solve, hessian=hessian)

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        theta = adapt(meta, task)
        delta, metrics = delta_at(meta, task, theta)
        towards = subtract(meta.phi, theta)
        if phi_scale == "precision":
            towards = multiply(registry.spread(tf.exp(-meta.log_sigma2)), towards)
        return delta._replace(phi=towards), metrics

    return meta_gradient
