"""Propositions 1 to 3: the estimators' closed roots are those of the library's gradients, and they
approach the truth as the number of tasks T grows.

Tolerances are 5 standard errors (delta method), which shrink as 1/sqrt(T).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from meta_shrink import imaml, sigma_reptile
from tests.paper.example_1 import (
    Means,
    draw,
    means_of,
    phi_root,
    sigma2_root,
    total_gradient,
)

PHI, SIGMA2, N, K = 1.5, 2.0, 5, 5
NUM_TASKS = [500, 8_000]


@cache
def data(num_tasks: int):
    x, y = draw(NUM_TASKS[-1], phi=PHI, sigma2=SIGMA2, num_train=N, num_val=K)
    return x[:num_tasks], y[:num_tasks]


@cache
def total_gradient_of(factory, num_tasks: int):
    return total_gradient(factory, *data(num_tasks))


def five_errors(influence: np.ndarray) -> float:
    return 5 * influence.std() / np.sqrt(len(influence))


def sigma2_tolerance(m: Means) -> float:
    above, below = (m.x - PHI) * (m.y - PHI), N * (m.x - m.y) * (m.x - PHI)
    return five_errors((above - SIGMA2 * below) / below.mean())


def joint_phi_root(m: Means) -> float:
    """Eq. 20; its second term is mean(x y)(ybar - xbar)."""
    x_y, x, y = np.mean(m.x * (m.x - m.y)), m.x.mean(), m.y.mean()
    return (x_y * y + np.mean(m.x * m.y) * (y - x)) / (x * (y - x) + x_y)


@pytest.mark.parametrize("num_tasks", NUM_TASKS)
def test_proposition_1(num_tasks):
    means, gradient = means_of(*data(num_tasks)), total_gradient_of(imaml, num_tasks)
    phi = joint_phi_root(means)
    sigma2 = sigma2_root(means, phi)
    assert phi == pytest.approx(phi_root(means, sigma2), rel=1e-9)  # Eqs. 17, 19, 20 agree

    # Both gradients vanish there and not beside it, in the direction of descent.
    scale = np.abs(gradient(phi + 0.5, 2 * sigma2))
    np.testing.assert_allclose(np.array(gradient(phi, sigma2)) / scale, 0, atol=1e-9)
    assert gradient(phi + 0.1, sigma2)[0] > 0 > gradient(phi - 0.1, sigma2)[0]
    assert gradient(phi, 1.2 * sigma2)[1] > 0 > gradient(phi, 0.8 * sigma2)[1]

    assert abs(phi - PHI) < five_errors(means.y + N * SIGMA2 * (means.y - means.x))
    assert abs(sigma2 - SIGMA2) < sigma2_tolerance(means)


def test_tolerances_at_many_tasks_mean_something():
    means = means_of(*data(NUM_TASKS[-1]))
    assert sigma2_tolerance(means) < 0.3 * SIGMA2
    assert five_errors(means.x) < 0.1 * PHI


@pytest.mark.parametrize("num_tasks", NUM_TASKS)
def test_proposition_2(num_tasks):
    means, gradient = means_of(*data(num_tasks)), total_gradient_of(sigma_reptile, num_tasks)
    phi = means.x.mean()  # Eq. 24
    for sigma2 in (0.1, SIGMA2, 50.0):
        assert abs(gradient(phi, sigma2)[0]) < 1e-8 * abs(gradient(phi + 0.1, sigma2)[0])
        assert gradient(phi + 0.1, sigma2)[0] > 0 > gradient(phi - 0.1, sigma2)[0]
    assert abs(phi - PHI) < five_errors(means.x)


@pytest.mark.parametrize("num_tasks", NUM_TASKS)
def test_proposition_3(num_tasks):
    means, gradient = means_of(*data(num_tasks)), total_gradient_of(sigma_reptile, num_tasks)
    phi = means.x.mean()
    low, high = -5.0, 5.0
    for _ in range(45):  # bisection of the library's gradient over log sigma^2
        middle = (low + high) / 2
        if gradient(phi, np.exp(middle))[1] > 0:
            high = middle
        else:
            low = middle
    found = np.exp((low + high) / 2)
    assert found == pytest.approx(sigma2_root(means, phi), rel=1e-7)  # Eq. 25
    assert abs(found - SIGMA2) < sigma2_tolerance(means)
