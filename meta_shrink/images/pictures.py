"""Encoded pictures to arrays of one size, by Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.optional import optional_module

ENDINGS = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")  # No other decoder sees the bytes, whatever a file is called.
MAX_PIXELS = 50_000_000
INTERPOLATIONS = ("nearest", "box", "bilinear", "lanczos")


def decode_rgb(content: bytes, name: str, *, size: int, interpolation: str) -> np.ndarray:
    """uint8 [size, size, 3] of a JPEG or PNG file; its aspect is not kept, EXIF is not applied.

    Raises:
      DataError: it is none, or damaged; `name` says which.
    """
    pillow = optional_module("PIL.Image")
    try:
        with pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            return resize(picture.convert("RGB"), size, interpolation)
    except Exception as error:  # Decoders fail on damaged files in many ways.
        why = str(error).replace(" <_io.BytesIO object", "").split(" at 0x")[0]
        raise DataError(f"image {name} cannot be decoded ({why}).") from error


def resize(picture: Any, size: int, interpolation: str) -> np.ndarray:
    """uint8 [size, size(, C)] of a Pillow image; one of that size stays as it is."""
    if picture.size != (size, size):
        resampling = optional_module("PIL.Image").Resampling
        picture = picture.resize((size, size), resampling[interpolation.upper()])
    return np.asarray(picture)


def resize_all(images: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """uint8 [N, size, size, C] of uint8 [N, H, W, C], where C is 1 or 3."""
    if images.shape[1:3] == (size, size):
        return images
    from_array = optional_module("PIL.Image").fromarray
    flat = images[..., 0] if images.shape[-1] == 1 else images
    resized = np.stack([resize(from_array(image), size, interpolation) for image in flat])
    return resized.reshape(len(images), size, size, images.shape[-1])


def check_options(image_size: int, interpolation: str) -> None:
    """Checks the options that the loaders share.

    Raises:
      UsageError: one is out of range.
    """
    if interpolation not in INTERPOLATIONS:
        expected = ", ".join(INTERPOLATIONS)
        raise UsageError(f"interpolation is {interpolation!r}; expected {expected}.")
    if not 1 <= image_size <= 1024:
        raise UsageError(f"image_size is {image_size}; expected 1 to 1024.")
