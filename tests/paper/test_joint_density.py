"""Why sigma^2 is not learned from the joint density: Lemma 1, Proposition 4, Corollary 1.

l_joint (Eq. 12) is the prior's energy, the library's loss and the prior's log-normaliser, which the
library leaves out on purpose and which is written here.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from docs.results import figure_6
from tests.paper.example_1 import draw, map_adapt, means_of
from tests.problems import Problem, energy, meta_params, normal_means, regression

N = 4


def joint(problem: Problem, meta, thetas) -> tf.Tensor:
    """-log p(theta_1:T, D | phi, sigma^2) up to a constant; thetas: parameters [T, ...]."""

    def one(each):
        task, theta = each
        return energy(meta, theta, problem.registry) + problem.nll(theta, task.train)

    num_tasks = len(tf.nest.flatten(problem.tasks)[0])
    sizes = tf.constant(problem.registry.sizes, meta.log_sigma2.dtype)
    normaliser = 0.5 * num_tasks * tf.reduce_sum(sizes * meta.log_sigma2)
    return normaliser + tf.reduce_sum(tf.vectorized_map(one, (problem.tasks, thetas)))


@pytest.mark.parametrize("network", [True, False])
def test_lemma_1_the_joint_density_diverges_where_no_task_moves(network):
    if network:
        problem = regression(reduction="sum")
    else:
        problem = normal_means(*np.random.default_rng(0).normal(size=[2, 3, 5, 2]), sigma2=[1, 1])
    num_tasks, count = len(problem.tasks.key), sum(problem.registry.sizes)
    at_phi = [tf.stack([x] * num_tasks) for x in problem.meta.phi]
    levels = [tf.zeros_like(problem.meta.log_sigma2) + s for s in (0.0, -10.0, -20.0, -30.0)]
    values = [joint(problem, problem.meta._replace(log_sigma2=s), at_phi) for s in levels]
    # Down a straight line, T D / 2 for each unit of log sigma^2, for ever.
    np.testing.assert_allclose(np.diff(values), -10 * num_tasks * count / 2, rtol=1e-6)


def test_the_energy_without_its_normaliser_does_not_diverge():
    problem = regression()
    for log_sigma2 in (0.0, -30.0):
        meta = problem.meta._replace(log_sigma2=tf.fill([2], tf.constant(log_sigma2, tf.float64)))
        assert energy(meta, problem.meta.phi, problem.registry) == 0


class Profile:
    """sigma^2 -> l_joint at the stationary theta and phi, its gradient and its descent."""

    def __init__(self, x: np.ndarray) -> None:
        self.means = means_of(x, x).x
        self.variance = self.means.var()  # S of Eq. 26
        problem = normal_means(x, x, sigma2=[1.0], alpha=1 / N)
        adapt = map_adapt(problem)
        phi = [tf.constant([self.means.mean()], tf.float64)]  # Eq. 24

        def value(log_sigma2):
            meta = meta_params(phi, [1.0], 1 / N)._replace(log_sigma2=log_sigma2[tf.newaxis])
            thetas = tf.vectorized_map(lambda task: adapt(meta, task), problem.tasks)
            return joint(problem, meta, thetas) / len(x)

        def slope(log_sigma2):
            with tf.GradientTape() as tape:
                tape.watch(log_sigma2)
                loss = value(log_sigma2)
            return tape.gradient(loss, log_sigma2)

        @tf.function
        def descend(log_sigma2, steps):
            return tf.while_loop(
                lambda step, _: step < steps,
                lambda step, s: (step + 1, s - 0.5 * slope(s)),
                (tf.constant(0), log_sigma2),
            )[1]

        self._slope, self._descend = tf.function(slope), descend

    def slope(self, sigma2: float) -> float:
        """d l_joint / d log sigma^2, per task."""
        return float(self._slope(tf.constant(np.log(sigma2), tf.float64)))

    def descend(self, sigma2: float, steps: int) -> float:
        """sigma^2 after gradient descent from here."""
        return float(np.exp(self._descend(tf.constant(np.log(sigma2), tf.float64), steps)))

    def roots(self) -> np.ndarray:
        """Eq. 34: the local maximum, then the local minimum."""
        s = self.variance
        return (s - 2 / N + np.array([-1, 1]) * np.sqrt(s * (s - 4 / N))) / 2


@cache
def profile(sigma2_true: float, num_tasks: int = 200) -> Profile:
    x, _ = draw(num_tasks, phi=1.0, sigma2=sigma2_true, num_train=N, num_val=1)
    return Profile(x)


WIDE, NARROW = 6 / N, 1 / N


def test_the_wide_case_has_both_roots_and_the_narrow_one_none():
    assert profile(WIDE).variance > 4 / N > profile(NARROW).variance


def test_roots_solve_the_quadratic_and_are_stationary():
    wide = profile(WIDE)
    for root in wide.roots():
        terms = [root**2, (2 / N - wide.variance) * root, 1 / N**2]  # Eq. 32
        assert abs(sum(terms)) < 1e-12 * max(terms)
        assert abs(wide.slope(root)) < 1e-9


@pytest.mark.parametrize("sigma2_true", [WIDE, NARROW])
def test_figure_6_shows_these_curves(sigma2_true):
    found = profile(sigma2_true)
    np.testing.assert_allclose(
        figure_6.stationary_points(found.variance, N), found.roots() if sigma2_true == WIDE else []
    )
    sigma2 = np.array([0.02, 0.2, 2.0])
    slopes = sigma2 * figure_6.joint_gradient(sigma2, found.variance, N)
    np.testing.assert_allclose([found.slope(s) for s in sigma2], slopes, rtol=1e-8)
    ends = figure_6.joint(sigma2 * (1 + np.array([[-1e-6], [1e-6]])), found.variance, N)
    np.testing.assert_allclose((ends[1] - ends[0]) / 2e-6, slopes, rtol=1e-4, atol=1e-6)


def test_left_root_is_a_maximum_and_right_root_a_minimum():
    left, right = profile(WIDE).roots()
    slope = profile(WIDE).slope
    assert slope(0.9 * left) > 0 > slope(1.1 * left)
    assert slope(0.9 * right) < 0 < slope(1.1 * right)


def test_proposition_4_condition_1_small_variance_diverges_from_anywhere():
    narrow = profile(NARROW)
    for start in (1e-2, 1.0, 100.0):
        assert narrow.descend(start, steps=300) < 1e-6
    # (The paper says "< 0" below Eq. 33: that is the slope of the log-density.)
    assert min(narrow.slope(sigma2) for sigma2 in np.geomspace(1e-6, 1e4, 60)) > 0


def test_proposition_4_condition_2_and_the_local_minimum():
    wide = profile(WIDE)
    left, right = wide.roots()
    assert wide.descend(0.9 * left, steps=300) < 1e-6
    for start in (1.1 * left, right, 100.0):
        assert wide.descend(start, steps=300) == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("sigma2_true", [WIDE, NARROW, 2.7 / N, 3.3 / N])
def test_corollary_1_many_tasks(sigma2_true):
    num_tasks = 8_000
    x, _ = draw(num_tasks, phi=1.0, sigma2=sigma2_true, num_train=N, num_val=1)
    variance = means_of(x, x).x.var()
    limit = sigma2_true + 1 / N
    # S is limit/T times a chi-square of T - 1 degrees of freedom (Eq. 27): 3 standard errors.
    assert abs(variance / limit - 1) < 3 * np.sqrt(2 / num_tasks)
    assert (variance >= 4 / N) == (sigma2_true >= 3 / N)  # Eqs. 33 and 35


def test_corollary_1_roots():
    profile_of_many = profile(WIDE, num_tasks=8_000)
    product = (WIDE + 1 / N) * (WIDE - 3 / N)
    expected = (WIDE - 1 / N + np.array([-1, 1]) * np.sqrt(product)) / 2  # Eq. 36
    np.testing.assert_allclose(profile_of_many.roots(), expected, rtol=0.1)
    assert profile_of_many.descend(0.7 * expected[0], steps=300) < 1e-6
    assert profile_of_many.descend(1.4 * expected[0], steps=300) == pytest.approx(
        expected[1], rel=0.1
    )
