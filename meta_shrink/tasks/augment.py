"""Random affine augmentation of small images on the device: stateless, compilable by XLA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.rng import fold_in, uniform

# (key [2], images [N,S,S,C]) -> float32 images [N,S,S,C] in the same range of values.
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
INTERPOLATIONS = ("bilinear", "nearest")


def random_affine(
    *,
    scale: Sequence[float] = (0.8, 1.2),
    shift: float = 0.2,
    rotate: bool = True,
    fill: float = 0.0,
    interpolation: str = "bilinear",
) -> Augment:
    """Each image rotated, re-scaled about its centre and shifted, at random (App. E.1).

    Args:
      scale: least and largest factor.
      shift: largest shift in each direction, as a share of the image size.
      rotate: by an angle of 0, 1, ..., 359 degrees.
      fill: value of pixels that the image does not cover.
      interpolation: "bilinear" or "nearest".

    Raises:
      UsageError: a scale or shift out of range, or an unknown interpolation.
    """
    low, high = scale
    if not (0 < low <= high and 0 <= shift < 1 and interpolation in INTERPOLATIONS):
        raise UsageError(
            f"task.augment got scale={list(scale)}, shift={shift}, interpolation="
            f"{interpolation!r}; expected 0 < scale[0] <= scale[1], 0 <= shift < 1 and one of "
            f"{', '.join(INTERPOLATIONS)}."
        )

    def augment(key: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        count, size = images.shape[0], images.shape[1]
        factor = uniform(fold_in(key, 0), [count, 1, 1], low, high)
        offset = uniform(fold_in(key, 1), [2, count, 1, 1], -shift * size, shift * size)
        degrees = uniform(fold_in(key, 2), [count, 1, 1], 0, 360, tf.int32)
        angle = tf.cast(degrees, tf.float32) * (math.pi / 180) if rotate else 0.0 * factor
        rows, columns = _sources(size, factor, offset, angle)
        return _SAMPLERS[interpolation](tf.cast(images, tf.float32), rows, columns, fill)

    return augment


def _sources(size: int, factor, offset, angle) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each output pixel comes from: rows and columns [N,S,S], as the inverse of the map."""
    centre = (size - 1) / 2
    line = tf.range(size, dtype=tf.float32) - centre
    down = (line[tf.newaxis, :, tf.newaxis] - offset[0]) / factor
    right = (line[tf.newaxis, tf.newaxis, :] - offset[1]) / factor
    sine, cosine = tf.sin(angle), tf.cos(angle)
    return cosine * down - sine * right + centre, sine * down + cosine * right + centre


def _bilinear(images, rows, columns, fill) -> tf.Tensor:
    """Weighted mean of the four neighbours; outside is `fill`."""
    size = images.shape[1]
    # One row of filling before and two behind: positions outside then read nothing but filling.
    padded = tf.pad(images, [[0, 0], [1, 2], [1, 2], [0, 0]], constant_values=fill)
    rows = tf.clip_by_value(rows, -1.0, size) + 1
    columns = tf.clip_by_value(columns, -1.0, size) + 1
    top, left = tf.floor(rows), tf.floor(columns)
    low, right = (rows - top)[..., tf.newaxis], (columns - left)[..., tf.newaxis]
    first = tf.cast(top, tf.int32) * (size + 3) + tf.cast(left, tf.int32)

    def at(step: int) -> tf.Tensor:
        return _pixels(padded, first + step)

    above = at(0) * (1 - right) + at(1) * right
    below = at(size + 3) * (1 - right) + at(size + 4) * right
    return above * (1 - low) + below * low


def _nearest(images, rows, columns, fill) -> tf.Tensor:
    """The nearest pixel; outside is `fill`."""
    size = images.shape[1]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=fill)
    rows = tf.cast(tf.round(tf.clip_by_value(rows, -1.0, size)), tf.int32) + 1
    columns = tf.cast(tf.round(tf.clip_by_value(columns, -1.0, size)), tf.int32) + 1
    return _pixels(padded, rows * (size + 2) + columns)


def _pixels(images: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Pixels at flat positions: [N,H,H,C], [N,S,S] -> [N,S,S,C]."""
    count, side, _, channels = images.shape
    flat = tf.reshape(images, [count, side * side, channels])
    return tf.gather(flat, positions, batch_dims=1)


_SAMPLERS = {"bilinear": _bilinear, "nearest": _nearest}
