"""Hierarchical Gaussian tasks: theta ~ N(phi, sigma^2), x ~ N(mu(theta), xi^2) (Apps. A, C)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.gaussian import MEANS, num_observed
from meta_shrink.rng import normal, root_key
from meta_shrink.types import Task, TaskSource


def gaussian(
    *,
    seed: int,
    mean: str,
    phi: Sequence[float],
    sigma: Sequence[float],
    noise: Sequence[float],
    num_train: int,
    num_val: int,
    num_heldout_val: int = 0,
) -> TaskSource:
    """Observations of an unknown theta; a batch is (x [N, D], x [N, D]).

    Args:
      seed: of the held-out tasks.
      mean: mu, one of meta_shrink.models.gaussian.MEANS.
      phi, sigma: true prior mean and standard deviation, M numbers each.
      noise: xi, D standard deviations of an observation.
      num_train, num_val: observations to adapt to and to validate on.
      num_heldout_val: validation observations of a held-out task; num_val if 0.

    Raises:
      UsageError: lengths that do not fit together, or no observation.
    """
    _check(mean, phi, sigma, noise, num_train, num_val)
    if num_heldout_val < 0:
        raise UsageError(
            f"task.num_heldout_val is {num_heldout_val}; expected at least 0 (0: num_val)."
        )

    def heldout_key(index: tf.Tensor) -> tf.Tensor:
        return root_key(seed, "heldout_tasks", index)

    def task(key: tf.Tensor, points: int) -> Task:
        theta = draw_theta(key, phi, sigma)
        means = MEANS[mean](theta)
        scale = tf.constant(list(noise), tf.float32)
        x = normal(key, "gaussian_observations", [num_train + points, len(noise)], means, scale)
        return Task((x[:num_train], x[:num_train]), (x[num_train:], x[num_train:]), key)

    return TaskSource(
        sample=lambda key: task(key, num_val),
        heldout=lambda index: task(heldout_key(index), num_heldout_val or num_val),
        truth=lambda index: draw_theta(heldout_key(index), phi, sigma),
    )


def draw_theta(key: tf.Tensor, phi: Sequence[float], sigma: Sequence[float]) -> tf.Tensor:
    """The true theta [M] of the task with this key."""
    center, spread = tf.constant(list(phi), tf.float32), tf.constant(list(sigma), tf.float32)
    return normal(key, "gaussian_theta", [len(phi)], center, spread)


def _check(mean, phi, sigma, noise, num_train, num_val):
    if mean not in MEANS:
        raise UsageError(f"task.mean is {mean!r}; expected one of {', '.join(MEANS)}.")
    if len(phi) != len(sigma) or len(noise) != num_observed(mean, len(phi)):
        raise UsageError(
            f"task has {len(phi)} phi, {len(sigma)} sigma and {len(noise)} noise values; expected "
            f"M, M and {num_observed(mean, len(phi))} for mean={mean!r}."
        )
    if min(num_train, num_val) < 1 or min(sigma) < 0 or min(noise) <= 0:
        raise UsageError(
            f"task got num_train={num_train}, num_val={num_val}, sigma={list(sigma)}, "
            f"noise={list(noise)}; expected counts >= 1, sigma >= 0, noise > 0."
        )
