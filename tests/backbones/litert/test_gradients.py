"""Gradients of builtin operations against TensorFlow's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.backbones.litert.gradients import builtin_gradients

IMAGES = [2, 9, 8, 4]
KERNEL = [3, 3, 4, 5]
# Operations that LiteRT has not: none of them may be in a gradient.
MISSING = {
    "AvgPoolGrad",
    "Conv2DBackpropFilter",
    "EluGrad",
    "LeakyReluGrad",
    "MaxPoolGrad",
    "Relu6Grad",
    "ReluGrad",
    "StridedSliceGrad",
}


def convolution(strides: Any = 1, padding: Any = "SAME", dilations: Any = 1):
    return lambda x, k: tf.nn.conv2d(x, k, strides, padding, dilations=dilations)


def dilated(padding, rows, columns):
    """The same convolution by a kernel with zeros: some CPU kernels have no dilated gradient."""

    def spread(kernel, axis, rate):
        zeros = tf.zeros_like(kernel)
        parts = tf.unstack(kernel, axis=axis)
        gaps = tf.unstack(zeros, axis=axis)[:1] * (rate - 1)
        filled = [part for value in parts for part in (value, *gaps)]
        return tf.stack(filled[: len(filled) - len(gaps)], axis=axis)

    return lambda x, k: tf.nn.conv2d(x, spread(spread(k, 0, rows), 1, columns), 1, padding)


CASES = {
    **{
        f"conv, stride {stride}, {padding}": (convolution(stride, padding), [IMAGES, KERNEL])
        for stride in (1, 2, 3)
        for padding in ("SAME", "VALID")
    },
    "conv, unequal strides": (convolution((1, 2)), [IMAGES, KERNEL]),
    "conv, even kernel": (convolution(2), [IMAGES, [2, 4, 4, 5]]),
    "conv, dilated, SAME": (convolution(1, "SAME", 2), [IMAGES, KERNEL], dilated("SAME", 2, 2)),
    "conv, dilated, VALID": (
        convolution(1, "VALID", (2, 1)),
        [IMAGES, KERNEL],
        dilated("VALID", 2, 1),
    ),
    "conv, explicit padding": (
        convolution(2, [[0, 0], [2, 1], [0, 1], [0, 0]]),
        [IMAGES, KERNEL],
    ),
    "max pool": (lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), [IMAGES]),
    "max pool, equal maxima": (
        lambda x: tf.nn.max_pool2d(tf.nn.relu(x), 2, 2, "VALID"),
        [IMAGES],
    ),
    "max pool, overlapping": (lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"), [IMAGES]),
    "average pool": (lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"), [IMAGES]),
    "average pool, overlapping": (lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"), [IMAGES]),
    "relu": (tf.nn.relu, [IMAGES]),
    "relu6": (lambda x: tf.nn.relu6(5 * x), [IMAGES]),
    "leaky relu": (lambda x: tf.nn.leaky_relu(x, 0.3), [IMAGES]),
    "elu": (tf.nn.elu, [IMAGES]),
    "slice": (lambda x: x[:, 1:5, ::2, 0], [IMAGES]),
    "slice, new axis": (lambda x: x[..., tf.newaxis, -1], [IMAGES]),
    "slice, from the end": (lambda x: x[1, 2:-1:3], [IMAGES]),
    "slice, ellipsis in the middle": (lambda x: x[1, ..., tf.newaxis, 1:3], [IMAGES]),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_tensorflows(case):
    function, shapes, *other = CASES[case]
    reference = other[0] if other else function
    generator = np.random.default_rng(0)
    arguments = [tf.constant(generator.standard_normal(s), tf.float32) for s in shapes]
    weights = generator.standard_normal(function(*arguments).shape).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        loss = tf.reduce_sum(reference(*arguments) * weights)
    expected = tape.gradient(loss, arguments)

    @tf.function(autograph=False)
    def gradient(*arguments):
        with builtin_gradients():
            loss = tf.reduce_sum(function(*arguments) * weights)
        return tf.gradients(loss, list(arguments))

    for got, value in zip(gradient(*arguments), expected, strict=True):
        np.testing.assert_allclose(got, value, atol=2e-5)
    graph = gradient.get_concrete_function(*arguments).graph
    assert not MISSING & {op.type for op in graph.get_operations()}


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (lambda x: x[:, ::-1], [IMAGES], "slices backwards"),
        (convolution(), [IMAGES, [3, 3, 2, 4]], "several groups"),
    ],
)
def test_what_has_no_gradient_is_named(function, shapes, message):
    @tf.function(autograph=False)
    def gradient(*arguments):
        with builtin_gradients():
            loss = tf.reduce_sum(function(*arguments))
        return tf.gradients(loss, list(arguments))

    with pytest.raises(UsageError, match=message):
        gradient.get_concrete_function(*[tf.TensorSpec(shape) for shape in shapes])
