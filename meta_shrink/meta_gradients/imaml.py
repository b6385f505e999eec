"""iMAML and sigma-iMAML: implicit differentiation of the adapted parameters (Eq. 7)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.linear_solve import CGInfo, conjugate_gradient, neumann_series
from meta_shrink.meta_gradients.maml import whole_training_batch
from meta_shrink.network_loss import (
    HESSIAN,
    VALIDATION,
    noise_key,
    noisy,
    require_second_derivatives,
    without_noise,
)
from meta_shrink.params import add, dense, multiply, subtract
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

SOLVERS = {"cg": conjugate_gradient, "neumann": neumann_series}
# What a damping is a number of: d~ of Eq. 48 adds d~ I, d of Eq. 47 adds d Sigma^-1 (= d lambda I).
DAMPING_UNITS = ("nll", "precision")


def imaml(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    cg_steps: int = 5,
    damping: float = 0.0,
    damping_unit: str = "nll",
    solver: str = "cg",
    hessian_data: Callable[[Task], Batch] | None = None,
    hessian_nll: NegLogLik | None = None,
    native: bool = False,
) -> MetaGradient:
    """Implicit meta-gradient of phi and log sigma^2 (Eqs. 7 and 48).

    sigma-iMAML when log sigma^2 is learned; iMAML (Eq. 47) at sigma^2 = 1/lambda for every module
    with damping = d of damping_unit "precision", or d lambda of "nll". Memory does not grow with
    the number of adaptation steps.

    Args: as implicit_gradient.

    Returns:
      (MetaParams, Task, Adapt) -> (Delta, metrics); log alpha gets no gradient.
    """
    delta_at = implicit_gradient(
        nll,
        registry,
        cg_steps=cg_steps,
        damping=damping,
        damping_unit=damping_unit,
        solver=solver,
        hessian_data=hessian_data,
        hessian_nll=hessian_nll,
        native=native,
    )

    def meta_gradient(meta: MetaParams, task: Task, adapt: Adapt):
        return delta_at(meta, task, adapt(meta, task))

    return meta_gradient


def implicit_gradient(
    nll: NegLogLik,
    registry: ModuleRegistry,
    *,
    cg_steps: int,
    damping: float,
    damping_unit: str = "nll",
    solver: str = "cg",
    hessian_data: Callable[[Task], Batch] | None = None,
    hessian_nll: NegLogLik | None = None,
    native: bool = False,
) -> Callable[[MetaParams, Task, Params], tuple[MetaParams, Metrics]]:
    """(Phi, task, theta_hat) -> Delta of Eq. 7: with H u = grad nll_val,

        Delta_phi_m = u_m / sigma_m^2,  Delta_log_sigma^2_m = u_m . (theta_m - phi_m) / sigma_m^2

    H = grad^2 nll_train + Sigma^-1 + D is Eq. 48 with its sign mended (positive definite).

    Args:
      cg_steps, solver, native: iterations; "cg" or "neumann"; of hessian_vector_product.
      damping, damping_unit: "nll", D = damping I, d~ of Eq. 48; "precision", D = damping Sigma^-1,
        d of Eq. 47 (d~ = d lambda at sigma^2 = 1/lambda).
      hessian_data, hessian_nll: task -> batch, and loss, of the Hessian; task.train and nll.

    Raises:
      UsageError: a negative damping, no solver step, or an unknown solver or unit.
    """
    _check(cg_steps, damping, damping_unit, solver)
    require_second_derivatives(nll)
    nlls, pick = (nll, hessian_nll or nll), hessian_data or whole_training_batch

    def delta_at(meta: MetaParams, task: Task, theta: Params) -> tuple[MetaParams, Metrics]:
        losses, grad_val, hvp = _derivatives(nlls, task, theta, pick(task), native)
        precision = registry.spread(tf.exp(-meta.log_sigma2))
        diagonal = _damped(precision, damping, damping_unit)
        u, info = SOLVERS[solver](
            lambda v: add(hvp(v), multiply(diagonal, v)),
            grad_val,
            num_steps=cg_steps,
            preconditioner=[tf.maximum(p / 1e3, 1) for p in precision],
        )
        delta_phi = multiply(precision, u)
        delta = MetaParams(
            phi=delta_phi,
            log_sigma2=registry.sum(multiply(delta_phi, subtract(theta, meta.phi))),
            log_alpha=tf.nest.map_structure(tf.zeros_like, meta.log_alpha),
        )
        return delta, {**losses, **_solve(info)}

    return delta_at


def _derivatives(nlls: tuple[NegLogLik, NegLogLik], task, theta: Params, batch, native: bool):
    """(losses without noise, gradient of the first nll on the validation data, v -> grad^2 of the
    second on the batch v)."""
    nll, hessian_nll = nlls
    val_loss = noisy(nll, noise_key(nll, task.key, VALIDATION))
    nll_val, grad_val = _value_and_grad(val_loss, theta, task.val)
    # One noise for all products of a solve.
    train_loss = noisy(hessian_nll, noise_key(hessian_nll, task.key, HESSIAN))
    nll_train, hvp = _loss_and_hessian(train_loss, theta, batch, native)
    losses = {
        "nll_val": without_noise(nll, nll_val, theta, task.val),
        "nll_train": without_noise(hessian_nll, nll_train, theta, batch),
    }
    return losses, grad_val, hvp


def _damped(precision: list, damping: float, damping_unit: str) -> list:
    """Diagonal of Sigma^-1 + D, a value per variable."""
    if damping_unit == "nll":
        return [p + damping for p in precision]
    return [p * (1 + damping) for p in precision]


def _check(cg_steps: int, damping: float, damping_unit: str, solver: str) -> None:
    known = damping_unit in DAMPING_UNITS and solver in SOLVERS
    if cg_steps < 1 or damping < 0 or not known:
        raise UsageError(
            f"Implicit gradient got cg_steps={cg_steps}, damping={damping}, damping_unit="
            f"{damping_unit!r}, solver={solver!r}; expected cg_steps >= 1, damping >= 0, "
            f"damping_unit one of {', '.join(DAMPING_UNITS)}, solver one of {', '.join(SOLVERS)}."
        )


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


def _solve(info: CGInfo) -> Metrics:
    return {
        "cg/residual_norm": info.residual_norm,
        "cg/curvature_min": info.curvature_min,
        "cg/breakdown": info.breakdown,
    }
