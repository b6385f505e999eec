"""Losses against their formulas, reductions, and models with running statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, cross_entropy, gaussian, negative_log_likelihood, squared_error
from meta_shrink.losses import LOSSES, METRICS, accuracy, reduced
from meta_shrink.models import mlp
from tests.problems import parameters

RNG = np.random.default_rng(0)
TARGET = tf.constant(RNG.normal(size=[5, 3]), tf.float32)
OUTPUT = tf.constant(RNG.normal(size=[5, 3]), tf.float32)


def test_squared_error_sums_over_outputs_without_a_half():
    expected = np.sum((TARGET - OUTPUT) ** 2, axis=1)
    np.testing.assert_allclose(squared_error()(TARGET, OUTPUT), expected, rtol=1e-6)


def test_gaussian_is_the_log_density_up_to_a_constant():
    noise = np.array([0.5, 1.0, 2.0])
    expected = 0.5 * np.sum(((TARGET - OUTPUT) / noise) ** 2, axis=1)
    np.testing.assert_allclose(gaussian(noise=noise.tolist())(TARGET, OUTPUT), expected, rtol=1e-5)


def test_cross_entropy_and_accuracy():
    labels = tf.constant([0, 1, 2, 0, 1])
    probabilities = np.exp(OUTPUT) / np.exp(OUTPUT).sum(1, keepdims=True)
    chosen = probabilities[np.arange(5), labels]
    np.testing.assert_allclose(cross_entropy()(labels, OUTPUT), -np.log(chosen), rtol=1e-5)
    hits = (probabilities.argmax(1) == labels.numpy()).astype(float)
    assert 0 < hits.sum() < 5
    np.testing.assert_array_equal(accuracy()(labels, OUTPUT), hits)


def test_mean_and_sum_differ_by_the_number_of_examples():
    model = mlp(seed=0, inputs=3, outputs=3, hidden=(2,))
    params = parameters(model)
    mean, total = (
        negative_log_likelihood(model, squared_error(), reduction=reduction)(
            params, (OUTPUT, TARGET)
        )
        for reduction in ("mean", "sum")
    )
    np.testing.assert_allclose(total, 5 * mean, rtol=1e-6)
    np.testing.assert_allclose(mean, np.mean(np.sum((model(OUTPUT) - TARGET) ** 2, 1)), rtol=1e-5)


def test_batch_statistics_are_used_and_running_ones_untouched():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(name="norm", epsilon=1e-6)], name="m"
    )
    before = [variable.numpy() for variable in model.non_trainable_variables]
    nll = negative_log_likelihood(model, squared_error())
    normalised = (OUTPUT - np.mean(OUTPUT, 0)) / np.std(OUTPUT, 0)
    np.testing.assert_allclose(
        nll(parameters(model), (OUTPUT, TARGET)),
        np.mean(np.sum((normalised - TARGET) ** 2, 1)),
        rtol=1e-4,
    )
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("noise", [[], [1.0, 0.0], [-1.0]])
def test_bad_noise_is_refused(noise):
    with pytest.raises(UsageError, match=r"loss\.noise"):
        gaussian(noise=noise)


def test_unknown_reduction_is_refused():
    with pytest.raises(UsageError, match=r"'median'.*mean, sum"):
        negative_log_likelihood(mlp(seed=0), squared_error(), reduction="median")


def test_sequences_are_measured_in_bits_per_label_that_counts():
    logits = tf.math.log(tf.constant([[[0.5, 0.5], [0.25, 0.75], [0.01, 0.99]]]))
    labels, weights = tf.constant([[0, 0, 0]]), tf.constant([[1.0, 1.0, 0.0]])
    facts = METRICS["sequence_cross_entropy"]
    each = facts.example(LOSSES["sequence_cross_entropy"]())(labels, logits)
    assert reduced(each, weights, reduction="mean").numpy() == pytest.approx(1.5)
    assert (facts.name, facts.lower_is_better) == ("bits per sample", True)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", [squared_error(), gaussian(noise=[0.5])])
def test_outputs_of_one_number_each_are_as_if_they_had_an_axis(loss, reduction):
    """[N] is N examples, not one of N numbers, with and without weights."""
    x = keras.Input((4,))
    wide = keras.Model(x, keras.layers.Dense(1)(x))
    flat = keras.Model(x, keras.layers.Reshape(())(wide(x)))
    rng = np.random.default_rng(0)
    inputs, targets = (tf.constant(rng.normal(size=s), tf.float32) for s in ([5, 4], [5, 1]))
    values = [
        [
            negative_log_likelihood(model, loss, reduction=reduction)(
                parameters(model), (inputs, y, *weights)
            )
            for weights in ((), (tf.constant([1.0, 1, 0, 1, 0]),))
        ]
        for model, y in ((wide, targets), (flat, targets[:, 0]))
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16])
def test_the_accuracy_of_what_is_not_a_number_is_none(dtype):
    """NaN is no prediction: counted as the first label, a diverged network may be the best one."""
    nan, inf = np.nan, np.inf
    logits = tf.constant([[nan] * 3, [0, nan, 1], [0, 2, 1], [-inf, -inf, 0]], dtype)
    found = accuracy()(tf.constant([0, 2, 1, 2]), logits)
    np.testing.assert_array_equal(found, [nan, nan, 1.0, 1.0])
    assert found.dtype == dtype
