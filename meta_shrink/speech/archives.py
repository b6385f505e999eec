"""The files of a corpus as trees: its folder, and each tar in it, read where it lies."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable
from typing import NamedTuple

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.file_tree import folder_tree, is_hidden
from meta_shrink.speech.recordings import PACKED_ERRORS, Place, unpacked

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
# Archives that are not read.
_OTHERS = (".zip", ".7z", ".rar", ".tar.zst", ".tzst", ".tar.lz", ".tar.lzma", ".tar.z")
MOST_UNPACKED = 20 * 10**9  # A few minutes of gzip.
_ABOVE = re.compile(r"^(?:\.{0,2}/)+")  # Of a name in a tar.


class Tree(NamedTuple):
    """A folder or a tar: its path, and relative name -> place of the files that are not hidden."""

    path: str
    files: dict[str, Place]

    @property
    def name(self) -> str:
        """Its own name without the ending of a tar."""
        name = os.path.basename(os.path.abspath(self.path))
        ends = [len(end) for end in TARS if name.lower().endswith(end)]
        return name if os.path.isdir(self.path) else name[: len(name) - max(ends, default=0)]

    def unread_archives(self) -> list[str]:
        """The archives in it that are not read; in a tar, no other is."""
        others = _OTHERS if os.path.isdir(self.path) else (*_OTHERS, *TARS)
        return [name for name in self.files if name.lower().endswith(others)]


def trees(source: str) -> list[Tree]:
    """The tree of a folder, then of each tar in it; or that of a tar.

    Raises:
      DataError: a folder cannot be listed, or a tar is none or damaged.
    """
    if not os.path.isdir(source):
        return [Tree(source, _members(source))]
    names = [name for name in folder_tree(source).names if not name.endswith("/")]
    files = {name: Place(os.path.join(source, name)) for name in names}
    tars = [files[name].path for name in names if name.lower().endswith(TARS)]
    return [Tree(source, files), *(Tree(path, _members(path)) for path in tars)]


def _members(path: str) -> dict[str, Place]:
    """The files of a tar; they are read where they lie and never unpacked to their names."""
    try:
        with open_file(path) as file:
            whole = unpacked(file)
            with tarfile.open(fileobj=whole, mode="r:") as archive:
                members = {os.path.normpath(member.name): member for member in archive}
            compressed = whole is not file
            _check_reading(path, members.values() if compressed else ())
            while compressed and whole.read(2**20):  # To the checksum at the end.
                pass
    except (tarfile.TarError, *PACKED_ERRORS) as error:
        raise DataError(
            f"{path} is not a whole tar ({error}): expected a folder, or a tar as it is or packed "
            "by gzip, bzip2 or xz; unpack other archives."
        ) from error
    targets = {name: members.get(_target(member)) for name, member in members.items()}
    return {
        name: Place(path, member.offset_data, member.size, compressed)
        for name, member in targets.items()
        if member and member.isfile() and not is_hidden(_ABOVE.sub("", name))
    }


def _check_reading(path: str, members: Iterable[tarfile.TarInfo]) -> None:
    """A file of a packed tar is read from the tar's beginning."""
    most = sum(member.offset_data + member.size for member in members)
    if most > MOST_UNPACKED:
        raise DataError(
            f"{path} is packed, so that each of its files is read from its beginning: "
            f"{most / 1e9:,.0f} GB in all, {MOST_UNPACKED / 1e9:,.0f} at most. Unpack it (tar -xf) "
            "and give the folder; a plain .tar is read where it lies."
        )


def _target(member: tarfile.TarInfo) -> str:
    """The name of the member that has the bytes, for a link another one."""
    name = member.linkname if member.islnk() or member.issym() else member.name
    folder = os.path.dirname(member.name) if member.issym() else ""
    return os.path.normpath(os.path.join(folder, name))
