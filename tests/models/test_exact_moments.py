"""Second derivatives through Keras's normalisation layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import negative_log_likelihood, squared_error
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models.kernels.exact_moments import exact_moments
from tests.problems import precision_of

LAYERS = {
    "batch": keras.layers.BatchNormalization,
    "layer": keras.layers.LayerNormalization,
    "group": lambda: keras.layers.GroupNormalization(2),
}


@pytest.mark.parametrize("layer", LAYERS)
@precision_of("float64")
def test_hessian_vector_product_equals_a_difference_of_gradients(layer):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), LAYERS[layer]()])
    nll = negative_log_likelihood(model, squared_error())
    draws = [tf.random.stateless_normal([5, size], [1, size], dtype=tf.float64) for size in (4, 6)]
    theta = [tf.convert_to_tensor(v.value) + 0.1 for v in model.trainable_variables]
    vector = [
        tf.random.stateless_normal(t.shape, [2, i], dtype=t.dtype) for i, t in enumerate(theta)
    ]
    product = hessian_vector_product(nll, theta, tuple(draws))(vector)

    def gradient(step):
        moved = [t + step * v for t, v in zip(theta, vector, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(moved)
            loss = nll(moved, tuple(draws))
        return tape.gradient(loss, moved, unconnected_gradients="zero")

    for ours, up, down in zip(product, gradient(1e-6), gradient(-1e-6), strict=True):
        np.testing.assert_allclose(ours, (up - down) / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keepdims", [False, True])
def test_values_are_those_of_tensorflow_and_the_function_comes_back(keepdims):
    x = tf.random.stateless_normal([3, 4, 5], [1, 2])
    before, expected = tf.nn.moments, tf.nn.moments(x, [0, 1], keepdims=keepdims)
    with exact_moments():
        ours = tf.nn.moments(x, [0, 1], keepdims=keepdims)
    assert tf.nn.moments is before
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
