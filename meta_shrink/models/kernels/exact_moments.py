"""Second derivatives of normalisation layers, made right.

tf.nn.moments computes the variance around stop_gradient(mean). That leaves the gradient as it is
and makes its derivative wrong: Hessian-vector products through Keras's batch, layer and group
normalisation are off by order 1, and with them back-propagation through adaptation and implicit
gradients. Keras looks the function up when a model is called, so it can be replaced for that call.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

_LOCK = threading.RLock()


@contextmanager
def exact_moments() -> Iterator[None]:
    """While a model is called or traced: tf.nn.moments without its stop_gradient."""
    with _LOCK:
        original = tf.nn.moments
        tf.nn.moments = _moments
        try:
            yield
        finally:
            tf.nn.moments = original


def _moments(x, axes, shift=None, keepdims=False, name=None):
    """Mean and variance over axes; `shift` is unused, as in TensorFlow."""
    del shift, name
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance
