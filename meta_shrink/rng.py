"""Stateless random keys.

A key is an int32 tensor [2]. Every random number of a run is a pure function of
(seed, purpose, meta-step, task, inner step), so a resumed run sees the same numbers without any
saved generator, and the number of replicas does not matter. The algorithm is named explicitly, as
TensorFlow's default depends on the device; and floating-point numbers are made from its bits here,
as TensorFlow makes other ones under XLA than without.
"""

from __future__ import annotations

import math

import tensorflow as tf

ALGORITHM = "philox"
PURPOSES = (
    "initial_weights",
    "train_tasks",
    "heldout_tasks",
    "data",
    "mini_batch",
    "probe",
    "validation_tasks",
    "warm_start",
)


def root_key(seed: int, purpose: str) -> tf.Tensor:
    """The key [2] of one purpose of a run.

    Raises:
      ValueError: the purpose is not one of PURPOSES.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"rng purpose is {purpose!r}; expected one of {', '.join(PURPOSES)}.")
    return tf.constant([seed, PURPOSES.index(purpose)], tf.int32)


def fold_in(key: tf.Tensor, *data: int | tf.Tensor) -> tf.Tensor:
    """A new key [2] from a key and integers, for instance (meta_step, task)."""
    for number in data:
        number = tf.cast(number, tf.int32)
        key = tf.random.experimental.stateless_fold_in(key, number, alg=ALGORITHM)
    return key


def uniform(key: tf.Tensor, shape, low=0.0, high=1.0, dtype=tf.float32) -> tf.Tensor:
    """Uniform numbers in [low, high); integers with an integer dtype."""
    if tf.as_dtype(dtype).is_integer:
        return tf.random.stateless_uniform(shape, key, low, high, dtype, alg=ALGORITHM)
    return low + (high - low) * _fraction(key, shape, dtype, offset=0.0)


def normal(key: tf.Tensor, shape, mean=0.0, stddev=1.0, dtype=tf.float32) -> tf.Tensor:
    """Normal numbers; mean and stddev broadcast against shape."""
    half_way = _fraction(key, shape, dtype, offset=0.5)
    noise = math.sqrt(2) * tf.math.erfinv(2 * half_way - 1)
    return mean + stddev * noise


def _fraction(key: tf.Tensor, shape, dtype, *, offset: float) -> tf.Tensor:
    """(k + offset) / 2^23 for random k in [0, 2^23), exact in float32: never 0 or 1 at 0.5."""
    bits = tf.random.stateless_uniform(shape, key, None, None, tf.uint32, alg=ALGORITHM)
    return (tf.cast(tf.bitwise.right_shift(bits, 9), dtype) + offset) * 2**-23
