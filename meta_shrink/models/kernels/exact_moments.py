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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.replaced_calls import replaced_calls

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


def _present(weights: tf.Tensor) -> tf.Tensor:
    """Whether an example has any weight, [N]."""
    there = weights > 0
    return tf.reduce_any(there, list(range(1, len(there.shape)))) if there.shape[1:] else there


def _require_examples(number: int | None, present: tf.Tensor) -> None:
    if not tf.TensorShape([number]).is_compatible_with(present.shape):
        raise UsageError(
            f"A batch has weights for {present.shape[0]} examples, but a normalisation layer takes "
            f"moments over {number}: padding cannot be told apart there; give the tasks equal "
            "sizes, or use a layer that normalises each example on its own."
        )


def masks_without_padding(
    layers: Sequence[Any], weights: tf.Tensor | None
) -> AbstractContextManager[None]:
    """While a model is called: a batch normalisation that is given a mask, which Keras then takes
    the moments by, leaves the examples of weight 0 out as well."""
    if weights is None:
        return nullcontext()
    present = _present(weights)
    return replaced_calls(layers, lambda _, call: _masking_padding(call, present))


def _masking_padding(call: Callable[..., Any], present: tf.Tensor) -> Callable[..., Any]:
    def masked(inputs, training=None, mask=None):
        if mask is not None:
            mask = tf.cast(mask, tf.bool)
            _require_examples(mask.shape[0], present)
            mask &= tf.reshape(present, [-1] + [1] * (len(mask.shape) - 1))
        return call(inputs, training=training, mask=mask)

    return masked


def _moments_of_present(weights: tf.Tensor):
    """As _moments, over the examples with a weight alone, where axis 0 is among the axes."""
    present = _present(weights)

    def moments(x, axes, shift=None, keepdims=False, name=None):
        del shift, name
        axes = sorted(axis % len(x.shape) for axis in axes)
        if axes[:1] != [0]:
            return _moments(x, axes, keepdims=keepdims)
        _require_examples(x.shape[0], present)
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
