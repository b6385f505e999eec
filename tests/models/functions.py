"""Functions of learned numbers that TensorFlow differentiates wrongly, or seldom anyone does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

losses = keras.losses


def _loss(loss: Any) -> Callable[[Any], Any]:
    """Of one learned distribution against another, as in distillation."""
    return lambda x: loss()(ops.softmax(x), ops.softmax(2 * x))


# Added to the loss by a layer: of targets that are learned, too.
PENALTIES: dict[str, Callable[[Any], Any]] = {
    "entropy": lambda x: ops.categorical_crossentropy(ops.softmax(x), x, from_logits=True),
    "cross entropy": lambda x: losses.CategoricalCrossentropy(True)(ops.softmax(x), 2 * x),
    "smooth": lambda x: losses.CategoricalCrossentropy(True, label_smoothing=0.1)(x**2, x),
    "binary": lambda x: losses.BinaryCrossentropy(True)(ops.sigmoid(x), 2 * x),
    "divergence": _loss(losses.KLDivergence),
    "focal": _loss(losses.CategoricalFocalCrossentropy),
    "dice": _loss(losses.Dice),
    "Poisson": _loss(losses.Poisson),
    "cosine": _loss(losses.CosineSimilarity),
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "zeta": lambda x: tf.math.zeta(tf.ones_like(x) * 2, x**2 + 1),
    "polygamma": lambda x: tf.math.polygamma(tf.ones_like(x), x**2 + 1),
    "betainc": lambda x: tf.math.betainc(tf.ones_like(x), tf.ones_like(x) * 2, tf.sigmoid(x)),
    "one hot": lambda x: tf.one_hot(tf.argmax(x, -1), 6, dtype=x.dtype) * x,
    "sort": lambda x: tf.math.cumulative_logsumexp(tf.sort(x)),
    "rfft": lambda x: tf.square(tf.abs(tf.signal.rfft(x))),
    "loop": lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.sin(y)), (0, x))[1],
    "condition": lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x**3, lambda: tf.sin(x)),
}
# What stands here has a derivative that TensorFlow leaves out or only comes near to.
WRONG: dict[str, Callable[[Any], Any]] = {
    "Zeta": lambda x: tf.math.zeta(x**2 + 2, x**2 + 1),
    "Polygamma": lambda x: tf.math.polygamma(x**2, x**2 + 1),
    "OneHot": lambda x: tf.one_hot([0, 1, 0, 1], 4, on_value=x[0, 0], off_value=x[0, 1]),
    "Betainc": lambda x: tf.math.betainc(x**2 + 1, x**2 + 1, tf.sigmoid(x)),
    "ImageProjectiveTransformV3": lambda x: ops.image.affine_transform(
        ops.reshape(x, [-1, 2, 2, 1]), ops.array([0.9, 0.1, 0, -0.1, 0.9, 0, 0, 0])
    ),
    "ScaleAndTranslate": lambda x: tf.raw_ops.ScaleAndTranslate(
        images=tf.ones([1, 3, 3, 1]), size=[2, 2], scale=x[0, :2] ** 2 + 1, translation=x[0, 2:4]
    ),
}


class Penalty(keras.layers.Layer):
    """Adds a function of its input to the loss."""

    def __init__(self, function: Callable[[Any], Any]):
        super().__init__()
        self.function = function

    def call(self, x):
        """x."""
        self.add_loss(ops.mean(self.function(x)))
        return x
