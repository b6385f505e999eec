"""Layers whose second derivatives are exact, where TensorFlow's and XLA's are not."""

from __future__ import annotations

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError


class MaxPool2x2(keras.layers.Layer):
    """Maximum over 2x2 windows, stride 2, odd last row and column dropped: [N,H,W,C].

    By reshape and reduce_max: XLA's second derivative of MaxPool picks its maximum in bfloat16
    and aborts the compiler of one TPU generation. Equal maxima share the gradient.
    """

    def call(self, inputs):
        """[N, H, W, C] -> [N, H // 2, W // 2, C]."""
        _, height, width, channels = inputs.shape
        rows, columns = height // 2, width // 2
        even = inputs[:, : 2 * rows, : 2 * columns, :]
        windows = tf.reshape(even, [-1, rows, 2, columns, 2, channels])
        return tf.reduce_max(windows, axis=[2, 4])

    def compute_output_shape(self, input_shape):
        """Shape of the pooled images."""
        batch, height, width, channels = input_shape
        return batch, height // 2, width // 2, channels


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation whose second derivative is right; otherwise Keras's own layer.

    Keras takes its moments from tf.nn.moments, which stops the gradient of the mean inside the
    variance: harmless for a gradient, wrong by order 1 for a Hessian-vector product, so for
    back-propagation through adaptation and for implicit gradients.
    """

    def _moments(self, inputs, mask):
        if mask is not None or self.synchronized:
            raise UsageError(f"Layer {self.name!r}: BatchNorm knows neither masks nor syncing.")
        axes = [axis for axis in range(len(inputs.shape)) if axis != self.axis % len(inputs.shape)]
        mean = tf.reduce_mean(inputs, axis=axes, keepdims=True)
        variance = tf.reduce_mean(tf.square(inputs - mean), axis=axes)
        return tf.reshape(mean, variance.shape), variance
