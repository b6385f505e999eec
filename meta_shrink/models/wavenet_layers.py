"""Layers of a WaveNet, written in few operations: a network has 123 of them, and their derivatives.

All but the dilated ones work on rows, so they reshape to [rows, channels] and use the operations
of matrices, whose derivatives are one operation each; batches of matrices have a dozen.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

CODES = 256  # 8-bit mu-law


class Rows(keras.layers.Layer):
    """A layer with a kernel and a bias [units]."""

    def __init__(self, units: int, seed: int, **options: Any):
        super().__init__(**options)
        self.units, self.seed = units, seed

    def parameters(self, shape: tuple[int, ...], weights: Any = None) -> None:
        """Make the kernel of this shape, Glorot uniform by default, and the bias."""
        weights = weights or keras.initializers.GlorotUniform(seed=self.seed)
        self.kernel = self.add_weight(shape=shape, initializer=weights, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def compute_output_shape(self, input_shape):
        """The input's, with `units` channels."""
        return (*input_shape[:-1], self.units)

    def affine(self, rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """[rows, channels] -> [rows, units]."""
        return tf.nn.bias_add(tf.matmul(rows, kernel), tf.convert_to_tensor(self.bias))


class Pointwise(Rows):
    """1x1 convolution: [..., channels] -> [..., units]."""

    def build(self, input_shape):
        """Kernel [channels, units] and bias."""
        self.parameters((input_shape[-1], self.units))

    def call(self, x):
        """[..., channels] -> [..., units]."""
        rows = self.affine(_rows(x), tf.convert_to_tensor(self.kernel))
        return _shaped(rows, x, self.units)


class Codes(Rows):
    """1x1 convolution of one-hot codes, by looking its rows up: int [N, T] -> [N, T, units]."""

    def build(self, input_shape):
        """Kernel [256, units] and bias."""
        del input_shape
        weights: Any = keras.initializers.RandomNormal(stddev=0.3, seed=self.seed)
        self.parameters((CODES, self.units), weights)

    def compute_output_shape(self, input_shape):
        """The input's, and `units` channels."""
        return (*input_shape, self.units)

    def call(self, codes):
        """int [N, T] -> [N, T, units]."""
        found = tf.gather(tf.convert_to_tensor(self.kernel), codes)
        return tf.nn.bias_add(found, tf.convert_to_tensor(self.bias))


class Embedding(keras.layers.Layer):
    """A learned vector for each speaker: int [N] -> [N, units]."""

    def __init__(self, count: int, units: int, seed: int, **options: Any):
        super().__init__(**options)
        self.count, self.units, self.seed = count, units, seed

    def build(self, input_shape):
        """Table [count, units]."""
        del input_shape
        weights: Any = keras.initializers.RandomNormal(stddev=0.3, seed=self.seed)
        self.table = self.add_weight((self.count, self.units), initializer=weights, name="table")

    def compute_output_shape(self, input_shape):
        """The input's, and `units` numbers."""
        return (*input_shape, self.units)

    def call(self, numbers):
        """int [N] -> [N, units]."""
        return tf.gather(tf.convert_to_tensor(self.table), numbers)


class Dilated(Rows):
    """Causal convolution of width 2: a matrix product of [past, now], two, or (0) TensorFlow's."""

    def __init__(self, units: int, dilation: int, seed: int, *, products: int = 1, **options: Any):
        super().__init__(units, seed, **options)
        self.dilation, self.products = dilation, products

    def build(self, input_shape):
        """Kernel [2, channels, units] (past, now) and bias."""
        self.parameters((2, input_shape[-1], self.units))

    def call(self, x):
        """[N, T, channels] -> [N, T, units]."""
        kernel = tf.convert_to_tensor(self.kernel)
        if not self.products:
            padded = tf.pad(x, [[0, 0], [self.dilation, 0], [0, 0]])
            found = tf.nn.convolution(padded, kernel, padding="VALID", dilations=self.dilation)
            return tf.nn.bias_add(found, tf.convert_to_tensor(self.bias))
        past = self._past(x)
        if self.products == 1:
            kernel = tf.reshape(kernel, [-1, self.units])
            rows = self.affine(_rows(tf.concat([past, x], -1)), kernel)
        else:
            before, now = tf.unstack(kernel)
            rows = self.affine(_rows(x), now) + tf.matmul(_rows(past), before)
        return _shaped(rows, x, self.units)

    def _past(self, x):
        """x `dilation` samples ago, 0 before the first."""
        late = min(self.dilation, x.shape[1])
        return tf.pad(x[:, : x.shape[1] - late], [[0, 0], [late, 0], [0, 0]])


class Gate(keras.layers.Layer):
    """tanh of one half times the sigmoid of the other, after what is added for each frame."""

    def compute_output_shape(self, input_shape):
        """Half as many channels."""
        return (*input_shape[0][:-1], input_shape[0][-1] // 2)

    def call(self, inputs):
        """[[N, T, 2 G], [N, F, 2 G], perhaps [N, 2 G]] -> [N, T, G]."""
        x, condition, *voice = inputs
        channels, frames = x.shape[-1], condition.shape[1]
        if voice:
            condition = condition + voice[0][:, tf.newaxis]
        # A frame's condition is for all of its samples.
        by_frame = tf.reshape(x, [-1, x.shape[1] // frames, channels])
        by_frame = by_frame + tf.reshape(condition, [-1, 1, channels])
        signal, gate = tf.split(by_frame, 2, axis=-1)
        return _shaped(tf.tanh(signal) * tf.sigmoid(gate), x, channels // 2)


def _rows(x: tf.Tensor) -> tf.Tensor:
    """[..., channels] -> [rows, channels]."""
    return tf.reshape(x, [-1, x.shape[-1]])


def _shaped(rows: tf.Tensor, like: tf.Tensor, channels: int) -> tf.Tensor:
    """rows as [..., channels] of the batch, and the samples, of `like`."""
    return tf.reshape(rows, [-1, *like.shape[1:-1], channels])
