"""Stateless random keys.

A key is an int32 tensor [2]. Every random number of a run is a pure function of
(seed, purpose, meta-step, task, inner step), so a resumed run sees the same numbers without any
saved generator, and the number of replicas does not matter. The algorithm is named explicitly, as
TensorFlow's default depends on the device; and floating-point numbers are made from its bits here,
as TensorFlow makes other ones under XLA than without.

Whoever takes something from a key, another key or random numbers, names what for. Two names never
give the same, so a key may be handed on: what drew a task's data cannot also choose its
mini-batches. One name belongs to one place of the code (tests/test_rng.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

ALGORITHM = "philox"
# Raised whenever the same (seed, root, purpose, numbers) gives other numbers than before.
STREAMS = 2
# Of the keys that a run starts from.
ROOTS = ("train_tasks", "heldout_tasks", "validation_tasks", "warm_start", "probe", "rows")


def root_key(seed: int, root: str, *numbers: int | tf.Tensor) -> tf.Tensor:
    """The key [2] of one root of a run, and of numbers under it, as a held-out task's.

    Raises:
      ValueError: the root is not one of ROOTS.
    """
    if root not in ROOTS:
        raise ValueError(f"rng root is {root!r}; expected one of {', '.join(ROOTS)}.")
    return _fold(tf.constant([seed, _number_of(root)], tf.int32), *_counted(numbers))


def fold_in(key: tf.Tensor, purpose: str, *numbers: int | tf.Tensor) -> tf.Tensor:
    """A new key [2] from a key, what it is for, and numbers of at least 0: (meta_step, task).

    Raises:
      ValueError: no purpose, or a negative number.
    """
    return _fold(key, _number_of(purpose), *_counted(numbers))


def uniform(key: tf.Tensor, purpose: str, shape, low=0.0, high=1.0, dtype=tf.float32) -> tf.Tensor:
    """Uniform numbers in [low, high); integers with an integer dtype."""
    key = fold_in(key, purpose)
    if tf.as_dtype(dtype).is_integer:
        return tf.random.stateless_uniform(shape, key, low, high, dtype, alg=ALGORITHM)
    return low + (high - low) * _fraction(key, shape, dtype, offset=0.0)


def normal(
    key: tf.Tensor, purpose: str, shape, mean=0.0, stddev=1.0, dtype=tf.float32
) -> tf.Tensor:
    """Normal numbers; mean and stddev broadcast against shape."""
    half_way = _fraction(fold_in(key, purpose), shape, dtype, offset=0.5)
    noise = math.sqrt(2) * tf.math.erfinv(2 * half_way - 1)
    return mean + stddev * noise


def _number_of(purpose: str) -> int:
    """A negative int32 of the name: a purpose is folded as no number that counts can be."""
    if not isinstance(purpose, str) or not purpose:
        raise ValueError(
            f"rng got {purpose!r} where a key is used; expected the name of what it is used for, "
            "then numbers: fold_in(key, 'mini_batch', step), uniform(key, 'noise', shape)."
        )
    return -1 - (int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big") >> 1)


def _counted(numbers: Sequence[int | tf.Tensor]) -> Sequence[int | tf.Tensor]:
    """The numbers; below 0 are purposes. (Of a tensor's value nothing is known while tracing.)"""
    for number in numbers:
        if isinstance(number, int | np.integer) and number < 0:
            raise ValueError(f"rng got the number {number}; expected at least 0.")
    return numbers


def _fold(key: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    for number in numbers:
        number = tf.cast(number, tf.int32)
        key = tf.random.experimental.stateless_fold_in(key, number, alg=ALGORITHM)
    return key


def _fraction(key: tf.Tensor, shape, dtype, *, offset: float) -> tf.Tensor:
    """(k + offset) / 2^23 for random k in [0, 2^23), exact in float32: never 0 or 1 at 0.5."""
    bits = tf.random.stateless_uniform(shape, key, None, None, tf.uint32, alg=ALGORITHM)
    return (tf.cast(tf.bitwise.right_shift(bits, 9), dtype) + offset) * 2**-23
