"""NPZ files that would fill the memory are refused by their headers, before they are unpacked."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.images.npz_file import read_arrays

MIB = 2**20


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def write(path: Path, members: dict[str, list[bytes]], method: int = zipfile.ZIP_DEFLATED) -> None:
    """Members of these parts, one after another: so that a bomb fits into the memory here."""
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, parts in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                for part in parts:
                    member.write(part)


def zeros(path: Path, mib: int = 300, arrays: int = 1, **options) -> None:
    """Honest headers, honest bytes."""
    parts = [header((mib, MIB)), *[bytes(MIB)] * mib]
    write(path, {f"a{n}.npy": parts for n in range(arrays)}, **options)


def shared_bytes(path: Path) -> None:
    """Many members whose entries point to the bytes of one."""
    zeros(path, mib=14)
    with zipfile.ZipFile(path, "a") as archive:
        (member,) = archive.infolist()
        for number in range(60):
            twin = zipfile.ZipInfo(f"b{number}.npy")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(twin, field, getattr(member, field))
            archive.filelist.append(twin)
        archive.comment = b"written anew"


def long_header(path: Path) -> None:
    """A header of version 2 that says that it is 200 MiB long, of blanks."""
    start = b"\x93NUMPY\x02\x00" + struct.pack("<I", 200 * MIB)
    write(path, {"a.npy": [start, *[b" " * MIB] * 200]})


def many(path: Path) -> None:
    write(path, {f"a{n}.npy": [header((1,)), b"0"] for n in range(1001)})


def negative(path: Path) -> None:
    write(path, {"a.npy": [header((-1, -16)), bytes(16)]})


def lies(path: Path) -> None:
    write(path, {"a.npy": [header((2**40,)), bytes(16)]})


BOMBS = {
    "zeros": zeros,
    "many zeros": lambda path: zeros(path, mib=25, arrays=12),
    "bzip2": lambda path: zeros(path, mib=30, method=zipfile.ZIP_BZIP2),
    "lzma": lambda path: zeros(path, mib=30, method=zipfile.ZIP_LZMA),
    "shared bytes": shared_bytes,
    "long header": long_header,
    "many arrays": many,
    "negative": negative,
    "lies": lies,
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(case, tmp_path):
    path = tmp_path / "a.npz"
    BOMBS[case](path)
    tracemalloc.start()
    try:
        with path.open("rb") as file, pytest.raises(DataError, match=r"is not a whole NPZ"):
            read_arrays(file, str(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_real_data_and_large_plain_files_are_read(save, tmp_path):
    arrays = {
        "noise": np.random.default_rng(0).integers(0, 256, [30, 84, 84, 3]).astype(np.uint8),
        "silence": np.zeros([2**20], np.float32),
        "none": np.zeros([0, 3]),
        "number": np.array(3),
        "words": np.array(["a", "bc"]),
    }
    save(tmp_path / "a.npz", **arrays)
    with (tmp_path / "a.npz").open("rb") as file:
        read = read_arrays(file, "a.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_the_check_comes_before_the_bytes(tmp_path):
    """Whose checksum is wrong: so they were not looked at."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(100_000))
    content = bytearray(path.read_bytes())
    content[500_000] ^= 1
    path.write_bytes(content)
    seen = {}

    def check(headers):
        seen.update(headers)
        raise DataError("not wanted")

    with path.open("rb") as file, pytest.raises(DataError, match="not wanted"):
        read_arrays(file, "a.npz", check)
    assert (seen["a"].shape, seen["a"].dtype, seen["a"].ndim) == ((100_000,), np.dtype(int), 1)
