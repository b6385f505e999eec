"""One NPZ file of images by split and class, which proves itself whole when it is read.

Arrays, for each split s (train, val, test; or one split alone):
  s/images  uint8 [N, S, S, C]; the images of a class are neighbours
  s/names   str [classes], all different
  s/count   int32 [classes], images of each class
  s/groups  str [classes], alphabet of a character or ""
and `about`, a JSON text: {"format": FORMAT, "sha256": of all that follows and of the arrays,
"settings": {name: value}, how the images were made}. No pickle: numpy.load opens it as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.classes import ImageClasses, from_counts
from meta_shrink.images.whole_files import publish

FORMAT = "meta_shrink images 1"
MAX_ARRAYS = 1000
MAX_HEADER_BYTES = 64 * 1024
MAX_RATIO, FREE_BYTES = 100, 16 * 2**20  # Zeros pack to a thousandth; pictures and sounds do not.
FIELDS = ("images", "names", "count", "groups")
# What numpy.load raises on bytes that are no NPZ, cut off, flipped or made up.
NPZ_ERRORS = (ValueError, KeyError, EOFError, OSError, MemoryError, OverflowError, SyntaxError)
NPZ_ERRORS += (TypeError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error)


def write_npz(path: str, splits: Mapping[str, ImageClasses], **settings: Any) -> None:
    """Writes the file whole or not at all, power loss included; `settings` are JSON values."""
    arrays: dict[str, Any] = {
        f"{split}/{field}": value
        for split, classes in splits.items()
        for field, value in _fields(classes).items()
    }
    about = {"format": FORMAT, "sha256": _digest(arrays, settings), "settings": settings}
    text = np.array(json.dumps(about, sort_keys=True))
    publish(path, lambda file: np.savez(file, about=text, **arrays))


def read_npz(path: str) -> tuple[dict[str, ImageClasses], dict[str, Any]]:
    """The splits and the settings of a file that write_npz wrote.

    Raises:
      DataError: there is no such file, or it is damaged or another one.
    """
    try:
        with open_file(path) as file:
            arrays = read_arrays(file, path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    about = _about(arrays.pop("about", None))
    if about.get("format") != FORMAT:
        raise DataError(
            f"{path} was not written by meta-shrink prepare-data, or by another version."
        )
    if about.get("sha256") != _digest(arrays, about.get("settings", {})):
        raise DataError(f"{path} is damaged: its content does not fit its checksum.")
    names = dict.fromkeys(key.split("/")[0] for key in arrays)
    if set(arrays) != {f"{name}/{field}" for name in names for field in FIELDS}:
        raise DataError(f"{path} lacks arrays: it was not written by meta-shrink prepare-data.")
    return {name: _classes(arrays, name) for name in names}, about["settings"]


class ArrayHeader(NamedTuple):
    """What an array says about itself before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """As numpy's."""
        return len(self.shape)


def read_arrays(
    file: IO[bytes],
    path: str,
    check: Callable[[Mapping[str, ArrayHeader]], object] = lambda headers: None,
) -> dict[str, np.ndarray]:
    """All arrays of an NPZ, whose headers are looked at before anything is unpacked.

    check: called with the headers by name; it raises where the arrays are not wanted. Headers that
    claim more than the file holds are refused, and so are arrays that unpack to MAX_RATIO times
    their bytes: a file of 2 MB could fill the memory.

    Raises:
      DataError: it is no whole NPZ of plain arrays, or unpacks to too much.
    """
    try:
        if not zipfile.is_zipfile(file):  # numpy's own message would advise to unpickle it.
            raise ValueError("no ZIP file")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            headers = _headers(archive.zip)
            check(headers)
            _require_bounded(archive.zip, headers)
            return {name: archive[name] for name in archive.files}
    except NPZ_ERRORS as error:
        raise DataError(f"{path} is not a whole NPZ file of plain arrays ({error}).") from error


def _headers(archive: zipfile.ZipFile) -> dict[str, ArrayHeader]:
    members = archive.infolist()
    if len(members) > MAX_ARRAYS:
        raise ValueError(f"it has {len(members)} arrays: too many")
    names = [member.filename.removesuffix(".npy") for member in members]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"it has two arrays of the name {twice[0]!r}: keep the one that you mean")
    return {name: _header(archive, m) for name, m in zip(names, members, strict=True)}


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayHeader:
    """Of an array whose bytes are as many as its header says."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed otherwise than numpy packs")
    with archive.open(member) as packed:
        file = io.BytesIO(packed.read(MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} has Python objects")
    if min(shape, default=0) < 0 or (
        file.tell() + math.prod(shape) * dtype.itemsize != member.file_size
    ):
        raise ValueError(f"{member.filename} has not the size that its header says")
    return ArrayHeader(tuple(shape), dtype)


def _require_bounded(archive: zipfile.ZipFile, headers: Mapping[str, ArrayHeader]) -> None:
    """Members that share their bytes count each: the bound is that of the whole file."""
    stored = os.fstat(archive.fp.fileno()).st_size if archive.fp else 0
    unpacked = sum(math.prod(h.shape) * h.dtype.itemsize for h in headers.values())
    if unpacked > FREE_BYTES + MAX_RATIO * stored:
        raise ValueError(
            f"its {stored} bytes unpack to {unpacked}: write them with numpy.savez, unpacked"
        )


def _fields(classes: ImageClasses) -> dict[str, np.ndarray]:
    return {
        "images": np.ascontiguousarray(classes.images),
        "names": np.array(classes.names, np.str_),
        "count": np.asarray(classes.count, np.int32),
        "groups": np.array(classes.groups, np.str_),
    }


def _classes(arrays: Mapping[str, np.ndarray], split: str) -> ImageClasses:
    images, names, count, groups = (arrays[f"{split}/{field}"] for field in FIELDS)
    return from_counts(images, names.tolist(), count.tolist(), groups.tolist())


def _digest(arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> str:
    """SHA-256 of the settings and of every array: name, type, shape, bytes."""
    digest = hashlib.sha256(json.dumps([FORMAT, settings], sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.nbytes else b"")
    return digest.hexdigest()


def _about(text: np.ndarray | None) -> dict[str, Any]:
    """What the file says about itself, {} if nothing."""
    try:
        about = json.loads(str(text))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
