"""mu(theta): the known mean functions of the Gaussian examples (Appendices A and C)."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

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
