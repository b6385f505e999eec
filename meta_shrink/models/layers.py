"""Layers with exact second derivatives everywhere, on the CPU by TensorFlow's fast kernels."""

from __future__ import annotations

import keras
import tensorflow as tf

from meta_shrink.models.kernels.exact_moments import padding_is_left_out
from meta_shrink.models.kernels.fused_batch_norm import fused_batch_norm
from meta_shrink.models.kernels.max_pool import max_pool_2x2
from meta_shrink.models.kernels.native_kernels import native_kernels_allowed


class MaxPool2x2(keras.layers.Layer):
    """Maximum over 2x2 windows, stride 2, odd last row and column dropped: [N,H,W,C].

    By reshape and reduce_max (equal maxima share the gradient) unless native_kernels allows
    TensorFlow's MaxPool (the first of equal maxima gets it).
    """

    def call(self, inputs):
        """[N, H, W, C] -> [N, H // 2, W // 2, C]."""
        if native_kernels_allowed():
            return max_pool_2x2(inputs)
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
    """Keras's batch normalisation of [N,H,W,C], in training by the fused kernel where allowed."""

    def call(self, inputs, training=None, mask=None):
        """[N, H, W, C] -> the same; records the batch's moments as Keras does."""
        fused = training and native_kernels_allowed() and not padding_is_left_out()
        if mask is not None or not (fused and inputs.dtype == tf.float32):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon
        )
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return outputs

    def _move(self, average, value):
        average.assign(average * self.momentum + value * (1 - self.momentum))
