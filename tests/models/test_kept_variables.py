"""Variables that do not learn, and models whose call knows no training: as Keras has them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, negative_log_likelihood, squared_error
from tests.problems import parameters

layers = keras.layers


class Offset(layers.Layer):
    """Adds a variable that does not learn."""

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.offset = self.add_weight(shape=shape, initializer="ones", trainable=False)

    def call(self, x):
        return x + self.offset


class Subclassed(keras.Model):
    """Its call has no argument `training`, and a dropout in it does nothing, as in Keras's fit."""

    def __init__(self):
        super().__init__()
        self.parts = [layers.Dense(3, activation="tanh"), layers.Dropout(0.5), layers.Dense(2)]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Recomputed(layers.Layer):
    """A part that is computed again for its gradient, to save memory."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], 3))

    def call(self, x):
        return keras.remat(lambda y: keras.ops.tanh(y @ self.w))(x)


def in_a_scope() -> keras.Model:
    with keras.RematScope(mode="full"):
        return keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(2)])


def frozen(layer: layers.Layer) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(2, name="last")])
    model.layers[0].trainable = False
    return model


def subclassed() -> keras.Model:
    model = Subclassed()
    model(tf.zeros([1, 4]))
    return model


MODELS = {
    "a frozen layer": lambda: frozen(layers.Dense(3, activation="tanh")),
    "a frozen batch norm": lambda: frozen(layers.BatchNormalization()),
    "a frozen model": lambda: frozen(keras.Sequential([layers.Dense(3), layers.Dense(3)])),
    "a constant of a layer": lambda: frozen(Offset()),
    "a call without training": subclassed,
    "a part computed again": lambda: keras.Sequential(
        [keras.Input((4,)), Recomputed(), layers.Dense(2)]
    ),
    "layers computed again": in_a_scope,
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_loss_and_its_gradient_are_keras_own(kind):
    model, x = MODELS[kind](), tf.random.stateless_normal([5, 4], [1, 2])
    takes = {} if kind == "a call without training" else {"training": True}
    params = parameters(model)
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(tf.reduce_sum(model(x, **takes) ** 2, -1))
    gradients = tape.gradient(expected, model.trainable_variables)
    with tf.GradientTape() as tape:
        tape.watch(params)
        value = negative_log_likelihood(model, squared_error())(params, (x, tf.zeros([5, 2])))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for found, right in zip(tape.gradient(value, params), gradients, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
    # What does not learn is no module.
    learning = sum(int(tf.size(variable)) for variable in model.trainable_variables)
    assert sum(ModuleRegistry.by_layer(model).sizes) == learning
