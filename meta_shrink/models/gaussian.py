"""The Gaussian examples as a Keras model: parameters theta, output mu(theta)."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError


class _Mean(keras.layers.Layer):
    """Holds theta as one variable [1] per dimension, so that each can be a module."""

    def __init__(self, dimensions: int, mean: str, initial: float, **kwargs):
        super().__init__(**kwargs)
        self.mean = MEANS[mean]
        self.theta = [
            self.add_weight(shape=(1,), initializer=keras.initializers.Constant(initial), name=name)
            for name in (f"theta_{m + 1}" for m in range(dimensions))
        ]
        self.built = True

    def call(self, inputs):
        theta = tf.stack([tf.reshape(tf.convert_to_tensor(t), []) for t in self.theta])
        mu = self.mean(theta)
        return tf.zeros_like(inputs) + mu


def gaussian(
    *, seed: int, dimensions: int, mean: str = "identity", initial: float = 0.0
) -> keras.Model:
    """mu(theta) for each observation: [N, D] -> [N, D], constant over N (Appendices A, C).

    Args:
      seed: unused, the start is a constant.
      dimensions: M, the number of latent variables.
      mean: "identity", "linear" (D = M + 1) or "spiral".
      initial: value of every theta at the start.

    Raises:
      UsageError: unknown mean, or an odd number of dimensions for the spiral.
    """
    del seed
    if mean not in MEANS or dimensions < 1 or (mean == "spiral" and dimensions % 2):
        raise UsageError(
            f"model.mean={mean!r} with model.dimensions={dimensions}; expected a mean of "
            f"{', '.join(MEANS)}, at least 1 dimension, and pairs of them for spiral."
        )
    inputs = keras.Input((num_observed(mean, dimensions),), name="observations")
    outputs = _Mean(dimensions, mean, initial, name="latent")(inputs)
    return keras.Model(inputs, outputs, name="gaussian")


ANGULAR_VELOCITY = math.pi / 5  # omega of Eq. 46


def identity(theta: tf.Tensor) -> tf.Tensor:
    """[M] -> [M], Example 1."""
    return theta


def linear(theta: tf.Tensor) -> tf.Tensor:
    """[M] -> [M + 1]: theta and sum(theta)/sqrt(M) (App. C.1)."""
    total = tf.reduce_sum(theta) / math.sqrt(theta.shape[0])
    return tf.stack([*tf.unstack(theta), total])


def spiral(theta: tf.Tensor) -> tf.Tensor:
    """[M] -> [M]: each consecutive pair rotated by omega times its distance from 0 (App. C.2)."""
    pair = tf.reshape(theta, [-1, 2])
    # The floor keeps the square root's derivative finite at the origin.
    radius = tf.sqrt(tf.maximum(tf.reduce_sum(pair * pair, axis=1), 1e-12))
    cos, sin = tf.cos(ANGULAR_VELOCITY * radius), tf.sin(ANGULAR_VELOCITY * radius)
    x, y = pair[:, 0], pair[:, 1]
    return tf.reshape(tf.stack([cos * x - sin * y, sin * x + cos * y], axis=1), [-1])


MEANS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "identity": identity,
    "linear": linear,
    "spiral": spiral,
}


def num_observed(mean: str, dimensions: int) -> int:
    """Length D of mu(theta) for M = dimensions."""
    return dimensions + 1 if mean == "linear" else dimensions
