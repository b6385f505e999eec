"""Batch normalisations inside of layers, and those that one network calls several times."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Task, UsageError, mean_metric, negative_log_likelihood, squared_error
from meta_shrink.evaluation import inductive_metric
from meta_shrink.keras_model import moments
from meta_shrink.models.norm_refusals import check_norms_in_noise
from tests.problems import parameters

layers = keras.layers
X = tf.random.stateless_normal([12, 4], [1, 2], mean=3.0, stddev=2.0)


class Block(layers.Layer):
    """A normalisation and noise in one layer; `handed`: it hands `training` on. `inner`: a way to
    the normalisation through another layer."""

    def __init__(self, *, handed: bool, own: bool = True, inner: bool = False, **options):
        super().__init__(**options)
        norm = layers.BatchNormalization(name="norm")
        self.norm = keras.Sequential([norm], name="inside") if inner else norm
        self.handed = handed
        if own:
            self.generator = keras.random.SeedGenerator(3)
        else:
            self.drop = layers.Dropout(0.5, name="drop")

    def build(self, shape):
        """The normalisation's variables."""
        self.norm.build(shape)

    def call(self, x, training=None):
        """Normalised, with noise in training."""
        x = self.norm(x, training=training) if self.handed else self.norm(x)
        if hasattr(self, "drop"):
            return self.drop(x, training=training)
        return keras.random.dropout(x, 0.5, seed=self.generator) if training else x


def network(block: layers.Layer) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(1, name="last")(block(x)))


@pytest.mark.parametrize("inner", [False, True])
def test_a_random_layer_that_takes_its_norm_out_of_training_is_refused(inner):
    model = network(Block(handed=True, inner=inner, name="block"))
    with pytest.raises(UsageError, match=r"'block' draws at random and .* normalisation 'norm'"):
        negative_log_likelihood(model, squared_error())


@pytest.mark.parametrize(
    "kind", [{"handed": False}, {"handed": True, "own": False}, {"handed": False, "inner": True}]
)
def test_norms_beside_noise_take_the_moments_of_the_batch(kind):
    model, batch = network(Block(name="block", **kind)), (X, tf.zeros([12, 1]))
    kernel, bias = parameters(model)[-2:]
    normal = (X - np.mean(X, 0)) / np.sqrt(np.var(X, 0) + 1e-3)
    expected = np.mean((normal @ kernel + bias) ** 2)
    for loss in (negative_log_likelihood, mean_metric):
        value = loss(model, squared_error())(parameters(model), batch)
        np.testing.assert_allclose(value, expected, rtol=1e-4)
    mean, _ = (m for m in moments(model, parameters(model), X) if m.dtype == tf.float32)
    np.testing.assert_allclose(mean, np.mean(X, 0), rtol=1e-5)


def test_a_frozen_norm_in_a_random_layer_is_taken():
    block = Block(handed=True, name="block")
    model = network(block)
    block.norm.trainable = False
    assert negative_log_likelihood(model, squared_error()).random
    check_norms_in_noise(model, model.non_trainable_variables, model.non_trainable_variables)


def views(x) -> list:
    return [x, 10.0 * x + 3.0, -x]


def siamese(wrap) -> keras.Model:
    """One normalisation for three views of an example; the outputs side by side."""
    x = keras.Input((4,))
    norm = wrap(layers.BatchNormalization(name="norm"))
    parts = [norm(view) for view in views(x)]
    last = layers.Dense(1, use_bias=False, kernel_initializer="ones", name="last")
    return keras.Model(x, last(layers.Concatenate()(parts)))


WRAPS = {
    "by itself": lambda norm: norm,
    "in a model": lambda norm: keras.Sequential([keras.Input((4,)), norm]),
}
WEIGHTS = tf.constant([1.0] * 9 + [0.0] * 3)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("wrap", WRAPS)
def test_moments_of_several_calls_are_their_mean(wrap, weights):
    model = siamese(WRAPS[wrap])
    found = moments(model, parameters(model), X, weights=weights)
    there = X if weights is None else X[:9]
    mean = np.mean([np.mean(view, 0) for view in views(there)], 0)
    variance = np.mean([np.var(view, 0) for view in views(there)], 0)
    np.testing.assert_allclose(found[0], mean, rtol=1e-4)
    np.testing.assert_allclose(found[1], variance, rtol=1e-4)
    norm = next(x for x in model._flatten_layers() if x.name == "norm")
    assert norm.momentum == 0.99 and "call" not in vars(norm)


def test_they_are_where_long_training_with_keras_ends():
    model = siamese(WRAPS["by itself"])
    step = tf.function(lambda: model(X, training=True))
    for _ in range(1500):
        step()
    ours = moments(model, parameters(model), X)
    for found, theirs in zip(ours, model.get_layer("norm").non_trainable_variables, strict=True):
        np.testing.assert_allclose(found, theirs, rtol=0.02, atol=0.02)


def test_predictions_are_by_these_moments():
    model, zeros = siamese(WRAPS["by itself"]), tf.zeros([12, 1])
    task = Task((X, zeros), (X, zeros), tf.constant([0, 1]))
    mean, variance = moments(model, parameters(model), X)
    parts = [(view - mean) / np.sqrt(variance + 1e-3) for view in views(X)]
    expected = np.mean(np.sum(np.concatenate(parts, 1), 1) ** 2)
    found = inductive_metric(model, squared_error())(parameters(model), task)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


class Partly(layers.Layer):
    """Calls its normalisation outside training first."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = layers.BatchNormalization(name="norm")

    def build(self, shape):
        """The normalisation's variables."""
        self.norm.build(shape)

    def call(self, x, training=None):
        """Of five times x by running statistics, and of x."""
        return self.norm(5.0 * x, training=False) + self.norm(x, training=training)


def test_a_call_outside_training_is_no_part_of_the_mean():
    model = network(Partly(name="partly"))
    found = moments(model, parameters(model), X)
    np.testing.assert_allclose(found[0], np.mean(X, 0), rtol=1e-5)
