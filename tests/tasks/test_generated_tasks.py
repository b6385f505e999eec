"""Sinusoid and Gaussian tasks: against their formulas, worked out by hand or fitted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink.models.gaussian import MEANS
from meta_shrink.rng import fold_in
from meta_shrink.tasks import gaussian, sinusoid

KEYS = [fold_in(tf.constant([5, 6]), "test", number) for number in range(60)]


def shape_of(task) -> tuple[float, float]:
    """Amplitude a and phase b in [0, 2 pi) of y = a sin(x - b) by least squares."""
    x, y = (np.concatenate([task.train[i], task.val[i]])[:, 0].astype(float) for i in (0, 1))
    # a sin(x - b) = (a cos b) sin x - (a sin b) cos x
    (sine, cosine), residual, *_ = np.linalg.lstsq(
        np.stack([np.sin(x), np.cos(x)], 1), y, rcond=None
    )
    assert residual[0] < 1e-8
    return math.hypot(sine, cosine), math.atan2(-cosine, sine) % (2 * math.pi)


def test_sinusoids_have_the_amplitudes_phases_and_inputs_of_the_paper():
    tasks = [sinusoid(seed=0).sample(key) for key in KEYS]
    amplitudes, phases = np.array([shape_of(task) for task in tasks]).T
    assert 0.1 <= amplitudes.min() < 0.6 and 4.5 < amplitudes.max() <= 5
    assert 0 <= phases.min() < 0.3 and math.pi - 0.3 < phases.max() <= math.pi
    inputs = np.concatenate([task.train[0] for task in tasks])
    assert -5 <= inputs.min() < -4.8 and 4.8 < inputs.max() <= 5
    assert abs(np.corrcoef(amplitudes, phases)[0, 1]) < 0.4


def test_a_held_out_sinusoid_has_its_own_count_and_depends_on_seed_and_index():
    first, again, other, seed = (
        sinusoid(seed=s, num_train=3, num_val=4, num_heldout_val=50).heldout(tf.constant(i))
        for s, i in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert first.train[0].shape == (3, 1) and first.val[0].shape == (50, 1)
    np.testing.assert_array_equal(first.val[1], again.val[1])
    assert not np.array_equal(first.val[1], other.val[1])
    assert not np.array_equal(first.val[1], seed.val[1])


ROOT_2 = math.sqrt(2)
FIFTH = math.pi / 5


@pytest.mark.parametrize(
    ("mean", "theta", "expected"),
    [
        ("identity", [1.0, -2.0], [1.0, -2.0]),
        ("linear", [1.0, 3.0], [1.0, 3.0, 4.0 / ROOT_2]),
        # (1, 0) and (0, 2) turn anticlockwise by omega and by 2 omega; (0, 0) stays.
        ("spiral", [1.0, 0.0], [math.cos(FIFTH), math.sin(FIFTH)]),
        ("spiral", [0.0, 2.0], [-2 * math.sin(2 * FIFTH), 2 * math.cos(2 * FIFTH)]),
        ("spiral", [0.0, 0.0, -5.0, 0.0], [0.0, 0.0, 5.0, 0.0]),
    ],
)
def test_mean_functions(mean, theta, expected):
    np.testing.assert_allclose(MEANS[mean](tf.constant(theta)), expected, atol=1e-5)


def many(**changes):
    given = {"mean": "identity", "phi": [1.0, -2.0], "sigma": [0.5, 3.0], "noise": [0.2, 0.1]}
    return gaussian(seed=3, **{**given, "num_train": 3, "num_val": 2, **changes})


def test_gaussian_tasks_have_the_moments_they_are_given():
    source = many(num_train=400, num_val=400)
    tasks = [source.sample(key) for key in KEYS]
    means = np.stack([task.train[0].numpy().mean(0) for task in tasks])
    # 60 tasks: standard errors are sigma / 7.7 of the mean and sigma / 11 of sigma.
    np.testing.assert_allclose(means.mean(0), [1.0, -2.0], atol=3 * 3.0 / 7.7)
    np.testing.assert_allclose(means[:, 0].mean(), 1.0, atol=3 * 0.5 / 7.7)
    np.testing.assert_allclose(means.std(0) / [0.5, 3.0], 1.0, atol=0.3)
    spread = np.stack([task.train[0].numpy().std(0) for task in tasks]).mean(0)
    np.testing.assert_allclose(spread, [0.2, 0.1], rtol=0.02)
    validation = np.stack([task.val[0].numpy().mean(0) for task in tasks])
    assert np.abs(validation - means).max() < 0.1
    np.testing.assert_array_equal(tasks[0].train[0], tasks[0].train[1])


def test_the_truth_of_a_held_out_gaussian_task_is_the_centre_of_its_data():
    source = many(num_train=2000, num_heldout_val=2000)
    assert source.truth is not None
    for index in map(tf.constant, range(3)):
        task = source.heldout(index)
        for part in (task.train[0], task.val[0]):
            np.testing.assert_allclose(part.numpy().mean(0), source.truth(index), atol=0.02)
    assert not np.allclose(source.truth(tf.constant(0)), source.truth(tf.constant(1)))
