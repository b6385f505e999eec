"""Files of a run that survive kills, full disks and power loss (whole files)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Mapping
from typing import IO, Any

ROOM_BYTES = 2**18
_TEMPORARY = re.compile(r"(.+?)(?:\.[0-9a-f]{8})?\.tmp")
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str, flags: int, *, links: bool = False) -> int:
    """Descriptor of a regular file; a folder that somebody else made can hold anything.

    A symbolic link is not followed (it could lead anywhere) unless links; the opening of a pipe
    does not wait for its other end.

    Raises:
      OSError: it cannot be opened, or is something else; the text says what.
    """
    quiet = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags | quiet, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):
            raise _is_link(path) from error
        if error.errno == errno.ENXIO:  # A pipe without a reader.
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _not_regular(path: str) -> OSError:
    return OSError(errno.EINVAL, "it is not a regular file", path)


def _is_link(path: str) -> OSError:
    return OSError(errno.ELOOP, "it is a symbolic link, which could lead anywhere", path)


def open_file(path: str) -> IO[bytes]:
    """A regular file to read, also through a link; OSError as `open_regular`."""
    return os.fdopen(open_regular(path, os.O_RDONLY, links=True), "rb")


def read_file(path: str) -> bytes:
    """The content of a regular file, also through a link.

    Raises:
      OSError: it cannot be read, or is something else.
    """
    with open_file(path) as file:
        return file.read()


def read_json(path: str) -> Any:
    """What a JSON file holds.

    Raises:
      OSError: as read_file.
      ValueError: it is not JSON, or nested too deeply.
    """
    return parse_json(read_file(path))


def parse_json(content: bytes | str) -> Any:
    """As json.loads, whose one exception that is no ValueError becomes one."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def real_directory(path: str) -> None:
    """Make a folder if there is none.

    Raises:
      OSError: it cannot be made, or a symbolic link stands there, which could lead anywhere.
    """
    refuse_link(path)
    os.makedirs(path, exist_ok=True)


def refuse_link(path: str) -> None:
    """Raises OSError where a symbolic link stands."""
    if os.path.islink(path):
        raise _is_link(path)


def check_writable(directory: str) -> None:
    """Before work whose result goes there.

    Raises:
      OSError: there is no room for a file of some size in the folder.
    """
    path = os.path.join(directory, f".room.{secrets.token_hex(4)}.tmp")
    try:
        write_durably(path, bytes(ROOM_BYTES))
    finally:
        remove_file(path)


def write_durably(path: str, content: bytes) -> None:
    """Write a whole file and make its bytes durable (not its name: `sync_directory`)."""
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def write_atomically(path: str, content: bytes) -> None:
    """Replace a file: at every instant, power loss included, it is the old one or the new one.

    Each writer has a temporary file of its own, locked while it is written: what a kill has left
    can be told from one that another process is writing (remove_leftovers).
    """
    descriptor, temporary = _own_temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            os.replace(temporary, path)
    except BaseException:  # Ctrl-C too.
        remove_file(temporary)
        raise
    sync_directory(os.path.dirname(os.path.abspath(path)))


def _own_temporary(path: str) -> tuple[int, str]:
    while True:
        temporary = f"{path}.{secrets.token_hex(4)}.tmp"
        descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with contextlib.suppress(OSError):  # A file system without locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(temporary):  # Nobody took it for a leftover before it had its lock.
            return descriptor, temporary
        os.close(descriptor)


def remove_leftovers(directory: str, *names: str) -> None:
    """Remove what killed writers of files with these names (patterns) have left in a folder."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            mine = match and any(fnmatch.fnmatchcase(match[1], name) for name in names)
            if mine and not _is_being_written(entry.path):
                remove_file(entry.path)


def _is_being_written(path: str) -> bool:
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except OSError:  # Nothing that a writer has made.
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def sync_file(path: str) -> None:
    """Make the bytes of a file durable."""
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_whole(path: str, content: bytes, *, durably: bool = False) -> None:
    """Append whole lines or nothing; cut off first what a crash left of a line.

    Raises:
      OSError: there was no room, or the file is a link or no file.
    """
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            size = os.pread(descriptor, size, 0).rfind(b"\n") + 1
            os.ftruncate(descriptor, size)
        try:
            if os.write(descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if durably:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def remove_file(path: str) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def to_json(value: Any) -> Any:
    """The value as standard JSON knows it: arrays as lists, non-finite floats as "inf", "nan"."""
    if hasattr(value, "numpy"):  # A tensor or a variable.
        value = value.numpy()
    if hasattr(value, "tolist"):  # A NumPy array or scalar.
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_json(value: Any) -> Any:
    """Inverse of `to_json`, except that tuples and arrays stay lists."""
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
