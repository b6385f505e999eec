"""Layers of a WaveNet, written in few operations: a network has 123 of them, and their derivatives.

All but the dilated ones work on rows, so they reshape to [rows, channels] and use the operations
of matrices, whose derivatives are one operation each; batches of matrices have a dozen.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from meta_shrink.pitch import pitch_lags

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


class PeriodAgo(keras.layers.Layer):
    """Where each sample of a piece hears what was one pitch period before the next one.

    Features [N, F, C] -> int32 [N, T], T = F hop: the place in the piece, from 1; 0 before its
    start and where the voice has no pitch.
    """

    def __init__(self, hop: int, **options: Any):
        super().__init__(**options)
        self.hop = hop

    def compute_output_shape(self, input_shape):
        """A number for each sample."""
        return (input_shape[0], input_shape[1] * self.hop)

    def call(self, features):
        """[N, F, C] -> int32 [N, T]."""
        lags = tf.repeat(pitch_lags(features, self.hop), self.hop, axis=1)
        places = tf.range(1, features.shape[1] * self.hop + 1) - lags
        return tf.where(lags > 0, tf.maximum(places, 0), 0)


class Dilated(Rows):
    """Causal convolution of width 2: a matrix product of [past, now], two, or (0) TensorFlow's.

    With the places of `PeriodAgo` as a second input it has a third tap, there.
    """

    def __init__(self, units: int, dilation: int, seed: int, *, products: int = 1, **options: Any):
        super().__init__(units, seed, **options)
        self.dilation, self.products = dilation, products

    def build(self, input_shape):
        """Kernel [2, channels, units] (past, now), or [3, ...] (a period ago first), and bias."""
        path, *places = _listed(input_shape)
        self.parameters((2 + len(places), path[-1], self.units))

    def compute_output_shape(self, input_shape):
        """The path's, with `units` channels."""
        return super().compute_output_shape(_listed(input_shape)[0])

    def call(self, inputs):
        """[N, T, channels], perhaps places int32 [N, T] -> [N, T, units]."""
        kernel = tf.convert_to_tensor(self.kernel)
        if not isinstance(inputs, list):
            return self._convolved(inputs, kernel)
        path, places = inputs
        ago = tf.gather(tf.pad(path, [[0, 0], [1, 0], [0, 0]]), places, batch_dims=1)
        if self.products == 1:
            return self._product([ago, self._past(path), path], kernel)
        periodic = _shaped(tf.matmul(_rows(ago), kernel[0]), path, self.units)
        return self._convolved(path, kernel[1:]) + periodic

    def _product(self, heard: list[tf.Tensor], kernel: tf.Tensor) -> tf.Tensor:
        """One matrix product of all that is heard [N, T, channels] each -> [N, T, units]."""
        kernel = tf.reshape(kernel, [-1, self.units])
        return _shaped(self.affine(_rows(tf.concat(heard, -1)), kernel), heard[0], self.units)

    def _convolved(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Of past and now: [N, T, channels] -> [N, T, units]."""
        if not self.products:
            padded = tf.pad(x, [[0, 0], [self.dilation, 0], [0, 0]])
            found = tf.nn.convolution(padded, kernel, padding="VALID", dilations=self.dilation)
            return tf.nn.bias_add(found, tf.convert_to_tensor(self.bias))
        past = self._past(x)
        if self.products == 1:
            return self._product([past, x], kernel)
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


def _listed(shapes: Any) -> list:
    """The shapes of all inputs, also of a layer that has one."""
    return list(shapes) if isinstance(shapes[0], (list, tuple)) else [shapes]


def _rows(x: tf.Tensor) -> tf.Tensor:
    """[..., channels] -> [rows, channels]."""
    return tf.reshape(x, [-1, x.shape[-1]])


def _shaped(rows: tf.Tensor, like: tf.Tensor, channels: int) -> tf.Tensor:
    """rows as [..., channels] of the batch, and the samples, of `like`."""
    return tf.reshape(rows, [-1, *like.shape[1:-1], channels])
