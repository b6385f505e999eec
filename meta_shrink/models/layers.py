"""Layers whose second derivatives are exact, where XLA's are not."""

from __future__ import annotations

import keras
import tensorflow as tf


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
