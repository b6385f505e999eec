"""Encoded pictures to arrays of one size."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from meta_shrink.errors import DataError, UsageError

ENDINGS = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 100_000_000
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
# What Pillow raises on files that are no picture, cut off, flipped or made up.
_PICTURE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError)
_PICTURE_ERRORS += (TypeError, IndexError, Image.DecompressionBombError)


def decode_rgb(content: bytes, name: str, *, size: int, interpolation: str) -> np.ndarray:
    """uint8 [size, size, 3] of a JPEG or PNG file; its aspect is not kept, EXIF is not applied.

    Raises:
      DataError: it is none, or damaged; `name` says which.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            return resize(picture.convert("RGB"), size, interpolation)
    except _PICTURE_ERRORS as error:
        raise DataError(f"image {name} cannot be decoded ({error}).") from error


def resize(picture: Image.Image, size: int, interpolation: str) -> np.ndarray:
    """uint8 [size, size(, C)]; a picture of that size stays as it is."""
    if picture.size != (size, size):
        picture = picture.resize((size, size), FILTERS[interpolation])
    return np.asarray(picture)


def resize_all(images: np.ndarray | Sequence[np.ndarray], size: int, how: str) -> np.ndarray:
    """uint8 [N, size, size, C] of images uint8 [N, H, W, C], C 1 or 3."""
    if all(image.shape[:2] == (size, size) for image in images):
        return np.asarray(images)
    pictures = (
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image) for image in images
    )
    resized = np.stack([resize(picture, size, how) for picture in pictures])
    return resized.reshape(len(resized), size, size, -1)


def check_options(image_size: int, interpolation: str) -> None:
    """Raises: UsageError, an option of the loaders is out of range."""
    if interpolation not in FILTERS:
        raise UsageError(f"interpolation is {interpolation!r}; expected {', '.join(FILTERS)}.")
    if not 1 <= image_size <= 1024:
        raise UsageError(f"image_size is {image_size}; expected 1 to 1024.")
