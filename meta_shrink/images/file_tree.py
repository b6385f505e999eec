"""A folder or a ZIP file as names and bytes: nothing is extracted."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from meta_shrink.errors import DataError

MAX_FILE_BYTES = 256 * 2**20
# What zipfile raises on archives that are cut off, flipped, encrypted or of an unknown method.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
ZIP_ERRORS += (MemoryError, OverflowError, KeyError)


class FileTree(NamedTuple):
    """Files below a folder, or in a ZIP file.

    names: relative paths with "/", sorted, without hidden files; those of folders end with "/".
    read: name -> bytes; DataError if that fails.
    """

    path: str
    names: tuple[str, ...]
    read: Callable[[str], bytes]


def folder_tree(path: str) -> FileTree:
    """The files below a folder, through links too.

    Raises:
      DataError: it cannot be listed.
    """
    start = os.path.join(path, "")
    names = tuple(sorted(name.removeprefix(start) for name in _walk(path) if name != start))

    def read(name: str) -> bytes:
        try:
            with open(os.path.join(path, name), "rb") as file:
                return file.read()
        except OSError as error:
            raise DataError(f"{name} in {path} cannot be read ({error.strerror}).") from error

    return FileTree(path, names, read)


def _walk(path: str) -> Iterator[str]:
    """Visible files and folders below a folder, each folder once: a link may lead upwards."""
    seen = set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_cannot_list):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(folder, name) for name in files if not name.startswith("."))
        yield os.path.join(folder, "")


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}).") from error


@contextmanager
def zip_tree(path: str) -> Iterator[FileTree]:
    """The members of a ZIP file; a single folder around everything is left out of the names.

    Raises:
      DataError: it is no whole ZIP file.
    """
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise DataError(f"{path} is not a whole ZIP file ({_why(error)}).") from error
    with archive:
        members = {m.filename: m for m in archive.infolist() if _is_visible(m.filename)}
        around = {name.split("/")[0] for name in members if "/" in name}
        outer = around.pop() + "/" if len(around) == 1 else ""
        if not outer or not all(name.startswith(outer) for name in members):
            outer = ""
        names = tuple(sorted(name.removeprefix(outer) for name in members if name != outer))
        yield FileTree(path, names, lambda name: _member(archive, members[outer + name], path))


def _is_visible(name: str) -> bool:
    """Whether a member is one that people put there."""
    return not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> bytes:
    if member.file_size > MAX_FILE_BYTES:
        raise DataError(f"{member.filename} in {path} has {member.file_size} bytes: too many.")
    try:
        return archive.read(member)
    except ZIP_ERRORS as error:
        raise DataError(f"{member.filename} in {path} is damaged ({_why(error)}).") from error


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
