"""Large files that are whole or not there, and one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Callable, Iterator
from typing import IO

from meta_shrink.durable_files import open_regular, remove_file, sync_directory


def publish(path: str, write: Callable[[IO[bytes]], object]) -> None:
    """Replaces a file by what `write` puts into it; at every instant it is the old or the new."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too.
        remove_file(temporary)
        raise
    sync_directory(os.path.dirname(os.path.abspath(path)))


@contextlib.contextmanager
def only_maker_of(path: str) -> Iterator[None]:
    """While a file is made: other processes wait; what a killed one left of it is removed.

    The lock is <path>.lock, an empty file that stays; it is free when its process has ended.
    """
    with os.fdopen(open_regular(f"{path}.lock", os.O_WRONLY | os.O_CREAT), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in glob.glob(f"{glob.escape(path)}.*.tmp"):
            remove_file(leftover)
        yield
