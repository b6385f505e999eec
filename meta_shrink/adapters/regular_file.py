"""Reading a file that somebody else made: a regular one, no longer than expected, once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from meta_shrink.errors import AdapterError

# Not through a link; not inherited; not waiting for the writer of a pipe; no terminal taken over.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def read_regular_file(
    path: str,
    max_bytes: int,
    *,
    start_bytes: int = 0,
    check_start: Callable[[bytes, int], object] | None = None,
) -> bytes:
    """The content of a file.

    check_start: called with the first `start_bytes` and the size of a file that is longer than
    they are, before the rest is read; it raises where the file is not worth it.

    Raises:
      AdapterError: "not_found", "file" or "size".
    """
    with _opened(path) as (descriptor, size):
        if size > max_bytes:
            raise AdapterError(
                "size", f"{path} has {size} bytes, and at most {max_bytes} are allowed."
            )
        if check_start is not None and size > start_bytes:
            check_start(os.pread(descriptor, start_bytes, 0), size)
        return _read(descriptor, path, size)


def read_start(path: str, num_bytes: int) -> tuple[bytes, int]:
    """(The first bytes of a file, so many at most, how long it is).

    Raises:
      AdapterError: "not_found" or "file".
    """
    with _opened(path) as (descriptor, size):
        return os.pread(descriptor, num_bytes, 0), size


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, int]]:
    """(Descriptor, size) of a regular file."""
    descriptor = _open(path)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise AdapterError("file", f"{path} is not a regular file: name the adapter itself.")
        yield descriptor, facts.st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError as error:
        raise AdapterError("not_found", f"{path} does not exist: check the name.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name.
        if os.path.islink(path):
            raise AdapterError(
                "file", f"{path} is a symbolic link: name the file it points to."
            ) from error
        raise _unreadable(path, error) from error


def _read(descriptor: int, path: str, size: int) -> bytes:
    """`size` bytes; one more is asked for, to see that the file does not grow."""
    parts, missing = [], size + 1
    while missing and (part := os.read(descriptor, missing)):
        parts.append(part)
        missing -= len(part)
    if missing != 1:
        raise AdapterError("size", f"{path} changed while it was read: load it again.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unreadable(path: str, error: Exception) -> AdapterError:
    reason = getattr(error, "strerror", None) or error
    return AdapterError("file", f"{path} cannot be read ({reason}): check its permissions.")
