"""Pictures whose data end too early, or whose palettes do not fit, though every checksum is right.

Pillow shows such rows as black. All colour types, bits and interlacings of PNG are tried whole,
with a row too many and a byte too few; TIFFs that claim more rows than they have strips.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from meta_shrink import DataError
from meta_shrink.images.pictures import decode_rgb

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
TYPES = [(0, b) for b in (1, 2, 4, 8, 16)] + [(3, b) for b in (1, 2, 4, 8)]
TYPES += [(colour, bits) for colour in (2, 4, 6) for bits in (8, 16)]
# First column and row, and steps, of the passes: by the picture in the PNG standard.
PATTERN = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656"]
PATTERN += ["77777777"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(data: bytes, width: int, height: int, colour: int, bits: int, interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(3 * 2**bits)) if colour == 3 else b""
    packed = zlib.compress(data)
    middle = len(packed) // 2  # Data may be in several chunks.
    parts = chunk(b"IDAT", packed[:middle]) + chunk(b"IDAT", packed[middle:])
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + palette + parts + chunk(b"IEND", b"")


def size_of_rows(width: int, height: int, colour: int, bits: int, interlaced: int) -> int:
    """Bytes of the filtered rows, counted pixel by pixel in the picture of the passes."""
    if not interlaced:
        return height * (1 + -(-width * bits * SAMPLES[colour] // 8))
    total = 0
    for number in "1234567":
        rows = [sum(PATTERN[y % 8][x % 8] == number for x in range(width)) for y in range(height)]
        total += sum(1 + -(-count * bits * SAMPLES[colour] // 8) for count in rows if count)
    return total


def decoded(content: bytes, size: int = 8) -> np.ndarray:
    return decode_rgb(content, "x", size=size, interpolation="nearest")


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("colour", "bits"), TYPES)
def test_a_png_without_its_last_byte_is_refused_and_a_longer_one_read(colour, bits, interlaced):
    for width, height in ((8, 8), (1, 1), (5, 3), (3, 9), (13, 2)):
        shape = (width, height, colour, bits, interlaced)
        count = size_of_rows(*shape)
        for more in (0, 1, 40):
            decoded(png(bytes(count + more), *shape))
        for missing in (1, count // 2):
            if missing:
                with pytest.raises(DataError, match="image x cannot be decoded"):
                    decoded(png(bytes(count - missing), *shape))


def test_rows_that_are_missing_are_told():
    with pytest.raises(DataError, match="its last rows are missing"):
        decoded(png((b"\0" + b"\xc8" * 8) * 5, 8, 8, 0, 8))


def test_data_without_end_are_not_unpacked():
    decoded(png(bytes(50_000_000), 8, 8, 0, 8))


@pytest.mark.parametrize("compression", [None, "raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("tags", [(257,), (257, 278)])
def test_a_tiff_that_claims_more_rows_than_it_has_is_refused(compression, tags):
    file = io.BytesIO()
    picture = Image.fromarray(np.full([8, 8], 200, np.uint8))
    picture.save(file, "TIFF", compression=compression)
    assert (decoded(file.getvalue()) == 200).all()
    content = bytearray(file.getvalue())
    (start,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack("<H", content[entry : entry + 2])[0] in tags:  # ImageLength, RowsPerStrip.
            content[entry + 8 : entry + 10] = struct.pack("<H", 16)
    with pytest.raises(DataError, match="image x cannot be decoded"):
        decoded(bytes(content))


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF"])
def test_palettes(form):
    colours = np.array([[10, 20, 30], [200, 100, 50], [1, 2, 3], [255, 0, 255]], np.uint8)
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    picture = Image.fromarray(levels, mode="P")
    picture.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    picture.save(file, form)
    np.testing.assert_array_equal(decoded(file.getvalue()), colours[levels])


def test_a_pixel_beyond_the_palette_is_refused():
    content = png((b"\0" + b"\x01" * 8) * 8, 8, 8, 3, 8)
    short = content.replace(chunk(b"PLTE", bytes(768)), chunk(b"PLTE", bytes(3)))
    assert (decoded(content) == 0).all()
    with pytest.raises(DataError, match="pixels beyond the 1 colours of its palette"):
        decoded(short)


def test_a_colour_map_of_eight_bits():
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 2
    picture = Image.fromarray(levels, mode="P")
    picture.putpalette(colours.ravel().tolist())
    file = io.BytesIO()
    # The standard's map has 16 bits a colour; old programs wrote 8.
    padded = np.zeros([256, 3], np.uint8)
    padded[:2] = colours
    picture.save(file, "TIFF", tiffinfo={})
    content = bytearray(file.getvalue())
    (start,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[start : start + 2])
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        tag, _, count, place = struct.unpack("<HHII", content[entry : entry + 12])
        if tag == 320:
            values = np.frombuffer(bytes(content[place : place + 2 * count]), "<u2") // 256
            content[place : place + 2 * count] = values.astype("<u2").tobytes()
    np.testing.assert_array_equal(decoded(bytes(content)), colours[levels])
