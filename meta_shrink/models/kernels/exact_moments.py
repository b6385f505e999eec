"""Second derivatives of normalisation layers, made right.

tf.nn.moments computes the variance around stop_gradient(mean). That leaves the gradient as it is
and makes its derivative wrong: Hessian-vector products through Keras's batch, layer and group
normalisation are off by order 1, and with them back-propagation through adaptation and implicit
gradients. Keras looks the function up when a model is called, so it can be replaced for that call.

The same function leaves padding out of batch statistics: examples of weight 0 have no part in
moments over the axis of the examples.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from meta_shrink.errors import UsageError

_LOCK = threading.RLock()
_CALLS = threading.local()


@contextmanager
def exact_moments(weights: tf.Tensor | None = None) -> Iterator[None]:
    """While a model is called or traced: tf.nn.moments without its stop_gradient.

    Args:
      weights: of the examples [N, ...]; those of weight 0 are left out. None: all are there.
    """
    with _LOCK:
        original, before = tf.nn.moments, padding_is_left_out()
        tf.nn.moments = _moments if weights is None else _moments_of_present(weights)
        _CALLS.weighted = weights is not None
        try:
            yield
        finally:
            tf.nn.moments, _CALLS.weighted = original, before


def padding_is_left_out() -> bool:
    """For a layer's call: whether some examples may be padding, which tf.nn.moments leaves out."""
    return getattr(_CALLS, "weighted", False)


def _moments(x, axes, shift=None, keepdims=False, name=None):
    """Mean and variance over axes; `shift` is unused, as in TensorFlow."""
    del shift, name
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keepdims)
    return (mean if keepdims else tf.squeeze(mean, axes)), variance


def _moments_of_present(weights: tf.Tensor):
    """As _moments, over the examples with a weight alone, where axis 0 is among the axes."""
    there = weights > 0
    present = tf.reduce_any(there, list(range(1, len(there.shape)))) if there.shape[1:] else there

    def moments(x, axes, shift=None, keepdims=False, name=None):
        del shift, name
        axes = sorted(axis % len(x.shape) for axis in axes)
        if axes[:1] != [0]:
            return _moments(x, axes, keepdims=keepdims)
        if not x.shape[:1].is_compatible_with(present.shape):
            raise UsageError(
                f"A batch has weights for {present.shape[0]} examples, but a normalisation layer "
                f"takes moments over {x.shape[0]}: padding cannot be told apart there; give the "
                "tasks equal sizes, or use a layer that normalises each example on its own."
            )
        column = tf.reshape(present, [-1] + [1] * (len(x.shape) - 1))
        share = tf.cast(column, x.dtype) / tf.reduce_sum(tf.cast(present, x.dtype))

        def mean_of_present(values):
            inner = tf.reduce_mean(values, axes[1:], keepdims=True) if axes[1:] else values
            return tf.reduce_sum(share * inner, 0, keepdims=True)

        mean = mean_of_present(x)
        variance = mean_of_present(tf.square(x - mean))
        return (
            (mean, variance) if keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))
        )

    return moments
