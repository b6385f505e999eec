"""Models: shapes, module names, exact second derivatives of the pooling."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ModuleRegistry, UsageError, cross_entropy, negative_log_likelihood
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.models import convnet, mlp
from meta_shrink.models.layers import MaxPool2x2
from tests.problems import precision_of

PAPER_MODULES = ("conv_0", "bn_0", "conv_1", "bn_1", "conv_2", "bn_2", "conv_3", "bn_3", "output")


@pytest.mark.parametrize(
    ("downsampling", "size", "channels", "classes", "last"),
    [("stride", 28, 1, 5, 2 * 2 * 64), ("pool", 28, 1, 20, 64), ("pool", 84, 3, 5, 5 * 5 * 64)],
)
def test_convnet_has_the_modules_of_the_paper(downsampling, size, channels, classes, last):
    model = convnet(
        seed=0, image_size=size, channels=channels, classes=classes, downsampling=downsampling
    )
    registry = ModuleRegistry.by_layer(model)
    assert registry.names == PAPER_MODULES
    assert registry.sizes[0] == 9 * channels * 64 + 64
    assert registry.sizes[-1] == last * classes + classes
    assert model(tf.zeros([2, size, size, channels])).shape == (2, classes)


def test_raw_images_are_divided_by_their_largest_value():
    raw = tf.random.stateless_uniform([2, 8, 8, 1], [1, 2], 0, 256, tf.int32)
    make = partial(convnet, seed=0, image_size=8, channels=1, classes=3, filters=4, blocks=2)
    by_default = make()(tf.cast(raw, tf.uint8))
    scaled = make(pixel_max=1.0)(tf.cast(raw, tf.float32) / 255)
    np.testing.assert_allclose(by_default, scaled, rtol=1e-5, atol=1e-6)


def test_initial_weights_depend_on_the_seed_alone():
    first, again, other = (mlp(seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("size", [6, 7])
def test_pooling_equals_max_pool(size):
    images = tf.random.stateless_normal([2, size, size, 3], [1, 2])
    expected = tf.nn.max_pool2d(images, 2, 2, "VALID")
    np.testing.assert_array_equal(MaxPool2x2()(images), expected)


@precision_of("float64")
def test_hessian_vector_product_of_a_pooled_network_is_exact_under_xla():
    """Against a difference of gradients; without exact_moments it is off by order 1."""
    model = convnet(
        seed=0, image_size=8, channels=1, classes=3, filters=4, blocks=2, downsampling="pool"
    )
    nll = negative_log_likelihood(model, cross_entropy())
    images = tf.random.stateless_normal([6, 8, 8, 1], [3, 4], dtype=tf.float64)
    batch = (images, tf.constant([0, 1, 2, 0, 1, 2]))
    theta = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    vector = [
        tf.random.stateless_normal(t.shape, [5, i], dtype=t.dtype) for i, t in enumerate(theta)
    ]

    @tf.function(jit_compile=True)
    def product(theta, vector):
        return hessian_vector_product(nll, theta, batch)(vector)

    difference = _difference(nll, theta, vector, batch)
    for ours, numeric in zip(product(theta, vector), difference, strict=True):
        np.testing.assert_allclose(ours, numeric, rtol=1e-5, atol=1e-6)


def _difference(nll, theta, vector, batch, step=1e-6):
    gradients = []
    for sign in (1, -1):
        moved = [t + sign * step * v for t, v in zip(theta, vector, strict=True)]
        with tf.GradientTape() as tape:
            tape.watch(moved)
            loss = nll(moved, batch)
        gradients.append(tape.gradient(loss, moved))
    return [(a - b) / (2 * step) for a, b in zip(*gradients, strict=True)]


@pytest.mark.parametrize(
    "options",
    [
        {"downsampling": "average"},
        {"precision": "float16"},
        {"classes": 0},
        {"image_size": 8, "downsampling": "pool"},
    ],
)
def test_convnet_refuses(options):
    valid = {"image_size": 28, "channels": 1, "classes": 5}
    with pytest.raises(UsageError, match="model"):
        convnet(seed=0, **(valid | options))
