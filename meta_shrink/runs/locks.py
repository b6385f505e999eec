"""One process at a time in a folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from meta_shrink.durable_files import open_regular
from meta_shrink.errors import InUseError


def hold_lock(path: str) -> int:
    """Descriptor of a lock file that this process holds until it closes it or ends.

    Raises:
      InUseError: another process holds it.
      OSError: the file cannot be made.
    """
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InUseError(
            f"{os.path.dirname(path)} is in use by process {holder}: wait for it, stop it, or "
            "choose another folder."
        ) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def only_process_in(directory: str) -> Iterator[None]:
    """One process at a time in a folder.

    Raises:
      InUseError: another one is at it.
      OSError: the folder cannot be written.
    """
    lock = hold_lock(os.path.join(directory, ".lock"))
    try:
        yield
    finally:
        os.close(lock)
