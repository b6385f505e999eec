"""Encoded pictures to arrays of one size, by Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.optional import optional_module

ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
ENDINGS += (".ppm", ".pgm", ".pbm", ".pnm")
# No other decoder sees the bytes, whatever a file is called.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
INTERPOLATIONS = ("nearest", "box", "bilinear", "lanczos")
WHITE = 255
ORIENTATION = 0x0112  # EXIF's tag, and what turns a picture of each value upright.
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO, _SAMPLE_FORMAT, _SIGNED = 258, 262, 0, 339, 2  # Of TIFF.
_ROWS, _COLOUR_MAP = 257, 320
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # numbers of a pixel, by colour type
# (first column, first row, step of columns, of rows) of Adam7's passes.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_ADAM7 += ((0, 1, 1, 2),)


def decode_rgb(
    content: bytes, name: str, *, size: int, interpolation: str, exif: bool = True
) -> np.ndarray:
    """uint8 [size, size, 3] of a picture in one of FORMATS; its aspect is not kept.

    Of 16 bits the upper 8 count, as in TensorFlow. What is transparent shows white. exif: turn it
    as EXIF says that it was taken (a TIFF is always turned: that is a part of the format).

    Raises:
      DataError: it is none, damaged, of numbers that have no known range, or of several frames;
        `name` says which.
    """
    pillow = optional_module("PIL.Image")
    try:
        with pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
            _check(picture)
            _require_all_rows(picture, content)
            picture.load()
            _mend_palette(picture)
            rgb = _rgb(_upright(picture) if exif else picture)
            return resize(rgb, size, interpolation)
    except Exception as error:  # Decoders fail on damaged files in many ways.
        why = str(error).replace(" <_io.BytesIO object", "").split(" at 0x")[0]
        raise DataError(f"image {name} cannot be decoded ({why}).") from error


def _check(picture: Any) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # A JPEG of a phone, with a preview behind it.
        raise ValueError(f"it has {frames} frames: save the one that you mean")
    tiff = picture.tag_v2 if picture.format == "TIFF" else {}
    signed = _SIGNED in tiff.get(_SAMPLE_FORMAT, ())
    if picture.mode == "F" or signed or (picture.mode == "I" and picture.format == "TIFF"):
        raise ValueError("its numbers have 32 bits or signs, and no known range: save 8 or 16 bits")


def _require_all_rows(picture: Any, content: bytes) -> None:
    """Pillow shows rows as black where the data of a PNG or a plain TIFF end too early."""
    missing = False
    if picture.format == "PNG":
        missing = not _png_holds(content, _expected_png_bytes(content))
    elif picture.format == "TIFF":
        missing = max(tile[1][3] for tile in picture.tile) < picture.tag_v2[_ROWS]
    if missing:
        raise ValueError("its last rows are missing")


def _expected_png_bytes(content: bytes) -> int:
    """Of all rows, each behind one byte for its filter, as the header has them."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]
    pixel = bits * _PNG_SAMPLES[colour]
    return sum(rows * (1 + (columns * pixel + 7) // 8) for columns, rows in sizes if columns > 0)


def _png_holds(content: bytes, expected: int) -> bool:
    """Whether the IDAT chunks hold as many bytes."""
    stream, start = zlib.decompressobj(), 8
    while expected > 0 and start + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        if kind == b"IDAT":
            expected -= len(stream.decompress(content[start + 8 : start + 8 + length], expected))
        start += length + 12
    return expected <= 0


def _mend_palette(picture: Any) -> None:
    """Refuses indices without a colour; a TIFF's colour map of 8-bit values is read as such."""
    if picture.mode != "P":
        return
    colours = len(picture.palette.palette) // len(picture.palette.mode)
    if np.asarray(picture).max() >= colours:
        raise ValueError(f"it has pixels beyond the {colours} colours of its palette")
    colour_map = picture.tag_v2.get(_COLOUR_MAP, ()) if picture.format == "TIFF" else ()
    if colour_map and max(colour_map) <= WHITE:  # 16 bits by the standard; libtiff takes both.
        picture.putpalette(np.reshape(colour_map, [3, -1]).T.ravel().tolist())


def _upright(picture: Any) -> Any:
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # EXIF that is damaged says nothing; all programs show such a picture.
        return picture
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    if method is None:
        return picture
    return picture.transpose(optional_module("PIL.Image").Transpose[method])


def _rgb(picture: Any) -> Any:
    """A Pillow image of RGB, 8 bits, nothing transparent."""
    from_array = optional_module("PIL.Image").fromarray
    if picture.mode.startswith("I"):
        return from_array(_grey(picture)).convert("RGB")
    key = picture.info.get("transparency")
    if isinstance(key, tuple) and max(key) > WHITE:
        raise ValueError("it has 16 bits and one transparent colour: save it with an alpha channel")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = np.asarray(picture.convert("RGBA"), np.int32)
    alpha = rgba[..., 3:]
    shown = (rgba[..., :3] * alpha + WHITE * (WHITE - alpha) + WHITE // 2) // WHITE
    return from_array(shown.astype(np.uint8))


def _grey(picture: Any) -> np.ndarray:
    """uint8 [H, W] of 16-bit grey levels."""
    levels = np.asarray(picture).astype(np.int32)
    bits = 16
    if picture.format == "TIFF":
        bits = int(picture.tag_v2.get(_BITS, (bits,))[0])
        if picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            levels = 2**bits - 1 - levels
    grey = (levels >> (bits - 8)).astype(np.uint8)
    if (key := picture.info.get("transparency")) is not None:
        grey[levels == key] = WHITE
    return grey


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
