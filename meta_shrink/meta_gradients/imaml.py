"""iMAML and sigma-iMAML: implicit differentiation of the adapted parameters (Eq. 7)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.linear_solve import CGInfo, MatVec, Solve, damped_solve
from meta_shrink.meta_gradients.maml import whole_training_batch
from meta_shrink.network_loss import (
    HESSIAN,
    VALIDATION,
    noise_key,
    noisy,
    require_second_derivatives,
    without_noise,
)
from meta_shrink.params import dense, multiply, subtract
from meta_shrink.registry import ModuleRegistry
from meta_shrink.types import (
    Adapt,
    Batch,
    MetaGradient,
    MetaParams,
    Metrics,
    NegLogLik,
    Params,
    Task,
)

# (task, theta) -> (nll_train [] without noise, v -> (grad^2 nll_train) v).
Hessian = Callable[[Task, Params], tuple[tf.Tensor, MatVec]]


def imaml(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    solve: Solve | None = None,
    hessian: Hessian | None = None,
) -> MetaGradient:
    """Implicit meta-gradient of phi and log sigma^2 (Eqs. 7 and 48).

    sigma-iMAML when log sigma^2 is learned; iMAML (Eq. 47) at sigma^2 = 1/lambda for every module
    with damping = d of damping_unit "precision", or d lambda of "nll". Memory does not grow with
    the number of adaptation steps.

    Args:
      solve, hessian: of implicit_gradient.

    Returns:
      (MetaParams, Task, Adapt) -> (Delta, metrics); log alpha gets no gradient.
    """
    delta_at = implicit_gradient(nll, registry, solve=solve, hessian=hessian)

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        return delta_at(meta, task, adapt(meta, task))

    return meta_gradient


def implicit_gradient(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    solve: Solve | None = None,
    hessian: Hessian | None = None,
) -> Callable[[MetaParams, Task, Params], tuple[MetaParams, Metrics]]:
    """(Phi, task, theta_hat) -> Delta of Eq. 7: with H u = grad nll_val,

        Delta_phi_m = u_m / sigma_m^2,  Delta_log_sigma^2_m = u_m . (theta_m - phi_m) / sigma_m^2

    Args:
      solve: how u is found; damped_solve() by default.
      hessian: grad^2 nll_train; that of nll on the task's training data by default.

    Raises:
      UsageError: a network without second derivatives.
    """
    require_second_derivatives(nll)
    solve, hessian = solve or damped_solve(), hessian or hessian_of(nll)

    def delta_at(meta: MetaParams, task: Task, theta: Params) -> tuple[MetaParams, Metrics]:
        nll_val, grad_val = _on_validation_data(nll, task, theta)
        nll_train, hvp = hessian(task, theta)
        precision = registry.spread(tf.exp(-meta.log_sigma2))
        u, info = solve(hvp, precision, grad_val)
        delta_phi = multiply(precision, u)
        delta = MetaParams(
            phi=delta_phi,
            log_sigma2=registry.sum(multiply(delta_phi, subtract(theta, meta.phi))),
            log_alpha=tf.nest.map_structure(tf.zeros_like, meta.log_alpha),
        )
        return delta, {"nll_val": nll_val, "nll_train": nll_train, **_diagnostics(info)}

    return delta_at


def _on_validation_data(nll: NegLogLik, task: Task, theta: Params) -> tuple[tf.Tensor, Params]:
    """(loss without noise, gradient)."""
    loss = noisy(nll, noise_key(nll, task.key, VALIDATION))
    value, gradient = _value_and_grad(loss, theta, task.val)
    return without_noise(nll, value, theta, task.val), gradient


def hessian_of(
    nll: NegLogLik, *, data: Callable[[Task], Batch] | None = None, native: bool = False
) -> Hessian:
    """The Hessian of the training loss, by its products; one noise for all of a solve.

    Args:
      data: task -> batch; the whole training batch by default.
      native: of hessian_vector_product.
    """
    pick = data or whole_training_batch

    def hessian(task: Task, theta: Params) -> tuple[tf.Tensor, MatVec]:
        batch = pick(task)
        loss = noisy(nll, noise_key(nll, task.key, HESSIAN))
        value, hvp = _loss_and_hessian(loss, theta, batch, native)
        return without_noise(nll, value, theta, batch), hvp

    return hessian


def hessian_vector_product(
    nll: NegLogLik, theta: Params, batch: Batch, *, native: bool = False
) -> Callable[[Params], Params]:
    """v -> (grad^2 nll) v by reverse over reverse; forward over reverse fails under XLA for
    dilated convolutions.

    Args:
      native: the products will run without XLA; the gradient is then computed once, for all of
        them. Under XLA it belongs to each product: in the loop of a solver its shapes are then
        constants, where shapes from outside may be values of the run (tf.vectorized_map makes
        them so), and XLA itself moves what does not change out of the loop.
    """
    return _loss_and_hessian(nll, theta, batch, native)[1]


def _loss_and_hessian(nll: NegLogLik, theta: Params, batch: Batch, native: bool):
    """(nll [] that the gradient has computed anyway, v -> (grad^2 nll) v)."""

    def taped() -> tuple[tf.GradientTape, tf.Tensor, Params]:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(theta)
            return tape, *_value_and_grad(nll, theta, batch)

    once = taped()

    def product(v: Params) -> Params:
        tape, _, grad = once if native else taped()
        products = tape.gradient(grad, theta, output_gradients=v, unconnected_gradients="zero")
        return dense(products)

    return once[1], product


def _value_and_grad(nll: NegLogLik, theta: Params, batch: Batch) -> tuple[tf.Tensor, Params]:
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = nll(theta, batch)
    return value, dense(tape.gradient(value, theta, unconnected_gradients="zero"))


def _diagnostics(info: CGInfo) -> Metrics:
    return {
        "cg/residual_norm": info.residual_norm,
        "cg/curvature_min": info.curvature_min,
        "cg/breakdown": info.breakdown,
    }
