"""Random affine augmentation of small images on the device: stateless, compilable by XLA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.rng import uniform
from meta_shrink.types import Augment

INTERPOLATIONS = ("bilinear", "nearest")


def random_affine(
    *,
    scale: Sequence[float] = (0.8, 1.2),
    shift: float = 0.2,
    rotation: int = 180,
    fill: float = 0.0,
    interpolation: str = "bilinear",
) -> Augment:
    """Each image rotated, re-scaled about its centre and shifted, at random (App. E.1).

    Images [N,S,S,C] become float32 in the same range of values.

    Args:
      scale: least and largest factor.
      shift: largest shift in each direction, as a share of the image size.
      rotation: largest angle in whole degrees, either way; 180 is any of 360 angles, 0 is none.
      fill: value of pixels that the image does not cover.
      interpolation: "bilinear" or "nearest".

    Raises:
      UsageError: a scale or shift out of range, or an unknown interpolation.
    """
    low, high = scale
    in_range = 0 < low <= high and 0 <= shift < 1 and 0 <= rotation <= 180
    if not in_range or interpolation not in INTERPOLATIONS:
        raise UsageError(
            f"augment got scale={list(scale)}, shift={shift}, rotation={rotation}, interpolation="
            f"{interpolation!r}; expected 0 < scale[0] <= scale[1], 0 <= shift < 1, 0 <= rotation "
            f"<= 180 and one of {', '.join(INTERPOLATIONS)}."
        )
    most = min(rotation + 1, 180)  # exclusive; -180 and 180 are one angle
    resample = (_PRODUCTS if on_tpu() else _GATHERS)[interpolation]

    def augment(key: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        # A task whose number of images is known only when it is adapted has no static one.
        count, size = images.shape[0] or tf.shape(images)[0], images.shape[1]
        factor = uniform(key, "affine_scale", [count, 1, 1], low, high)
        offset = uniform(key, "affine_shift", [2, count, 1, 1], -shift * size, shift * size)
        degrees = uniform(key, "affine_rotation", [count, 1, 1], -rotation, most, tf.int32)
        angle = tf.cast(degrees, tf.float32) * (math.pi / 180)
        rows, columns = _sources(size, factor, offset, angle)
        return resample(tf.cast(images, tf.float32), rows, columns, fill)

    return augment


def on_tpu() -> bool:
    """Whether this process computes on a TPU, which gathers pixels one by one."""
    return bool(tf.config.list_logical_devices("TPU"))


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

    def neighbour(step: int) -> tf.Tensor:
        return _pixels(padded, first + step)

    above = neighbour(0) * (1 - right) + neighbour(1) * right
    below = neighbour(size + 3) * (1 - right) + neighbour(size + 4) * right
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
    _, side, _, channels = images.shape
    flat = tf.reshape(images, [-1, side * side, channels])
    return tf.gather(flat, positions, batch_dims=1)


def _by_products(weights: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]):
    """A sampler that sums all pixels of an image for each of its pixels, with products alone.

    30 times the work of a gather, and by libtpu's cost model 200 times as fast on a TPU
    (docs/results/tpu_costs.md).

    Args:
      weights: (rows or columns of sources [N, S*S, 1], those of the image [S]) -> [N, S*S, S].
    """

    def resample(images, rows, columns, fill) -> tf.Tensor:
        size, channels = images.shape[1], images.shape[3]
        line = tf.range(size, dtype=tf.float32)

        def weights_at(sources: tf.Tensor) -> tf.Tensor:
            return weights(tf.reshape(sources, [-1, size * size, 1]), line)

        # Outside the sum is empty: what differs from the filling is 0 there.
        unlike_fill = tf.reshape(images - fill, [-1, size, size * channels])
        over_rows = tf.reshape(weights_at(rows) @ unlike_fill, [-1, size * size, size, channels])
        pixels = tf.reduce_sum(over_rows * weights_at(columns)[..., tf.newaxis], axis=2)
        return tf.reshape(pixels, [-1, size, size, channels]) + fill

    return resample


def _tent(sources: tf.Tensor, line: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1 - tf.abs(sources - line), 0)


def _at_nearest(sources: tf.Tensor, line: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(sources) == line, tf.float32)


_GATHERS = {"bilinear": _bilinear, "nearest": _nearest}
_PRODUCTS = {"bilinear": _by_products(_tent), "nearest": _by_products(_at_nearest)}
