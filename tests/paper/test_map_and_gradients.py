"""Example 1: the MAP (Eq. 15) and the gradients of the predictive likelihood (Eqs. 16 and 18).

Reduction "sum", so that the posterior is exact. The library differentiates with respect to
log sigma^2: d/d log sigma^2 = sigma^2 d/d sigma^2.
"""

from __future__ import annotations

import numpy as np
import pytest

from meta_shrink import damped_solve, imaml, maml, sigma_reptile
from tests.paper.example_1 import map_adapt, means_of
from tests.problems import normal_means

PHI, N, K = 0.7, 4, 6
RNG = np.random.default_rng(5)
X, Y = RNG.normal(1.5, 1.3, size=[3, N, 1]), RNG.normal(1.2, 1.0, size=[3, K, 1])
MEANS = means_of(X, Y)
SIGMA2 = [0.01, 0.3, 1.0, 20.0]


def problem_at(sigma2: float, alpha: float):
    return normal_means(X, Y, sigma2=[sigma2], phi=PHI, alpha=alpha)


def exact_map(sigma2: float) -> np.ndarray:
    return (MEANS.x + PHI / (N * sigma2)) / (1 + 1 / (N * sigma2))


@pytest.mark.parametrize("sigma2", SIGMA2)
@pytest.mark.parametrize(("alpha", "steps"), [(1 / N, 1), (0.1, 60)])
def test_adaptation_ends_at_the_map(sigma2, alpha, steps):
    problem = problem_at(sigma2, alpha)
    adapt = map_adapt(problem, steps=steps)
    for number, expected in enumerate(exact_map(sigma2)):
        [theta] = adapt(problem.meta, problem.task(number))
        np.testing.assert_allclose(theta, [expected], rtol=1e-9)


def test_the_map_is_not_reached_by_too_few_steps():
    problem = problem_at(1.0, 0.02)
    [theta] = map_adapt(problem, steps=5)(problem.meta, problem.task())
    assert abs(theta[0] - exact_map(1.0)[0]) > 0.05


@pytest.mark.parametrize("sigma2", SIGMA2)
@pytest.mark.parametrize("factory", [maml, imaml, sigma_reptile])
def test_gradient_of_sigma2_is_equation_16(factory, sigma2):
    problem = problem_at(sigma2, 1 / N)
    options = {} if factory is maml else {"solve": damped_solve(cg_steps=1)}
    gradient = factory(problem.nll, problem.registry, **options)
    shrink = 1 + 1 / (N * sigma2)
    first = MEANS.x - MEANS.y + (PHI - MEANS.y) / (N * sigma2)
    by_sigma2 = K / (N * sigma2**2 * shrink**3) * first * (MEANS.x - PHI)
    theta = exact_map(sigma2)
    np.testing.assert_allclose(  # the paper's line before
        by_sigma2, K / (N * sigma2**2 * shrink) * (theta - MEANS.y) * (theta - PHI)
    )
    for number, expected in enumerate(sigma2 * by_sigma2):
        delta, _ = gradient(problem.meta, problem.task(number), map_adapt(problem))
        np.testing.assert_allclose(delta.log_sigma2, [expected], rtol=1e-9)


@pytest.mark.parametrize("sigma2", SIGMA2)
@pytest.mark.parametrize("factory", [maml, imaml])
def test_gradient_of_phi_is_equation_18(factory, sigma2):
    problem = problem_at(sigma2, 1 / N)
    options = {} if factory is maml else {"solve": damped_solve(cg_steps=1)}
    gradient = factory(problem.nll, problem.registry, **options)
    for number, y, theta in zip(range(3), MEANS.y, exact_map(sigma2), strict=True):
        delta, _ = gradient(problem.meta, problem.task(number), map_adapt(problem))
        np.testing.assert_allclose(delta.phi[0], [-K / (1 + N * sigma2) * (y - theta)], rtol=1e-9)


@pytest.mark.parametrize("sigma2", SIGMA2)
def test_sigma_reptile_moves_phi_by_the_gradient_of_the_joint_density(sigma2):
    problem = problem_at(sigma2, 1 / N)
    gradient = sigma_reptile(problem.nll, problem.registry, solve=damped_solve(cg_steps=1))
    for number, theta in enumerate(exact_map(sigma2)):
        delta, _ = gradient(problem.meta, problem.task(number), map_adapt(problem))
        np.testing.assert_allclose(delta.phi[0], [(PHI - theta) / sigma2], rtol=1e-9)
