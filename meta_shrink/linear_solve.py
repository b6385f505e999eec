"""Solvers of A x = b for a symmetric A that is known through its products only.

`damped_solve` is that of an implicit gradient, by one of the two others. Those have one signature,
(matvec, b, *, num_steps, preconditioner) -> (x, CGInfo), run a fixed number of steps (static
shapes, vectorisable over tasks) and hold one vector more than they need. Inside, all variables are
one vector: a handful of operations, however many variables there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.params import (
    add,
    add_scaled,
    all_finite,
    dot,
    from_vector,
    global_norm,
    multiply,
    spread_vector,
    subtract,
    to_vector,
    where,
    zeros_like,
)
from meta_shrink.types import Params

MatVec = Callable[[Params], Params]
# What a damping is a number of: d~ of Eq. 48 adds d~ I, d of Eq. 47 adds d Sigma^-1 (= d lambda I).
DAMPING_UNITS = ("nll", "precision")


class CGInfo(NamedTuple):
    """Diagnostics of one solve, scalars.

    residual_norm: ||b - A x|| / ||b|| of the returned x, as the recurrence has it.
    curvature_min: smallest p.Ap / p.p met; negative means that A is not positive definite, 0 that
        no direction was met, as for b = 0.
    breakdown: 1 if the solve stopped early on negative curvature or a non-finite value, else 0.
    """

    residual_norm: tf.Tensor
    curvature_min: tf.Tensor
    breakdown: tf.Tensor


# (v -> (grad^2 nll) v, a precision per variable, b) -> (u with H u = b, its diagnostics).
Solve = Callable[[MatVec, Sequence[Any], Params], tuple[Params, CGInfo]]


def damped_solve(
    *, cg_steps: int = 5, damping: float = 0.0, damping_unit: str = "nll", solver: str = "cg"
) -> Solve:
    """Solves H u = b, H = grad^2 nll + Sigma^-1 + D: Eq. 48, its sign mended (positive definite).

    Args:
      cg_steps, solver: iterations; of "cg" or "neumann".
      damping, damping_unit: "nll", D = damping I, d~ of Eq. 48; "precision", D = damping Sigma^-1,
        d of Eq. 47 (d~ = d lambda at sigma^2 = 1/lambda).

    Raises:
      UsageError: a damping below 0 or infinite, no step, or an unknown solver or unit.
    """
    known = damping_unit in DAMPING_UNITS and solver in SOLVERS
    if cg_steps < 1 or not 0 <= damping < np.inf or not known:
        raise UsageError(
            f"Implicit gradient got cg_steps={cg_steps}, damping={damping}, damping_unit="
            f"{damping_unit!r}, solver={solver!r}; expected cg_steps >= 1, 0 <= damping < inf, "
            f"damping_unit one of {', '.join(DAMPING_UNITS)}, solver one of {', '.join(SOLVERS)}."
        )

    def solve(hvp: MatVec, precision: Sequence[Any], b: Params) -> tuple[Params, CGInfo]:
        diagonal = _damped(precision, damping, damping_unit)
        return SOLVERS[solver](
            lambda v: add(hvp(v), multiply(diagonal, v)),
            b,
            num_steps=cg_steps,
            preconditioner=[tf.maximum(p / 1e3, 1) for p in precision],
        )

    return solve


def _damped(precision: Sequence[Any], damping: float, damping_unit: str) -> list:
    """Diagonal of Sigma^-1 + D, a value per variable."""
    if damping_unit == "nll":
        return [p + damping for p in precision]
    return [p * (1 + damping) for p in precision]


class _CGState(NamedTuple):
    x: Params
    residual: Params
    direction: Params
    rho: tf.Tensor
    curvature_min: tf.Tensor
    breakdown: tf.Tensor


def conjugate_gradient(
    matvec: MatVec, b: Params, *, num_steps: int, preconditioner: list[Any] | None = None
) -> tuple[Params, CGInfo]:
    """Preconditioned conjugate gradient from x = 0.

    A direction of non-positive curvature or a non-finite value ends the solve at its last good
    iterate. A converged solve (residual at rounding error) stays where it is.

    Args:
      matvec: v -> A v.
      b: right-hand side, V tensors.
      num_steps: number of iterations, at least 1.
      preconditioner: one value per variable, the diagonal of P; residuals are divided by it.

    Returns:
      x (V tensors) and the diagnostics.
    """
    shapes = [x.shape for x in b]
    matvec, b, diagonal = _on_one_vector(matvec, b, preconditioner)

    def precondition(r: Params) -> Params:
        return [x / p for x, p in zip(r, diagonal, strict=True)]

    z = precondition(b)
    rho = dot(b, z)
    # Below it, directions are noise and their curvature underflows: not a breakdown.
    converged = rho * np.finfo(b[0].dtype.as_numpy_dtype).eps ** 2

    def body(step, state: _CGState):
        return step + 1, _cg_step(matvec, precondition, converged, state)

    start = _CGState(zeros_like(b), b, z, rho, _largest(b), ~tf.math.is_finite(rho))
    _, end = tf.while_loop(
        lambda step, _: step < num_steps,
        body,
        (tf.constant(0), start),
        maximum_iterations=num_steps,
    )
    info = _info(end.residual, b, end.curvature_min, end.breakdown)
    return from_vector(end.x[0], shapes), info


def _cg_step(
    matvec: MatVec,
    precondition: Callable[[Params], Params],
    converged: tf.Tensor,
    state: _CGState,
) -> _CGState:
    product = matvec(state.direction)
    curvature = dot(state.direction, product)
    length2 = dot(state.direction, state.direction)
    step_size = _safe_divide(state.rho, curvature)
    x = add_scaled(state.x, step_size, state.direction)
    residual = add_scaled(state.residual, -step_size, product)
    z = precondition(residual)
    rho = dot(residual, z)
    direction = add_scaled(z, _safe_divide(rho, state.rho), state.direction)

    moving = state.rho > converged
    good = (curvature > 0) & tf.math.is_finite(curvature) & all_finite([rho, *x])
    go_on = moving & good & ~state.breakdown
    measured = moving & ~state.breakdown & tf.math.is_finite(curvature)
    curvature_min = tf.minimum(state.curvature_min, _safe_divide(curvature, length2))
    return _CGState(
        where(go_on, x, state.x),
        where(go_on, residual, state.residual),
        where(go_on, direction, state.direction),
        tf.where(go_on, rho, state.rho),
        tf.where(measured, curvature_min, state.curvature_min),
        state.breakdown | (moving & ~good),
    )


def neumann_series(
    matvec: MatVec,
    b: Params,
    *,
    num_steps: int,
    preconditioner: list[Any] | None = None,
    step_size: float = 1.0,
) -> tuple[Params, CGInfo]:
    """Truncated Neumann series: x <- x + s P^-1 (b - A x), num_steps terms from x = s P^-1 b.

    Converges when s times the largest eigenvalue of P^-1 A is below 2. Its first term alone is
    the gradient scaled by s P^-1. A non-finite iterate ends the solve at its last good one.
    """
    shapes = [x.shape for x in b]
    matvec, b, diagonal = _on_one_vector(matvec, b, preconditioner)

    def body(step, x, residual, curvature_min, breakdown):
        move = [step_size * r / p for r, p in zip(residual, diagonal, strict=True)]
        moved = add(x, move)
        left = subtract(b, matvec(moved))
        curvature = _safe_divide(dot(move, subtract(residual, left)), dot(move, move))
        good = all_finite([*moved, *left])
        keep = good & ~breakdown
        return (
            step + 1,
            where(keep, moved, x),
            where(keep, left, residual),
            tf.where(keep, tf.minimum(curvature_min, curvature), curvature_min),
            breakdown | ~good,
        )

    _, x, residual, curvature_min, breakdown = tf.while_loop(
        lambda step, *_: step < num_steps,
        body,
        (tf.constant(0), zeros_like(b), b, _largest(b), tf.constant(False)),
        maximum_iterations=num_steps,
    )
    return from_vector(x[0], shapes), _info(residual, b, curvature_min, breakdown)


def _on_one_vector(
    matvec: MatVec, b: Params, preconditioner: list[Any] | None
) -> tuple[MatVec, Params, list[Any]]:
    """The system, with its variables as one vector: (matvec, [b], [diagonal of P])."""
    shapes = [x.shape for x in b]
    diagonal: list[Any] = [1.0]
    if preconditioner is not None:
        values = [tf.convert_to_tensor(p, b[0].dtype) for p in preconditioner]
        diagonal = [spread_vector(values, shapes)]
    return (
        lambda v: [to_vector(matvec(from_vector(v[0], shapes)))],
        [to_vector(b)],
        diagonal,
    )


def _largest(b: Params) -> tf.Tensor:
    return tf.constant(b[0].dtype.max, b[0].dtype)


def _safe_divide(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(a, b)


def _info(residual: Params, b: Params, curvature_min: tf.Tensor, breakdown: tf.Tensor) -> CGInfo:
    relative = _safe_divide(global_norm(residual), global_norm(b))
    met = curvature_min < _largest(b)
    curvature_min = tf.where(met, curvature_min, tf.zeros_like(curvature_min))
    return CGInfo(relative, curvature_min, tf.cast(breakdown, b[0].dtype))


SOLVERS = {"cg": conjugate_gradient, "neumann": neumann_series}
