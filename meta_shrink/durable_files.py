"""Files of a run that survive kills, full disks and power loss (whole files)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: str, content: bytes) -> None:
    """Write a whole file and make its bytes durable (not its name: `sync_directory`)."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: str, content: bytes) -> None:
    """Replace a file: at every instant, power loss included, it is the old one or the new one."""
    temporary = f"{path}.tmp"
    try:
        write_durably(temporary, content)
        os.replace(temporary, path)
    except OSError:
        remove_file(temporary)
        raise
    sync_directory(os.path.dirname(os.path.abspath(path)))


def remove_file(path: str) -> None:
    """Remove a file if it is there."""
    try:
        os.remove(path)
    except FileNotFoundError:
        return


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
