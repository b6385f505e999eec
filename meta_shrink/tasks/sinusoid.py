"""Sinusoid regression: y = a sin(x - b) (App. E.3)."""

from __future__ import annotations

import math

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.rng import root_key, uniform
from meta_shrink.types import Task, TaskSource

AMPLITUDE, PHASE, INPUTS = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


def sinusoid(
    *, seed: int, num_train: int = 10, num_val: int = 10, num_heldout_val: int = 100
) -> TaskSource:
    """a ~ U[0.1, 5], b ~ U[0, pi], x ~ U[-5, 5]; batches are (x [N, 1], y [N, 1]).

    Args:
      seed: of the held-out tasks; training tasks come from the keys they are given.
      num_train, num_val: labelled points to adapt to and to validate on.
      num_heldout_val: validation points of a held-out task, more for a sharper error.

    Raises:
      UsageError: fewer than one point.
    """
    if min(num_train, num_val, num_heldout_val) < 1:
        raise UsageError(
            f"task got num_train={num_train}, num_val={num_val}, "
            f"num_heldout_val={num_heldout_val}; expected at least 1 point each."
        )

    def task(key: tf.Tensor, points: int) -> Task:
        shape = uniform(key, "sinusoid_shape", [2])
        amplitude = AMPLITUDE[0] + (AMPLITUDE[1] - AMPLITUDE[0]) * shape[0]
        phase = PHASE[0] + (PHASE[1] - PHASE[0]) * shape[1]
        x = uniform(key, "sinusoid_inputs", [num_train + points, 1], *INPUTS)
        y = amplitude * tf.sin(x - phase)
        return Task((x[:num_train], y[:num_train]), (x[num_train:], y[num_train:]), key)

    return TaskSource(
        sample=lambda key: task(key, num_val),
        heldout=lambda index: task(root_key(seed, "heldout_tasks", index), num_heldout_val),
    )
