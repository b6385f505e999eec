"""Functions of TensorFlow whose second derivatives it lacks, or takes for zero, made right.

The gradient of bilinear resizing is declared not differentiable, so a Hessian-vector product
through a U-Net silently lost that part; those of bicubic and Lanczos resizing and of softsign have
no gradient at all; the second one of cross entropy leaves out that the labels may be learned, too
(an entropy as a penalty). Keras looks these functions up when a model is called, so they can be
replaced for that call, as tf.nn.moments is by exact_moments.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

_LOCK = threading.RLock()


@contextmanager
def exact_functions() -> Iterator[None]:
    """While a model is called: these functions of tf.image and tf.nn with all derivatives."""
    with _LOCK:
        resize, softsign = tf.image.resize, tf.nn.softsign
        cross_entropy = tf.nn.softmax_cross_entropy_with_logits

        def linear_resize(images, size, **options):
            images = tf.convert_to_tensor(images)
            if not images.dtype.is_floating:
                return resize(images, size, **options)
            return linear(lambda x: resize(x, size, **options))(images)

        tf.image.resize, tf.nn.softsign = linear_resize, _softsign
        tf.nn.softmax_cross_entropy_with_logits = _cross_entropy
        try:
            yield
        finally:
            tf.image.resize, tf.nn.softsign = resize, softsign
            tf.nn.softmax_cross_entropy_with_logits = cross_entropy


@contextmanager
def nothing_recomputed() -> Iterator[None]:
    """While a model is called: keras.remat, tf.recompute_grad keep what they would recompute.

    Their gradient leaves out what a function closes over, as a layer does over its parameters,
    which are tensors here; and they have no second derivative. It costs the memory they would save.
    """
    with _LOCK:
        names: Any = tf  # Its stubs lack this one.
        recompute = names.recompute_grad
        names.recompute_grad = lambda function: function
        try:
            yield
        finally:
            names.recompute_grad = recompute


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


def _cross_entropy(labels, logits, axis=-1, name=None):
    """-sum_c labels log softmax(logits); a label 0 weighs nothing, whatever its logit."""
    del name
    logits = tf.convert_to_tensor(logits)
    precise = tf.cast(logits, tf.float32) if logits.dtype.size == 2 else logits
    logs = tf.nn.log_softmax(precise, axis)
    losses = tf.math.multiply_no_nan(logs, tf.cast(labels, logs.dtype))
    return tf.cast(-tf.reduce_sum(losses, axis), logits.dtype)


def _softsign(features, name=None):
    """x / (1 + |x|)."""
    del name
    return features / (1 + tf.abs(features))
