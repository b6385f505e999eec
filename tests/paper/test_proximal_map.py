"""Both proximal optimizers end at the exact MAP of Eq. 4, at any strength of the prior."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import make_adapt, proximal_adam, proximal_gd
from meta_shrink.adaptation import adaptation
from tests.problems import energy, flat, regression

CASES = {
    "gd": (proximal_gd(), 0.1, 2000),
    "adam": (proximal_adam(beta2=0.99), 0.01, 6000),
    "adam, large epsilon": (proximal_adam(beta2=0.99, epsilon=0.1), 0.02, 6000),
}


@pytest.mark.parametrize("sigma2", [1e-3, 0.5, 20.0])
@pytest.mark.parametrize("case", CASES)
def test_quadratic_problem_against_a_dense_solve(case, sigma2):
    optimizer, alpha, steps = CASES[case]
    problem = regression(hidden=(), sigma2=sigma2, alpha=alpha)
    task, phi = problem.task(), flat(problem.meta.phi)
    x, y = (part.numpy() for part in task.train)
    design = np.column_stack([x, np.ones(len(x))])
    hessian = 2 / len(x) * design.T @ design + np.eye(3) / sigma2
    expected = np.linalg.solve(hessian, 2 / len(x) * design.T @ y[:, 0] + phi / sigma2)
    adapt = make_adapt(adaptation(problem.nll, optimizer, problem.registry), steps=steps)
    theta = flat(tf.function(adapt, jit_compile=True)(problem.meta, task))
    assert np.abs(expected - phi).max() > 1e-4
    np.testing.assert_allclose(theta - phi, expected - phi, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_networks_end_where_the_posterior_is_flat(case):
    optimizer, alpha, steps = CASES[case]
    problem = regression(sigma2=[0.2, 3.0], alpha=alpha)
    meta, task = problem.meta, problem.task()
    adapt = make_adapt(adaptation(problem.nll, optimizer, problem.registry), steps=steps)
    theta = tf.function(adapt, jit_compile=True)(meta, task)
    slopes = []
    for params in (meta.phi, theta):
        with tf.GradientTape() as tape:
            tape.watch(params)
            loss = problem.nll(params, task.train) + energy(meta, params, problem.registry)
        slopes.append(np.abs(flat(tape.gradient(loss, params))).max())
    assert slopes[1] < 1e-6 * slopes[0]
