"""Sequences of unequal length in tasks of unequal size: masks and weights at once."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import Task, mean_metric, negative_log_likelihood, squared_error
from meta_shrink.evaluation import inductive_metric
from meta_shrink.keras_model import moments
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models.layers import BatchNorm
from meta_shrink.tasks.transforms import pad_batch
from tests.problems import parameters, precision_of

layers = keras.layers
STEPS, FEATURES = 4, 2
LAYERS = {
    "batch norm": lambda: layers.BatchNormalization(momentum=0.5),
    "our batch norm": BatchNorm,
    "layer norm": layers.LayerNormalization,
    "lstm": lambda: layers.LSTM(2, return_sequences=True),
    "bidirectional": lambda: layers.Bidirectional(layers.GRU(1, return_sequences=True)),
    "attention": lambda: attention(),
}
MASKS = {"mask of the output": (), "mask that is dropped": (layers.GlobalAveragePooling1D,)}


def attention():
    both = layers.MultiHeadAttention(1, 2)
    return lambda x: both(x, x)


def network(layer: str, last=()) -> keras.Model:
    inputs = keras.Input((STEPS, FEATURES))
    x = LAYERS[layer]()(layers.Masking(-9.0)(inputs))
    for make in last:
        x = make()(x)
    return keras.Model(inputs, layers.Dense(1)(x))


def batch_of(count: int, flat: bool):
    """Sequences of 1 to 4 steps, filled up with the masked value."""
    rng = np.random.default_rng(count)
    x = rng.normal(size=[count, STEPS, FEATURES]) + 1
    for row in range(count):
        x[row, 1 + row % STEPS :] = -9.0
    targets = rng.normal(size=[count, 1] if flat else [count, STEPS, 1])
    return tf.constant(x), tf.constant(targets)


def flatten(values) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in tf.nest.flatten(values)])


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("last", MASKS)
@pytest.mark.parametrize("layer", LAYERS)
def test_padded_tasks_of_masked_sequences_are_worth_their_own_examples(layer, last, native):
    with precision_of("float64"):
        model, batch = network(layer, MASKS[last]), batch_of(3, bool(MASKS[last]))
    theta = [value + 0.1 for value in parameters(model)]
    nll = negative_log_likelihood(model, squared_error(), native=native)
    metric = mean_metric(model, squared_error(), native=native)
    vector = [tf.random.stateless_normal(t.shape, [1, 2], dtype=t.dtype) for t in theta]

    def facts(batch):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = nll(theta, batch)
        gradient = tape.gradient(value, theta)
        product = hessian_vector_product(nll, theta, batch)(vector)
        return value, metric(theta, batch), gradient, product

    padded = pad_batch(batch, 7)
    np.testing.assert_allclose(flatten(facts(padded)), flatten(facts(batch)), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("layer", ["batch norm", "our batch norm"])
def test_moments_are_of_the_steps_that_are_there_by_hand(layer, native):
    """Steps 1 and 3 of one example, 5 of another; padding has others: mean 3, variance 8/3."""
    model = keras.Sequential([keras.Input((2, 1)), layers.Masking(-9.0), LAYERS[layer]()])
    model.layers[-1].epsilon = 0.0
    x = tf.constant([[[1.0], [3.0]], [[5.0], [-9.0]], [[7.0], [8.0]]])
    state = moments(model, parameters(model), x, weights=tf.constant([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(flatten(state), [3.0, 8 / 3], rtol=1e-5)
    nll = negative_log_likelihood(model, lambda y, out: out[..., 0] ** 2, native=native)
    value = nll(parameters(model), (x, tf.zeros([3, 2]), tf.constant([1.0, 2.0, 0.0])))
    squares = 3 / 8 * np.array([4.0, 0.0, 4.0])
    np.testing.assert_allclose(value, np.average(squares, weights=[1, 1, 2]), rtol=1e-5)


@pytest.mark.parametrize("last", MASKS)
@pytest.mark.parametrize("layer", LAYERS)
def test_the_inductive_metric_leaves_out_what_the_transductive_one_does(layer, last):
    """On the training data themselves they are one number, whatever stands in masked steps."""
    with precision_of("float64"):
        model, batch = network(layer, MASKS[last]), batch_of(3, bool(MASKS[last]))
    theta = [value + 0.1 for value in parameters(model)]
    if not MASKS[last]:  # Targets of masked steps.
        steps = (batch[0][..., :1] == -9.0).numpy()
        batch = batch[0], tf.where(steps, tf.constant(1000.0, tf.float64), batch[1])
    wanted = mean_metric(model, squared_error())(theta, batch)
    for own in (batch, pad_batch(batch, 7)):
        found = inductive_metric(model, squared_error())(
            theta, Task(batch, own, tf.constant([1, 2]))
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_the_inductive_metric_of_masked_steps_by_hand():
    """Three steps are there, and their metrics are 1, 2 and 6; of the fourth it would be -9."""
    model = keras.Sequential([keras.Input((2, 1)), layers.Masking(-9.0)])
    batch = tf.constant([[[1.0], [-9.0]], [[2.0], [6.0]]]), tf.zeros([2, 2, 1])
    metric = inductive_metric(model, lambda target, output: output[..., 0])
    weighted = *batch, tf.constant([1.0, 0.25])
    for own, mean in ((batch, 3.0), (weighted, (1 + 0.25 * 8) / 1.5)):
        found = metric([], Task(batch, own, tf.constant([1, 2])))
        np.testing.assert_allclose(found, mean, rtol=1e-6)
