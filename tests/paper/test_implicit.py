"""Implicit gradients: against back-propagation at convergence, and against dense Eqs. 47 and 48."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    UsageError,
    damped_solve,
    imaml,
    make_adapt,
    maml,
    proximal_adam,
    proximal_gd,
    sigma_reptile,
)
from meta_shrink.adaptation import adaptation
from meta_shrink.meta_gradients.imaml import hessian_of, hessian_vector_product
from tests.problems import classification, flat, normal_means, regression


@pytest.mark.parametrize(
    ("optimizer", "alpha", "steps"),
    [(proximal_gd(), 0.5, 400), (proximal_adam(beta2=0.99, epsilon=1e-4), 0.02, 3000)],
    ids=["gd", "adam"],
)
def test_sigma_imaml_equals_sigma_maml_at_convergence(optimizer, alpha, steps):
    problem = classification(sigma2=[0.5, 2.0], alpha=alpha)
    task, registry = problem.task(), problem.registry
    adapt = make_adapt(adaptation(problem.nll, optimizer, registry), steps=steps)
    through, _ = tf.function(maml(problem.nll, registry))(problem.meta, task, adapt)
    implicit = imaml(problem.nll, registry, solve=damped_solve(cg_steps=15))
    at, metrics = tf.function(implicit)(problem.meta, task, adapt)
    np.testing.assert_allclose(flat(at.phi), flat(through.phi), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(at.log_sigma2, through.log_sigma2, rtol=1e-6)
    assert np.abs(through.log_sigma2).min() > 1e-3
    np.testing.assert_allclose(through.log_alpha, 0, atol=1e-8)  # the way is forgotten
    assert metrics["cg/residual_norm"] < 1e-10


def test_the_other_solver_gives_the_same():
    problem = classification(sigma2=[0.5, 2.0])
    adapt = make_adapt(adaptation(problem.nll, proximal_gd(), problem.registry), steps=5)
    found = [
        imaml(problem.nll, problem.registry, solve=solve)(tf_meta, problem.task(), adapt)[0]
        for tf_meta in [problem.meta._replace(log_sigma2=tf.zeros([2], tf.float64))]
        for solve in (
            damped_solve(cg_steps=15, damping=0.1),
            damped_solve(cg_steps=200, solver="neumann", damping=0.1),
        )
    ]
    np.testing.assert_allclose(flat(found[0].phi), flat(found[1].phi), rtol=1e-6, atol=1e-10)


LAMBDA, DAMPING = 2.5, 0.3


class Line:
    """Least squares y = x w + b by hand: its Hessian and gradients are known."""

    def __init__(self, sigma2: float | list[float] = 1 / LAMBDA, *, by: str = "layer") -> None:
        self.problem = regression(hidden=(), sigma2=sigma2, by=by)
        task = self.problem.task()
        self.task = task
        design = [np.column_stack([x, np.ones(len(x))]) for x in (task.train[0], task.val[0])]
        self.hessian = 2 / len(design[0]) * design[0].T @ design[0]
        self.design, self.targets = design, [y.numpy()[:, 0] for _, y in (task.train, task.val)]
        self.adapt = make_adapt(
            adaptation(self.problem.nll, proximal_gd(), self.problem.registry), steps=7
        )
        self.theta = flat(self.adapt(self.problem.meta, task))
        self.phi = flat(self.problem.meta.phi)

    def validation_gradient(self) -> np.ndarray:
        error = self.design[1] @ self.theta - self.targets[1]
        return 2 / len(error) * self.design[1].T @ error


@pytest.mark.parametrize(
    "options",
    [
        {"damping": DAMPING, "damping_unit": "precision"},  # d
        {"damping": DAMPING * LAMBDA, "damping_unit": "nll"},  # d~ = d lambda
    ],
    ids=lambda options: options["damping_unit"],
)
def test_imaml_is_equation_47(options):
    line = Line()
    system = (1 + DAMPING) * np.eye(3) + line.hessian / LAMBDA
    expected = np.linalg.solve(system, line.validation_gradient())
    gradient = imaml(
        line.problem.nll, line.problem.registry, solve=damped_solve(cg_steps=3, **options)
    )
    delta, _ = gradient(line.problem.meta, line.task, line.adapt)
    np.testing.assert_allclose(flat(delta.phi), expected, rtol=1e-9)


@pytest.mark.parametrize("factory", [imaml, sigma_reptile])
def test_a_damping_in_precisions_is_each_modules_own(factory):
    # With d = 0.3 the prior of every module counts 1.3 times in the solve, and once outside it.
    line = Line(sigma2=[1 / LAMBDA, 1 / (4 * LAMBDA)], by="variable")
    precision = np.array([LAMBDA, LAMBDA, 4 * LAMBDA])
    u = np.linalg.solve(line.hessian + np.diag(1.3 * precision), line.validation_gradient())
    gradient = factory(
        line.problem.nll,
        line.problem.registry,
        solve=damped_solve(cg_steps=3, damping=DAMPING, damping_unit="precision"),
    )
    delta, _ = gradient(line.problem.meta, line.task, line.adapt)
    parts = precision * u * (line.theta - line.phi)
    np.testing.assert_allclose(delta.log_sigma2, [parts[:2].sum(), parts[2]], rtol=1e-9)


@pytest.mark.parametrize("factory", [imaml, sigma_reptile])
def test_sigma2_gradient_is_equation_48_with_its_sign_mended(factory):
    line = Line()
    system = line.hessian + (LAMBDA + DAMPING) * np.eye(3)
    u = np.linalg.solve(system, line.validation_gradient())
    solve = damped_solve(cg_steps=3, damping=DAMPING)
    gradient = factory(line.problem.nll, line.problem.registry, solve=solve)
    delta, _ = gradient(line.problem.meta, line.task, line.adapt)
    expected = u @ (line.theta - line.phi) * LAMBDA
    np.testing.assert_allclose(delta.log_sigma2, [expected], rtol=1e-9)


def test_the_preconditioner_of_strong_priors_changes_no_solution():
    # sigma^2 = 1e-5 makes p_m = 100 (App. D.2).
    line = Line(sigma2=1e-5)
    u = np.linalg.solve(line.hessian + 1e5 * np.eye(3), line.validation_gradient())
    gradient = imaml(line.problem.nll, line.problem.registry, solve=damped_solve(cg_steps=3))
    delta, _ = gradient(line.problem.meta, line.task, line.adapt)
    np.testing.assert_allclose(flat(delta.phi), 1e5 * u, rtol=1e-8)


def test_hessian_vector_products_and_their_data():
    line = Line()
    line_params = line.problem.meta.phi
    v = [tf.constant([[1.0], [-2.0]], tf.float64), tf.constant([0.5], tf.float64)]
    product = hessian_vector_product(line.problem.nll, line_params, line.task.train)
    np.testing.assert_allclose(flat(product(v)), line.hessian @ flat(v), rtol=1e-10)
    part = tuple(x[:2] for x in line.task.train)
    gradient = imaml(
        line.problem.nll,
        line.problem.registry,
        solve=damped_solve(cg_steps=3),
        hessian=hessian_of(line.problem.nll, data=lambda task: tuple(x[:2] for x in task.train)),
    )
    delta, _ = gradient(line.problem.meta, line.task, line.adapt)
    design = np.column_stack([part[0], np.ones(2)])
    system = design.T @ design + LAMBDA * np.eye(3)
    expected = LAMBDA * np.linalg.solve(system, line.validation_gradient())
    np.testing.assert_allclose(flat(delta.phi), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "options",
    [{"cg_steps": 0}, {"damping": -0.1}, {"solver": "lu"}, {"damping_unit": "lambda"}],
    ids=lambda o: next(iter(o)),
)
def test_bad_options_are_refused_while_building(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        damped_solve(**options)


def test_one_step_with_the_preconditioner_of_strong_priors():
    """p_m = max(1/sigma_m^2 / 10^3, 1) decides where a solve that is cut off has come to."""
    train, val = np.array([[[2.0, 1.0]]]), np.array([[[3.0, 5.0]]])
    problem = normal_means(train, val, sigma2=[1 / 4000, 1 / 500])
    one_step = imaml(problem.nll, problem.registry, solve=damped_solve(cg_steps=1))
    delta, _ = one_step(problem.meta, problem.task(), lambda meta, _: meta.phi)
    b, diagonal, p = np.array([-3.0, -5.0]), np.array([4001.0, 501.0]), np.array([4.0, 1.0])
    z = b / p
    u = z * (b @ z) / (z @ (diagonal * z))
    np.testing.assert_allclose(flat(delta.phi), [4000, 500] * u, rtol=1e-9)
