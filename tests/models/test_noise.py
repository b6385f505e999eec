"""Layers that draw at random: noise by (task, step), one noise in a solve, none in metrics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    ModuleRegistry,
    Task,
    damped_solve,
    fomaml,
    imaml,
    maml,
    mean_metric,
    negative_log_likelihood,
    proximal_gd,
    squared_error,
)
from meta_shrink.adaptation import adaptation
from meta_shrink.evaluation import inductive_metric
from meta_shrink.keras_model import apply_model, moments
from meta_shrink.network_loss import STEP, noise_key, noisy
from tests.problems import meta_params, parameters

layers = keras.layers
RANDOM = {
    "dropout": (lambda: layers.Dropout(0.5), (6,)),
    "alpha dropout": (lambda: layers.AlphaDropout(0.5), (6,)),
    "gaussian dropout": (lambda: layers.GaussianDropout(0.5), (6,)),
    "gaussian noise": (lambda: layers.GaussianNoise(1.0), (6,)),
    "spatial dropout": (lambda: layers.SpatialDropout1D(0.5), (3, 4)),
    "lstm": (lambda: layers.LSTM(3, dropout=0.5), (3, 4)),
    "gru": (lambda: layers.GRU(3, recurrent_dropout=0.5), (3, 4)),
    "in time": (lambda: layers.TimeDistributed(layers.Dropout(0.5)), (3, 4)),
    "in a model": (lambda: keras.Sequential([layers.Dropout(0.5)]), (6,)),
    "flip": (lambda: layers.RandomFlip(), (4, 4, 3)),
    "brightness": (lambda: layers.RandomBrightness(0.5, value_range=(0, 1)), (4, 4, 3)),
}
KEYS = [tf.constant([1, n]) for n in range(2)]


def network(name: str, norm: bool = False) -> keras.Model:
    make, shape = RANDOM[name]
    parts = [keras.Input(shape), make(), *([layers.BatchNormalization()] if norm else [])]
    return keras.Sequential([*parts, layers.Flatten(), layers.Dense(2, name="last")])


def batch_of(name: str):
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.uniform(size=[16, *RANDOM[name][1]]), tf.float32)
    return inputs, tf.constant(rng.normal(size=[16, 2]), tf.float32)


@pytest.mark.parametrize("name", RANDOM)
def test_noise_is_a_function_of_the_key_alone(name):
    model, batch = network(name), batch_of(name)
    nll, params = negative_log_likelihood(model, squared_error()), parameters(model)
    assert nll.random
    first, second = (noisy(nll, key) for key in KEYS)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    value = first(params, batch)
    np.testing.assert_array_equal(first(params, batch), value)
    assert abs(float(second(params, batch) - value)) > 1e-6
    for variable, old in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_key_outputs_are_those_of_inference(name):
    model, (inputs, targets) = network(name), batch_of(name)
    nll, params = negative_log_likelihood(model, squared_error()), parameters(model)
    expected = tf.reduce_sum((model(inputs, training=False) - targets) ** 2, 1)
    for loss in (nll, mean_metric(model, squared_error())):
        np.testing.assert_allclose(loss(params, (inputs, targets)), np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(
        apply_model(model)(params, inputs), model(inputs, training=False), rtol=1e-5
    )


def test_batch_statistics_stay_where_noise_is_off():
    model, (inputs, targets) = network("dropout", norm=True), batch_of("dropout")
    model.layers[1].epsilon = 1e-6
    kernel, bias = parameters(model)[-2:]
    normal = (inputs - np.mean(inputs, 0)) / np.std(inputs, 0)
    expected = np.mean(np.sum((normal @ kernel + bias - targets) ** 2, 1))
    metric = mean_metric(model, squared_error())
    np.testing.assert_allclose(metric(parameters(model), (inputs, targets)), expected, rtol=1e-3)
    found = moments(model, parameters(model), inputs)
    both = [value for value in found if value.dtype == tf.float32]
    np.testing.assert_allclose(both[0], np.mean(inputs, 0), rtol=1e-5)
    np.testing.assert_allclose(both[1], np.var(inputs, 0), rtol=1e-4)
    task = Task((inputs, targets), (inputs, targets), KEYS[0])
    inductive = inductive_metric(model, squared_error())(parameters(model), task)
    np.testing.assert_allclose(inductive, expected, rtol=1e-3)


def test_dropout_drops_the_share_that_it_says_and_keeps_the_mean():
    model = keras.Sequential([keras.Input((2000,)), layers.Dropout(0.25)])
    model.add(layers.Rescaling(1.0))
    model.add(layers.Dense(1, use_bias=False, kernel_initializer="ones"))
    nll = negative_log_likelihood(model, lambda target, output: output[:, 0] / 2000)
    ones = (tf.ones([50, 2000]), tf.zeros([50]))
    values = [float(noisy(nll, key)(parameters(model), ones)) for key in KEYS]
    np.testing.assert_allclose(values, 1.0, atol=0.01)
    assert values[0] != values[1] and float(nll(parameters(model), ones)) == pytest.approx(1.0)


def problem():
    model = network("dropout")
    registry, nll = ModuleRegistry.by_layer(model), negative_log_likelihood(model, squared_error())
    meta = meta_params(parameters(model), [1.0], 0.1)
    tasks = [Task(batch_of("dropout"), batch_of("dropout"), key) for key in KEYS]
    return model, registry, nll, meta, tasks


def test_every_step_and_every_task_has_noise_of_its_own():
    _, registry, nll, meta, tasks = problem()
    plan = adaptation(nll, proximal_gd(), registry)
    ends = []
    for task in tasks:
        state = plan.start(meta)
        for step in range(2):
            theta = state.theta
            with tf.GradientTape() as tape:
                tape.watch(theta)
                loss = noisy(nll, noise_key(nll, task.key, STEP, tf.constant(step)))(
                    theta, task.train
                )
            gradient = tape.gradient(loss, theta)
            state = plan.advance(meta, task, state, 1)
            moved = [
                (t - 0.1 * g - p) / 1.1 + p
                for t, g, p in zip(theta, gradient, meta.phi, strict=True)
            ]
            for ours, theirs in zip(state.theta, moved, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        ends.append(plan.advance(meta, task, plan.start(meta), 2).theta)
        for ours, theirs in zip(ends[-1], state.theta, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.abs(ends[0][0] - ends[1][0]).max() > 1e-4


def test_a_solve_has_one_noise_and_its_metrics_none():
    """Two conjugate-gradient steps on a quadratic in 2 parameters solve it, if A stays the same."""
    model = keras.Sequential([keras.Input((2,)), layers.Dropout(0.5)])
    model.add(layers.Dense(1, use_bias=False))
    nll = negative_log_likelihood(model, squared_error())
    registry, phi = ModuleRegistry.by_layer(model), parameters(model)
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.normal(size=[8, n]), tf.float32) for n in (2, 1))
    task, meta = Task((x, y), (x, y), KEYS[0]), meta_params(phi, [0.5], 0.1)
    meta_gradient = imaml(nll, registry, solve=damped_solve(cg_steps=2))
    delta, metrics = meta_gradient(meta, task, lambda meta, task: list(meta.phi))
    assert float(metrics["cg/residual_norm"]) < 1e-5
    for name in ("nll_val", "nll_train"):
        np.testing.assert_allclose(metrics[name], nll(phi, (x, y)), rtol=1e-6)
    assert np.isfinite(delta.phi[0]).all()


@pytest.mark.parametrize("method", [maml, fomaml])
def test_reported_losses_have_no_noise(method):
    _, registry, nll, meta, (task, _) = problem()
    _, metrics = method(nll, registry)(meta, task, lambda meta, task: list(meta.phi))
    for name in ("nll_val", "nll_train"):
        np.testing.assert_allclose(metrics[name], nll(meta.phi, task.train), rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_noise_in_a_compiled_function_is_that_of_a_call(jit):
    model, batch = network("dropout"), batch_of("dropout")
    nll, params = negative_log_likelihood(model, squared_error()), parameters(model)
    compiled = tf.function(
        lambda key: noisy(nll, key)(params, batch), jit_compile=jit, autograph=False
    )
    values = [float(compiled(key)) for key in KEYS]
    assert values[0] != values[1]
    assert values == [float(compiled(key)) for key in KEYS]
