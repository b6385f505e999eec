"""A folder or a ZIP file as names and bytes: nothing is extracted."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError

MAX_FILE_BYTES = 256 * 2**20
MAX_VISITS = 1000  # Of one folder, by links.
_ENCRYPTED = 1  # Bit of a member's flags.
_LITTER = ("thumbs.db", "desktop.ini", "@eadir", "$recycle.bin")
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


def inside(tree: FileTree, folder: str) -> FileTree:
    """What is below a folder of a tree, by names from there."""
    start = f"{folder}/"
    names = (name.removeprefix(start) for name in tree.names if name.startswith(start))
    return FileTree(
        os.path.join(tree.path, folder),
        tuple(name for name in names if name),
        lambda name: tree.read(start + name),
    )


def outer_folder(tree: FileTree) -> str | None:
    """The folder that is around everything, if there is one."""
    tops = {name.split("/")[0] for name in tree.names}
    is_folder = all("/" in name for name in tree.names)
    return tops.pop() if len(tops) == 1 and is_folder else None


def is_hidden(name: str) -> bool:
    """Whether a path has a part that programs leave behind, and nobody put there on purpose."""
    return any(
        part.startswith((".", "__MACOSX")) or part.lower() in _LITTER for part in name.split("/")
    )


def folder_tree(path: str) -> FileTree:
    """The files below a folder, through links too.

    Raises:
      DataError: it cannot be listed.
    """
    start = os.path.join(path, "")
    names = tuple(sorted(name.removeprefix(start) for name in _walk(path) if name != start))

    def read(name: str) -> bytes:
        try:
            return _content(os.path.join(path, name))
        except OSError as error:
            why = error.strerror or error
            raise DataError(f"{name} in {path} cannot be read ({why}).") from error

    return FileTree(path, names, read)


def _content(path: str) -> bytes:
    """Of a regular file, maybe through links; a pipe would wait for its writer."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise OSError(f"it has {size} bytes: too many")
        return file.read(MAX_FILE_BYTES)


def _walk(path: str) -> Iterator[str]:
    """Visible files and folders below a folder; of one that a link leads up to, not again."""
    around: dict[str, tuple[tuple[int, int], ...]] = {}  # Folder -> those that it stands in.
    visits: Counter[tuple[int, int]] = Counter()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_cannot_list):
        status = os.stat(folder)
        own, outer = (status.st_dev, status.st_ino), around.pop(folder, ())
        if own in outer:
            folders.clear()
            continue
        visits[own] += 1
        if visits[own] > MAX_VISITS:
            raise DataError(f"{path} has links in circles, through {folder}: remove them.")
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        around |= dict.fromkeys((os.path.join(folder, name) for name in folders), (*outer, own))
        yield from (os.path.join(folder, name) for name in files if not is_hidden(name))
        yield os.path.join(folder, "")


def _cannot_list(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}).") from error


@contextmanager
def zip_tree(path: str) -> Iterator[FileTree]:
    """The members of a ZIP file; a backslash in a name, as Windows writes it, is a slash.

    Raises:
      DataError: it is no whole ZIP file, has two files of one name, or one that leads out of it.
    """
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_file(path))))
        except ZIP_ERRORS as error:
            raise DataError(f"{path} is not a whole ZIP file ({_why(error)}).") from error
        members = _named(archive, path)
        yield FileTree(
            path, tuple(sorted(members)), lambda name: _member(archive, members[name], path)
        )


def _named(archive: zipfile.ZipFile, path: str) -> dict[str, zipfile.ZipInfo]:
    """The members by their names without "./" and "//"."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        parts = member.filename.replace("\\", "/").split("/")
        if ".." in parts:
            raise DataError(f"{member.filename} in {path} leads out of it: zip its folder again.")
        end = "" if parts[-1] else "/"
        name = "/".join(part for part in parts if part not in ("", ".")) + end
        if name in members and not end:
            raise DataError(f"{path} has two files of the name {name}: zip its folder again.")
        if name != end and not is_hidden(name):
            members[name] = member
    return members


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> bytes:
    if member.file_size > MAX_FILE_BYTES:
        raise DataError(f"{member.filename} in {path} has {member.file_size} bytes: too many.")
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"{member.filename} in {path} is encrypted: zip it without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Others unpack without a bound.
        raise DataError(f"{member.filename} in {path} is packed by another method: zip it again.")
    try:
        return archive.read(member)
    except ZIP_ERRORS as error:
        raise DataError(f"{member.filename} in {path} is damaged ({_why(error)}).") from error


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
