"""What Keras adds to a loss outside `call`: penalties and masks; types of targets and outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    UsageError,
    cross_entropy,
    gaussian,
    mean_metric,
    negative_log_likelihood,
    squared_error,
)
from meta_shrink.losses import accuracy
from meta_shrink.tasks.transforms import pad_batch
from tests.problems import parameters

layers = keras.layers
RNG = np.random.default_rng(0)
X = tf.constant(RNG.normal(size=[5, 3]), tf.float32)
Y = tf.constant(RNG.normal(size=[5, 2]), tf.float32)


class Adding(layers.Layer):
    """Adds the mean square of its input to the loss."""

    def call(self, x):
        """x."""
        half: Any = keras.ops.mean(keras.ops.square(x))
        self.add_loss(half / 2)
        return x


def network(*parts) -> keras.Model:
    return keras.Sequential([keras.Input((3,)), *parts])


def kernel_of(model) -> np.ndarray:
    return model.trainable_variables[0].numpy()


PENALTIES = {
    "kernel": (
        lambda: network(layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.3))),
        lambda model: 0.3 * np.sum(kernel_of(model) ** 2),
    ),
    "two of them": (
        lambda: network(
            layers.Dense(4, kernel_regularizer="l1"), layers.Dense(2, bias_regularizer="l2")
        ),
        lambda model: (
            0.01 * np.abs(kernel_of(model)).sum()
            + 0.01 * np.sum(model.trainable_variables[3].numpy() ** 2)
        ),
    ),
    "activity": (
        lambda: network(layers.Dense(2, activity_regularizer=keras.regularizers.L2(0.3))),
        lambda model: 0.3 * np.sum(model(X).numpy() ** 2) / 5,
    ),
    "add_loss": (
        lambda: network(layers.Dense(2), Adding()),
        lambda model: 0.5 * np.mean(model(X).numpy() ** 2),
    ),
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", PENALTIES)
def test_penalties_are_added_once_to_losses_and_not_to_metrics(kind, reduction):
    make, penalty = PENALTIES[kind]
    model = make()
    params = parameters(model, noise=0.1)
    for variable, value in zip(model.trainable_variables, params, strict=True):
        variable.assign(value)
    losses = np.sum((model(X) - Y) ** 2, axis=1)
    data = losses.mean() if reduction == "mean" else losses.sum()
    nll = negative_log_likelihood(model, squared_error(), reduction=reduction)
    np.testing.assert_allclose(nll(params, (X, Y)), data + penalty(model), rtol=1e-5)
    metric = mean_metric(model, squared_error())(params, (X, Y))
    np.testing.assert_allclose(metric, losses.mean(), rtol=1e-5)


def test_the_gradient_of_a_penalty_is_in_the_gradient():
    make, _ = PENALTIES["kernel"]
    model = make()
    params = parameters(model)
    plain = network(layers.Dense(2))
    gradients = []
    for own in (model, plain):
        nll = negative_log_likelihood(own, squared_error())
        with tf.GradientTape() as tape:
            tape.watch(params)
            value = nll(params, (X, Y))
        gradients.append(tape.gradient(value, params)[0])
    np.testing.assert_allclose(gradients[0] - gradients[1], 0.6 * params[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["kernel", "activity", "add_loss"])
def test_penalties_of_activations_and_weights_of_examples_do_not_go_together(kind):
    model = PENALTIES[kind][0]()
    nll = negative_log_likelihood(model, squared_error())
    batch, params = pad_batch((X, Y), 7), parameters(model)
    if kind == "kernel":
        np.testing.assert_allclose(nll(params, batch), nll(params, (X, Y)), rtol=1e-5)
    else:
        with pytest.raises(UsageError, match="activity_regularizer or add_loss"):
            nll(params, batch)


STEPS = tf.constant(RNG.normal(size=[2, 4, 3]), tf.float32)
MASKED = tf.constant([[True, True, False, False], [True, True, True, False]])


def masked_model() -> keras.Model:
    model = keras.Sequential([keras.Input((4, 3)), layers.Masking()])
    model.add(layers.GRU(3, return_sequences=True))
    model.add(layers.Dense(2))
    return model


@pytest.mark.parametrize("weights", [None, [2.0, 1.0]])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_masked_steps_are_left_out(reduction, weights):
    model, inputs = masked_model(), STEPS * tf.cast(MASKED[:, :, tf.newaxis], tf.float32)
    targets = tf.constant(RNG.normal(size=[2, 4, 2]), tf.float32)
    losses = np.sum((model(inputs) - targets) ** 2, axis=-1)
    factor = MASKED.numpy() * (np.ones([2, 1]) if weights is None else np.reshape(weights, [2, 1]))
    expected = np.sum(factor * losses)
    expected = expected / factor.sum() if reduction == "mean" else expected
    batch = (inputs, targets) if weights is None else (inputs, targets, tf.constant(weights))
    nll = negative_log_likelihood(model, squared_error(), reduction=reduction)
    np.testing.assert_allclose(nll(parameters(model), batch), expected, rtol=1e-5)


def test_metrics_leave_masked_steps_out():
    model, inputs = masked_model(), STEPS * tf.cast(MASKED[:, :, tf.newaxis], tf.float32)
    labels = tf.argmax(model(inputs), axis=-1)
    wrong = tf.where(MASKED, labels, 1 - labels)
    assert mean_metric(model, accuracy())(parameters(model), (inputs, wrong)) == 1.0


def test_a_mask_that_the_loss_does_not_see_is_refused():
    model = masked_model()
    nll = negative_log_likelihood(model, lambda target, output: tf.reduce_sum(output, [1, 2]))
    with pytest.raises(UsageError, match="mask"):
        nll(parameters(model), (STEPS, tf.zeros([2])))


def structured_model(structure: str) -> keras.Model:
    x = keras.Input((3,))
    head = layers.Dense(2, name="head")
    one, two = head(x), head(layers.Dense(3, name="body")(x))
    return keras.Model(x, {"list": [one, two], "dict": {"a": one, "b": two}}[structure])


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_a_loss_of_several_outputs_gets_them_in_the_model_s_own_structure(structure):
    model = structured_model(structure)
    outputs = keras.tree.flatten(model(X))
    targets = [Y, 2 * Y] if structure == "list" else {"a": Y, "b": 2 * Y}

    def loss(targets, outputs):
        pairs = zip(keras.tree.flatten(targets), keras.tree.flatten(outputs), strict=True)
        return sum(squared_error()(target, output) for target, output in pairs)

    expected = np.mean(np.sum((outputs[0] - Y) ** 2, 1) + np.sum((outputs[1] - 2 * Y) ** 2, 1))
    value = negative_log_likelihood(model, loss)(parameters(model), (X, targets))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_labels_of_every_integer_type(dtype):
    model = network(layers.Dense(2))
    labels = tf.constant([0, 1, 1, 0, 1], dtype)
    logits = model(X).numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    rows = np.arange(5), labels.numpy().astype(int)
    nll = negative_log_likelihood(model, cross_entropy())(parameters(model), (X, labels))
    np.testing.assert_allclose(nll, -np.mean(log_p[rows]), rtol=1e-5)
    hits = mean_metric(model, accuracy())(parameters(model), (X, labels))
    np.testing.assert_allclose(hits, np.mean(logits.argmax(1) == rows[1]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("name", ["squared_error", "gaussian"])
def test_targets_of_every_number_type(name, dtype):
    model = network(layers.Dense(2))
    targets = tf.cast(tf.round(4 * Y), dtype)
    loss = squared_error() if name == "squared_error" else gaussian(noise=[2**-0.5] * 2)
    expected = np.mean(np.sum((model(X) - tf.cast(targets, tf.float32)) ** 2, 1))
    value = negative_log_likelihood(model, loss)(parameters(model), (X, targets))
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", [squared_error(), gaussian(noise=[1.0, 2.0])])
def test_outputs_of_half_precision_have_losses_of_float32(dtype, loss):
    model = network(layers.Dense(2, dtype=f"mixed_{dtype}"))
    output = tf.cast(model(X), tf.float32)
    assert model(X).dtype == dtype
    value = negative_log_likelihood(model, loss)(parameters(model), (X, Y))
    assert value.dtype == tf.float32
    np.testing.assert_allclose(value, np.mean(loss(Y, output)), rtol=1e-6)
