"""Pictures of every mode, format and orientation become the right 8-bit RGB, or are refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from meta_shrink import DataError
from meta_shrink.images.pictures import ORIENTATION, decode_rgb

RNG = np.random.default_rng(0)
SIDE = 4
GREY = RNG.integers(0, 256, [SIDE, SIDE]).astype(np.uint8)
RGB = RNG.integers(0, 256, [SIDE, SIDE, 3]).astype(np.uint8)
ALPHA = np.array([[0, 255, 128, 1]] * SIDE, np.uint8)
DEEP = np.array(
    [[0, 1, 255, 256], [257, 4095, 4096, 32767], [32768, 40000, 65279, 65280], [65535, 9, 99, 999]],
    np.uint16,
)
LOSSLESS = ("PNG", "TIFF", "WEBP", "BMP", "PPM")


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(
        file, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}), **options
    )
    return file.getvalue()


def decoded(content: bytes, size: int = SIDE, **options) -> np.ndarray:
    return decode_rgb(content, "x", size=size, interpolation="nearest", **options)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What is seen of a colour on white paper, by the real numbers."""
    share = alpha[..., np.newaxis] / 255
    return np.floor(share * colour + (1 - share) * 255 + 0.5).astype(np.uint8)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


@pytest.mark.parametrize("form", LOSSLESS)
def test_eight_bits(form):
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(RGB), form)), RGB)
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(GREY), form)), three(GREY))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_one_bit_and_palettes(form):
    ink = GREY > 100
    one = Image.fromarray(ink)
    np.testing.assert_array_equal(decoded(encoded(one, form)), three(ink * np.uint8(255)))
    if form != "PPM":
        palette = Image.fromarray(RGB).quantize(16)
        expected = np.asarray(palette.convert("RGB"))
        np.testing.assert_array_equal(decoded(encoded(palette, form)), expected)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits(form):
    """The upper 8 of them; Pillow itself would make two levels of them."""
    np.testing.assert_array_equal(
        decoded(encoded(Image.fromarray(DEEP), form)), three((DEEP >> 8).astype(np.uint8))
    )


def png_of(colour_type: int, values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits with these channels, which Pillow cannot write."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    return content


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_every_colour_type(colour_type, channels):
    values = RNG.integers(0, 65536, [SIDE, SIDE, channels]).astype(np.uint16)
    high = (values >> 8).astype(np.uint8)
    colour = high[..., :3] if channels > 2 else three(high[..., 0])
    expected = over_white(colour, high[..., -1]) if channels in (2, 4) else colour
    np.testing.assert_array_equal(decoded(png_of(colour_type, values)), expected)


def test_sixteen_bits_with_a_transparent_level():
    content = png_of(0, DEEP[..., np.newaxis], (b"tRNS", struct.pack(">H", 40000)))
    grey = (DEEP >> 8).astype(np.uint8)
    grey[DEEP == 40000] = 255
    np.testing.assert_array_equal(decoded(content), three(grey))
    colour = png_of(
        2, np.repeat(DEEP[..., None], 3, -1), (b"tRNS", struct.pack(">HHH", 9, 9, 4000))
    )
    with pytest.raises(DataError, match="alpha channel"):
        decoded(colour)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_what_is_transparent_shows_white(form):
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    np.testing.assert_array_equal(decoded(encoded(rgba, form)), over_white(RGB, ALPHA))
    if form != "WEBP":
        grey = Image.fromarray(np.dstack([GREY, ALPHA]))
        np.testing.assert_array_equal(decoded(encoded(grey, form)), over_white(three(GREY), ALPHA))


@pytest.mark.parametrize("form", ["PNG", "GIF"])
@pytest.mark.parametrize("mode", ["P", "L"])
def test_a_transparent_colour_shows_white(form, mode):
    levels = np.array([[0, 1], [2, 3]], np.uint8)
    picture = Image.fromarray(levels, "L")
    if mode == "P":
        picture = Image.fromarray(levels, "P")
        picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    expected = three(levels) if mode == "L" else np.arange(10, 121, 10).reshape(2, 2, 3)
    expected = expected.astype(np.uint8)
    expected[1, 0] = 255
    np.testing.assert_array_equal(decoded(encoded(picture, form, transparency=2), 2), expected)


def test_an_rgb_picture_with_a_transparent_colour():
    content = encoded(Image.fromarray(RGB), "PNG", transparency=tuple(RGB[1, 2].tolist()))
    expected = RGB.copy()
    expected[1, 2] = 255
    np.testing.assert_array_equal(decoded(content), expected)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_other_colours(mode, form):
    flat = Image.new("RGB", (16, 16), (200, 100, 50)).convert(mode)
    assert abs(decoded(encoded(flat, form), 16).astype(int) - [200, 100, 50]).max() <= 3


@pytest.mark.parametrize(
    ("picture", "form"),
    [
        (Image.fromarray(DEEP.astype(np.int32) * 70_000, "I"), "TIFF"),
        (Image.fromarray(GREY.astype(np.int32), "I"), "TIFF"),
        (Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
        (Image.fromarray(GREY.astype(np.float32) / 255), "PPM"),
    ],
)
def test_numbers_without_a_known_range_are_refused(picture, form):
    with pytest.raises(DataError, match="save 8 or 16 bits"):
        decoded(encoded(picture, form))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(form):
    frames = [Image.fromarray(255 - RGB)]
    with pytest.raises(DataError, match="2 frames"):
        decoded(encoded(Image.fromarray(RGB), form, save_all=True, append_images=frames))


def test_a_jpeg_with_a_preview_behind_it():
    """As phones write it; the first picture is the one."""
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    content = encoded(flat, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert abs(decoded(content, 16).astype(int) - [200, 100, 50]).max() <= 3


# What the stored rows and columns of a picture are, by the EXIF standard, turned upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif(orientation, form):
    """JPEG loses a little: its picture has one dark and one light quarter."""
    stored = np.zeros([16, 32, 3], np.uint8)
    stored[:8, :16], stored[8:, 16:] = 250, 120
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100} if form == "JPEG" else {}
    content = encoded(Image.fromarray(stored), form, exif=exif, **options)
    upright = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](stored)))
    expected = np.asarray(upright.resize((16, 16), Image.Resampling.NEAREST)).astype(int)
    assert abs(decoded(content, 16) - expected).max() <= (3 if form == "JPEG" else 0)
    if form != "TIFF":
        plain = np.asarray(Image.fromarray(stored).resize((16, 16), Image.Resampling.NEAREST))
        lying = decoded(content, 16, exif=False).astype(int)
        assert abs(lying - plain).max() <= (3 if form == "JPEG" else 0)


@pytest.mark.parametrize("value", [0, 9, 255])
def test_unknown_orientations_turn_nothing(value):
    exif = Image.Exif()
    exif[ORIENTATION] = value
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(RGB), "PNG", exif=exif)), RGB)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("damage", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"junk"])
def test_damaged_exif_turns_nothing(damage):
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(RGB), "PNG", exif=damage)), RGB)
