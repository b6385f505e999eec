"""The baselines as limits of the shrinkage algorithms, against independent numpy where there is
something to compute."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    damped_solve,
    fomaml,
    freeze_others,
    imaml,
    make_adapt,
    maml,
    proximal_adam,
    proximal_gd,
    reptile,
    sigma_reptile,
)
from meta_shrink.adaptation import adaptation
from meta_shrink.proximal import TASK_OPTIMIZERS
from tests.problems import Problem, flat, meta_params, normal_means, regression

STEPS, ALPHA = 6, 0.1


def line(sigma2: float = np.inf) -> Problem:
    return regression(hidden=(), sigma2=sigma2, alpha=ALPHA)


def adapt_with(problem: Problem, optimizer, steps: int = STEPS):
    return make_adapt(adaptation(problem.nll, optimizer, problem.registry), steps=steps)


class ByHand:
    """The gradient and the Hessian of mean squared error of a line, in numpy."""

    def __init__(self, batch) -> None:
        x, y = (part.numpy() for part in batch)
        self.design, self.targets = np.column_stack([x, np.ones(len(x))]), y[:, 0]
        self.hessian = 2 / len(x) * self.design.T @ self.design

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        error = self.design @ theta - self.targets
        return 2 / len(error) * self.design.T @ error


def test_no_prior_is_gradient_descent():
    problem, theta = line(), flat(line().meta.phi)
    by_hand = ByHand(problem.task().train)
    for _ in range(STEPS):
        theta = theta - ALPHA * by_hand.gradient(theta)
    adapted = adapt_with(problem, proximal_gd())(problem.meta, problem.task())
    np.testing.assert_allclose(flat(adapted), theta, rtol=1e-10)


def test_no_prior_is_adam():
    problem, theta = line(), flat(line().meta.phi)
    by_hand, m, v = ByHand(problem.task().train), 0.0, 0.0
    for step in range(1, STEPS + 1):
        g = by_hand.gradient(theta)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.99**step)
        theta = theta - ALPHA * m_hat / np.sqrt(v_hat + 1e-3)
    adapted = adapt_with(problem, proximal_adam(beta2=0.99, epsilon=1e-3))(
        problem.meta, problem.task()
    )
    np.testing.assert_allclose(flat(adapted), theta, rtol=1e-10)


def test_no_prior_is_keras_adam_where_epsilon_is_nothing():
    problem, theta = line(), tf.Variable(flat(line().meta.phi))
    by_hand, adam = ByHand(problem.task().train), keras.optimizers.Adam(ALPHA, epsilon=1e-12)
    for _ in range(STEPS):
        adam.apply([tf.constant(by_hand.gradient(theta.numpy()))], [theta])
    adapted = adapt_with(problem, proximal_adam(epsilon=1e-24))(problem.meta, problem.task())
    np.testing.assert_allclose(flat(adapted), theta.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", TASK_OPTIMIZERS)
def test_variance_zero_returns_phi_bit_for_bit(name):
    problem = regression(sigma2=[np.inf, 0.5])
    for modules, kept in (([], [0, 1]), (["layer_2"], [0])):
        meta = freeze_others(problem.meta, problem.registry, modules)
        theta = adapt_with(problem, TASK_OPTIMIZERS[name]())(meta, problem.task())
        for variable, module in enumerate(problem.registry.index):
            same = theta[variable].numpy().tobytes() == meta.phi[variable].numpy().tobytes()
            assert same == (module in kept)


def test_maml_is_sigma_maml_without_a_prior():
    problem = line()
    task, phi = problem.task(), flat(problem.meta.phi)
    train, val = ByHand(task.train), ByHand(task.val)
    theta = phi
    for _ in range(STEPS):
        theta = theta - ALPHA * train.gradient(theta)
    way = np.linalg.matrix_power(np.eye(3) - ALPHA * train.hessian, STEPS)
    gradient, adapt = maml(problem.nll, problem.registry), adapt_with(problem, proximal_gd())
    delta, _ = gradient(problem.meta, task, adapt)
    np.testing.assert_allclose(flat(delta.phi), way @ val.gradient(theta), rtol=1e-9)
    np.testing.assert_array_equal(delta.log_sigma2, [0.0])


def test_meta_sgd_rates_after_one_step():
    problem = line()
    logs = [tf.zeros_like(x) + np.log(ALPHA) for x in problem.meta.phi]
    meta, task = problem.meta._replace(log_alpha=logs), problem.task()
    phi = flat(meta.phi)
    moved = -ALPHA * ByHand(task.train).gradient(phi)
    gradient = maml(problem.nll, problem.registry)
    adapt = adapt_with(problem, proximal_gd(), steps=1)
    delta, _ = gradient(meta, task, adapt)
    expected = moved * ByHand(task.val).gradient(phi + moved)
    np.testing.assert_allclose(flat(delta.log_alpha), expected, rtol=1e-9)
    per_module, _ = gradient(problem.meta, task, adapt)
    np.testing.assert_allclose(per_module.log_alpha, [expected.sum()], rtol=1e-9)


def three_means(**options) -> Problem:
    observations, validation = np.random.default_rng(4).normal(size=[2, 1, 5, 3])
    return normal_means(observations, validation, alpha=0.05, **options)


def test_meta_sgd_per_parameter_is_per_module_where_modules_are_single_parameters():
    problem = three_means(sigma2=[np.inf] * 3)
    rates = tf.math.log(tf.constant([0.05, 0.1, 0.02], tf.float64))
    gradient, adapt = maml(problem.nll, problem.registry), adapt_with(problem, proximal_gd())
    module, _ = gradient(problem.meta._replace(log_alpha=rates), problem.task(), adapt)
    split = problem.meta._replace(log_alpha=tf.split(rates, 3))
    parameter, _ = gradient(split, problem.task(), adapt)
    np.testing.assert_allclose(flat(parameter.log_alpha), module.log_alpha, rtol=1e-12)
    np.testing.assert_allclose(flat(parameter.phi), flat(module.phi), rtol=1e-12)
    assert np.abs(module.log_alpha).min() > 1e-3


@pytest.mark.parametrize("sigma2", [0.5, np.inf])
def test_reptile_is_the_phi_update_of_sigma_reptile_with_rates_like_sigma2(sigma2):
    problem = regression(sigma2=sigma2)
    adapt = adapt_with(problem, proximal_gd())
    plain, _ = reptile(problem.nll, problem.registry)(problem.meta, problem.task(), adapt)
    scaled, as_printed = (
        sigma_reptile(
            problem.nll, problem.registry, solve=damped_solve(damping=0.1), phi_scale=scale
        )(problem.meta, problem.task(), adapt)[0]
        for scale in ("sigma2", "precision")
    )
    theta = adapt(problem.meta, problem.task())
    np.testing.assert_allclose(flat(plain.phi), flat(problem.meta.phi) - flat(theta))
    np.testing.assert_array_equal(flat(scaled.phi), flat(plain.phi))
    np.testing.assert_allclose(flat(as_printed.phi), flat(plain.phi) / sigma2)


def test_fomaml_is_imaml_with_one_cg_step_where_the_hessian_is_a_multiple_of_the_identity():
    sigma2, damping, curvature = 0.4, 0.3, 5  # 5 observations of noise 1
    problem = three_means(sigma2=[sigma2] * 3)
    adapt = adapt_with(problem, proximal_gd())
    first, _ = fomaml(problem.nll, problem.registry)(problem.meta, problem.task(), adapt)
    solve = damped_solve(cg_steps=1, damping=damping)
    implicit, _ = imaml(problem.nll, problem.registry, solve=solve)(
        problem.meta, problem.task(), adapt
    )
    scale = 1 + sigma2 * (curvature + damping)
    np.testing.assert_allclose(scale * flat(implicit.phi), flat(first.phi), rtol=1e-10)
    assert np.abs(flat(first.phi)).min() > 1e-2


def test_fomaml_is_imaml_with_one_cg_step_where_the_hessian_vanishes():
    sigma2, damping = 0.4, 0.3
    problem = three_means(sigma2=[sigma2] * 3)

    def linear(params, batch):
        return tf.reduce_sum(tf.concat(params, 0) * tf.reduce_sum(batch[0], 0))

    solve = damped_solve(cg_steps=1, damping=damping)
    first, implicit = (
        gradient(problem.meta, problem.task(), lambda meta, task: meta.phi)[0]
        for gradient in (
            fomaml(linear, problem.registry),
            imaml(linear, problem.registry, solve=solve),
        )
    )
    expected = flat(first.phi) / (1 + damping * sigma2)
    np.testing.assert_allclose(flat(implicit.phi), expected, rtol=1e-12)


def test_mean_reduction_is_sum_reduction_at_n_times_the_variance():
    # With N times the rate, too: then the trajectories are one.
    observations = validation = np.random.default_rng(4).normal(size=[1, 5, 2])
    deltas, thetas = [], []
    for reduction, factor in (("sum", 1), ("mean", 5)):
        problem = normal_means(
            observations, validation + 1, reduction=reduction,
            sigma2=[0.3 * factor, 2.0 * factor], alpha=0.05 * factor,
        )  # fmt: skip
        adapt = adapt_with(problem, proximal_gd(), steps=3)
        thetas.append(flat(adapt(problem.meta, problem.task())))
        gradient = imaml(problem.nll, problem.registry, solve=damped_solve(cg_steps=2))
        deltas.append(gradient(problem.meta, problem.task(), adapt)[0])
    np.testing.assert_allclose(thetas[0], thetas[1], rtol=1e-10)
    total, mean = deltas  # the validation loss is a mean of 5, too
    np.testing.assert_allclose(flat(total.phi), 5 * flat(mean.phi), rtol=1e-9)
    np.testing.assert_allclose(total.log_sigma2, 5 * mean.log_sigma2, rtol=1e-9)


@pytest.mark.parametrize("factory", [maml, fomaml, imaml, reptile, sigma_reptile])
def test_meta_sgd_structure_of_zeros(factory):
    # Whatever a method has no gradient for is zero, in the structure of the meta-parameters.
    problem = regression()
    logs = [tf.zeros_like(x) + np.log(ALPHA) for x in problem.meta.phi]
    meta = problem.meta._replace(log_alpha=logs)
    adapt = adapt_with(problem, proximal_gd(), steps=1)
    delta, _ = factory(problem.nll, problem.registry)(meta, problem.task(), adapt)
    tf.nest.assert_same_structure(delta, meta)
    assert [x.shape for x in tf.nest.flatten(delta)] == [x.shape for x in tf.nest.flatten(meta)]
    learns_rates = any(np.abs(x).max() > 0 for x in delta.log_alpha)
    assert learns_rates == (factory is maml)
    assert (np.abs(delta.log_sigma2).max() > 0) == (factory in (maml, imaml, sigma_reptile))


def test_frozen_and_free_modules_side_by_side():
    problem = regression()
    meta = meta_params(problem.meta.phi, [0.0, np.inf], ALPHA)
    theta = adapt_with(problem, proximal_gd(), steps=1)(meta, problem.task())
    with tf.GradientTape() as tape:
        tape.watch(meta.phi)
        loss = problem.nll(meta.phi, problem.task().train)
    grad = tape.gradient(loss, meta.phi)
    for variable in (2, 3):
        expected = meta.phi[variable] - ALPHA * grad[variable]
        np.testing.assert_allclose(theta[variable], expected, rtol=1e-10)
