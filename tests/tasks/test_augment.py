"""Random affine augmentation: against a pixel loop, exact special cases, XLA, bad options."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.rng import uniform
from meta_shrink.tasks import augment
from meta_shrink.tasks.augment import INTERPOLATIONS, random_affine

KEY = tf.constant([3, 4])
SIZE = 9
IMAGES = tf.random.stateless_uniform([3, SIZE, SIZE, 2], [1, 2], 0, 256, tf.int32)
FILL = 7.0


@pytest.fixture(params=["gathers", "products"], autouse=True)
def platform(request, monkeypatch):
    """Everywhere else, and on a TPU."""
    monkeypatch.setattr(augment, "on_tpu", lambda: request.param == "products")


def by_pixel_loop(images: np.ndarray, interpolation: str) -> np.ndarray:
    """The same map written pixel by pixel, from the same random numbers."""
    count, size = images.shape[:2]
    factor = uniform(KEY, "affine_scale", [count, 1, 1], 0.8, 1.2).numpy().ravel()
    offset = uniform(KEY, "affine_shift", [2, count, 1, 1], -0.2 * size, 0.2 * size).numpy()
    degrees = uniform(KEY, "affine_rotation", [count, 1, 1], -180, 180, tf.int32).numpy().ravel()
    centre, out = (size - 1) / 2, np.zeros(images.shape)

    def pixel(n, row, column):
        inside = 0 <= row < size and 0 <= column < size
        return images[n, row, column] if inside else np.full(images.shape[-1], FILL)

    for n, i, j in np.ndindex(count, size, size):
        down, right = (np.array([i, j]) - centre - offset[:, n, 0, 0]) / factor[n]
        angle = math.radians(degrees[n])
        row = math.cos(angle) * down - math.sin(angle) * right + centre
        column = math.sin(angle) * down + math.cos(angle) * right + centre
        if interpolation == "nearest":
            out[n, i, j] = pixel(n, round(row), round(column))
            continue
        top, left = math.floor(row), math.floor(column)
        for a, b in np.ndindex(2, 2):
            weight = (1 - abs(row - top - a)) * (1 - abs(column - left - b))
            out[n, i, j] += weight * pixel(n, top + a, left + b)
    return out


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_equals_a_loop_over_pixels(interpolation):
    augment = random_affine(fill=FILL, interpolation=interpolation)
    ours = augment(KEY, IMAGES).numpy()
    expected = by_pixel_loop(IMAGES.numpy(), interpolation)
    # A position half-way between two pixels may round either way.
    different = np.abs(ours - expected) > 0.05
    assert different.mean() < (0.02 if interpolation == "nearest" else 1e-9)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_identity_changes_nothing(interpolation):
    augment = random_affine(scale=(1, 1), shift=0, rotation=0, interpolation=interpolation)
    np.testing.assert_array_equal(augment(KEY, IMAGES), tf.cast(IMAGES, tf.float32))


def test_every_image_has_its_own_draw_and_every_key():
    same = tf.repeat(IMAGES[:1], 2, axis=0)
    augment = random_affine()
    first, second = augment(KEY, same).numpy()
    assert np.abs(first - second).max() > 1
    assert np.abs(augment(tf.constant([3, 5]), same)[0] - first).max() > 1
    np.testing.assert_array_equal(augment(KEY, same)[0], first)


def test_compiles_with_the_same_numbers():
    augment = random_affine(fill=FILL)
    compiled = tf.function(augment, jit_compile=True)
    np.testing.assert_allclose(compiled(KEY, IMAGES), augment(KEY, IMAGES), atol=0.05)


def test_what_is_outside_is_filled():
    augment = random_affine(scale=(0.2, 0.2), shift=0, rotation=0, fill=FILL)
    corner = augment(KEY, IMAGES)[:, 0, 0]
    np.testing.assert_array_equal(corner, np.full(corner.shape, FILL))


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0, 1)},
        {"scale": (2, 1)},
        {"shift": 1.0},
        {"rotation": 181},
        {"interpolation": "cubic"},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError, match="augment got"):
        random_affine(**options)
