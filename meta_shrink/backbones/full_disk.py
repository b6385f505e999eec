"""What TensorFlow says where it cannot write a file, as an error of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from meta_shrink.errors import DiskError, unwritable
from meta_shrink.runs.checkpoints import first_line


@contextmanager
def full_disk_told(place: str) -> Iterator[None]:
    """Within the block TensorFlow writes files to a place.

    Raises:
      DiskError: no room, or a broken disk.
      UsageError: the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(place, error) from error
    except tf.errors.OpError as error:
        # TensorFlow's file systems name the file; what does not is of computing (no memory, say).
        if place not in (told := error.message or "") and "No space left" not in told:
            raise
        raise DiskError(
            f"{place} cannot be written ({first_line(error)}): free some space, and the same "
            "command goes on."
        ) from error
