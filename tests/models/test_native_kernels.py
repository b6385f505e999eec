"""Layers give the same values and derivatives with TensorFlow's own kernels as without them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import (
    MetaParams,
    ModuleRegistry,
    Task,
    cross_entropy,
    make_adapt,
    negative_log_likelihood,
    proximal_gd,
)
from meta_shrink.adaptation import adaptation
from meta_shrink.keras_model import apply_model
from meta_shrink.meta_gradients.imaml import hessian_vector_product
from meta_shrink.meta_gradients.maml import maml
from meta_shrink.models import convnet
from meta_shrink.models.kernels.max_pool import max_pool_2x2
from meta_shrink.models.kernels.native_kernels import native_kernels, native_kernels_allowed
from meta_shrink.models.layers import BatchNorm, MaxPool2x2
from meta_shrink.task_axis import over_tasks, repeat_for_tasks
from tests.problems import parameters

IMAGES = tf.random.stateless_uniform([10, 16, 16, 1], [1, 2], 0, 256, tf.int32)
BATCH = (IMAGES, tf.range(10) % 5)


def network(downsampling, precision="float32"):
    return convnet(
        seed=0,
        image_size=16,
        channels=1,
        classes=5,
        filters=8,
        blocks=2,
        downsampling=downsampling,
        precision=precision,
    )


@pytest.mark.parametrize("downsampling", ["stride", "pool"])
def test_value_gradient_and_hessian_product_are_the_same(downsampling):
    model = network(downsampling)
    theta, vector = parameters(model, noise=0.1), parameters(model, noise=1.0)
    results = []
    for native in (False, True):
        nll = negative_log_likelihood(model, cross_entropy(), native=native)

        @tf.function
        def all_of(theta, vector, nll=nll):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                loss = nll(theta, BATCH)
            gradient = tape.gradient(loss, theta)
            return [loss, *gradient, *hessian_vector_product(nll, theta, BATCH)(vector)]

        results.append(all_of(theta, vector))
    largest = max(float(tf.reduce_max(tf.abs(x))) for x in results[0])
    for portable, native in zip(*results, strict=True):
        np.testing.assert_allclose(native, portable, rtol=1e-3, atol=1e-5 * largest)


def test_batch_norm_records_the_moments_that_keras_records():
    images = tf.random.stateless_normal([5, 4, 4, 3], [1, 2], mean=2.0)
    states = []
    for native in (False, True):
        layer = BatchNorm()
        layer.build(images.shape)
        with native_kernels(native):
            layer(images, training=True)
        states.append([variable.numpy() for variable in layer.non_trainable_variables])
    for portable, native in zip(*states, strict=True):
        np.testing.assert_allclose(native, portable, rtol=1e-5)


def test_pooling_by_kernel_equals_pooling_by_reshape():
    images = tf.random.stateless_normal([2, 7, 7, 3], [1, 2])
    with native_kernels():
        native = MaxPool2x2()(images)
    np.testing.assert_array_equal(native, MaxPool2x2()(images))


@pytest.mark.parametrize("size", [6, 7])
def test_derivatives_of_pooling_equal_those_of_tensorflow(size):
    """Values, gradient and its derivative to the bit, with many equal maxima."""
    images = tf.random.stateless_uniform([3, size, size + 1, 4], [1, 2], 0, 3, tf.int32)
    results = []
    for pool in (max_pool_2x2, lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID")):
        x = tf.cast(images, tf.float32)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = pool(x * x)
                loss = tf.reduce_sum(tf.sin(outputs))
            gradient = tape.gradient(loss, x)
            product = tf.reduce_sum(gradient * tf.cos(x))
        results.append([outputs, gradient, outer.gradient(product, x)])
    for ours, theirs in zip(*results, strict=True):
        assert np.any(ours)
        np.testing.assert_array_equal(ours, theirs)


def test_permission_ends_with_the_block():
    with native_kernels():
        with native_kernels(False):
            assert not native_kernels_allowed()
        assert native_kernels_allowed()
    assert not native_kernels_allowed()


def test_bfloat16_convolutions_are_near_float32():
    """Relative error of the logits at the scale of bfloat16's 8 bits; parameters stay float32."""
    outputs = []
    for precision in ("float32", "bfloat16"):
        model = network("pool", precision)
        assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
        outputs.append(apply_model(model)(parameters(model), IMAGES).numpy())
    error = np.linalg.norm(outputs[1] - outputs[0]) / np.linalg.norm(outputs[0])
    assert 0 < error < 0.05


def test_maml_through_a_loop_of_native_kernels():
    """The fused gradient has outputs whose static shape is wrong; a loop must not keep them."""
    model = network("pool")
    registry, task = ModuleRegistry.by_layer(model), Task(BATCH, BATCH, tf.constant([0, 0]))
    modules = registry.num_modules
    meta = MetaParams(parameters(model), tf.ones([modules]), tf.fill([modules], -3.0))
    results = []
    for native in (False, True):
        nll = negative_log_likelihood(model, cross_entropy(), native=native)
        steps = adaptation(nll, proximal_gd(), registry, native=native)
        gradient, adapt = maml(nll, registry), make_adapt(steps, steps=3)
        # One task after another in a loop, as in training: that is where the lists are.
        of_tasks = over_tasks(lambda task, g=gradient, a=adapt: g(meta, task, a), "sequential")
        tasks = repeat_for_tasks(task, 2)
        results.append(tf.nest.flatten(tf.function(of_tasks, autograph=False)(tasks)[0]))
    largest = max(float(tf.reduce_max(tf.abs(value))) for value in results[0])
    for portable, native in zip(*results, strict=True):
        np.testing.assert_allclose(native, portable, rtol=1e-3, atol=1e-4 * largest)
