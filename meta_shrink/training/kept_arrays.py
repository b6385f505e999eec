"""Arrays that are kept in files until they are needed; what is damaged counts as not there."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from meta_shrink.durable_files import check_writable, open_file, write_atomically
from meta_shrink.errors import unwritable
from meta_shrink.images.npz_file import NPZ_ERRORS


def write_arrays(path: str, values: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    stream = io.BytesIO()
    np.savez(stream, **values)
    write_atomically(path, stream.getvalue())


def read_arrays(path: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None if it is missing or damaged."""
    try:
        with open_file(path) as content, np.load(content, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except NPZ_ERRORS:
        return None
    # Of what does not begin as an array, NumPy gives the bytes.
    return found if all(isinstance(value, np.ndarray) for value in found.values()) else None


def require_writable(folder: str) -> None:
    """A folder for what takes long to compute, made if missing.

    Raises:
      UsageError, DiskError: it cannot be written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        check_writable(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
