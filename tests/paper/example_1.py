"""Example 1 (App. A.2), the univariate normal, made of the library's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink import damped_solve, make_adapt, proximal_gd
from meta_shrink.adaptation import adaptation
from meta_shrink.rng import root_key
from meta_shrink.task_axis import over_tasks
from meta_shrink.tasks import gaussian
from meta_shrink.types import Adapt
from tests.problems import Problem, meta_params, normal_means


class Means(NamedTuple):
    """xbar_t and ybar_t [T] of Eq. 14, and the numbers of observations behind each."""

    x: np.ndarray
    y: np.ndarray
    num_train: int
    num_val: int


def draw(num_tasks: int, *, phi: float, sigma2: float, num_train: int, num_val: int, seed: int = 0):
    """(x [T, N, 1], y [T, K, 1]) of tasks of the library's Gaussian source."""
    source = gaussian(
        seed=seed, mean="identity", phi=[phi], sigma=[sigma2**0.5], noise=[1.0],
        num_train=num_train, num_val=num_val,
    )  # fmt: skip

    @tf.function
    def sample_all():
        keys = tf.map_fn(lambda t: root_key(seed, "train_tasks", t), tf.range(num_tasks))
        tasks = over_tasks(source.sample, "sequential")(keys)
        return tasks.train[0], tasks.val[0]

    return [x.numpy() for x in sample_all()]


def means_of(x: np.ndarray, y: np.ndarray) -> Means:
    return Means(x.astype(float).mean((1, 2)), y.astype(float).mean((1, 2)), x.shape[1], y.shape[1])


def map_adapt(problem: Problem, *, steps: int = 1) -> Adapt:
    """Proximal GD. At alpha = 1/N one step ends at the MAP exactly."""
    return make_adapt(adaptation(problem.nll, proximal_gd(), problem.registry), steps=steps)


def total_gradient(factory: Callable, x: np.ndarray, y: np.ndarray, **options) -> Callable:
    """(phi, sigma2) -> sum over tasks of (Delta_phi, Delta_log_sigma2) of a meta-gradient."""
    problem = normal_means(x, y, sigma2=[1.0], alpha=1 / x.shape[1])
    one = factory(problem.nll, problem.registry, solve=damped_solve(cg_steps=1), **options)
    adapt = map_adapt(problem)

    @tf.function
    def sums(meta):
        deltas, _ = over_tasks(lambda task: one(meta, task, adapt), "vectorized")(problem.tasks)
        return tf.reduce_sum(deltas.phi[0]), tf.reduce_sum(deltas.log_sigma2)

    def at(phi: float, sigma2: float) -> tuple[float, float]:
        center = [tf.constant([phi], tf.float64)]
        found = sums(meta_params(center, [sigma2], 1 / x.shape[1]))
        return float(found[0]), float(found[1])

    return at


def sigma2_root(m: Means, phi: float) -> float:
    """Eqs. 17 and 25."""
    above, below = (m.x - phi) * (m.y - phi), (m.x - m.y) * (m.x - phi)
    return float(above.mean() / (m.num_train * below.mean()))


def phi_root(m: Means, sigma2: float) -> float:
    """Eq. 19."""
    return m.y.mean() + m.num_train * sigma2 * (m.y.mean() - m.x.mean())
