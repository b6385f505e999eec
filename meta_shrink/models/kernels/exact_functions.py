"""Functions of TensorFlow whose second derivatives it lacks, or takes for zero, made right.

The gradient of bilinear resizing is declared not differentiable, so a Hessian-vector product
through a U-Net silently lost that part; those of bicubic and Lanczos resizing and of softsign have
no gradient at all. Keras looks these functions up when a model is called, so they can be replaced
for that call, as tf.nn.moments is by exact_moments.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

_LOCK = threading.RLock()


@contextmanager
def exact_functions() -> Iterator[None]:
    """While a model is called: tf.image.resize and tf.nn.softsign with all derivatives."""
    with _LOCK:
        resize, softsign = tf.image.resize, tf.nn.softsign

        def linear_resize(images, size, **options):
            images = tf.convert_to_tensor(images)
            if not images.dtype.is_floating:
                return resize(images, size, **options)
            return linear(lambda x: resize(x, size, **options))(images)

        tf.image.resize, tf.nn.softsign = linear_resize, _softsign
        try:
            yield
        finally:
            tf.image.resize, tf.nn.softsign = resize, softsign


def linear(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A linear function with derivatives of all orders, from its first one alone.

    The gradient of y = A x is A^T dy, which is linear in dy, and whose gradient is A again.
    """

    @tf.custom_gradient
    def apply(x):
        @tf.custom_gradient
        def transposed(dy):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x, output_gradients=dy), apply

        return function(x), transposed

    return apply


def _softsign(features, name=None):
    """x / (1 + |x|)."""
    del name
    return features / (1 + tf.abs(features))
