"""What a server is given, checked before it starts.

A number that is NaN, infinite or huge would hang one of its threads, or end it without a word.
"""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any

from meta_shrink.errors import UsageError

MAX_BATCH = 2**16  # Rows; the network runs once on so many before the first request.
MAX_COUNT = 2**31
MAX_VOICES = 2**20
MAX_BODY_BYTES = 2**40
MAX_DELAY_MS = 60_000.0
MAX_SECONDS = 3600.0
MAX_GRACE_SECONDS = 86_400.0


def check_count(name: str, value: Any, *, most: int = MAX_COUNT) -> None:
    """Refuses what is no whole number from 1 to `most`.

    Raises:
      UsageError: it is none.
    """
    number: Any = value if isinstance(value, Integral) and not isinstance(value, bool) else 0
    if not 1 <= number <= most:
        raise UsageError(f"{name} is {value!r}; expected a whole number from 1 to {most}.")


def check_time(name: str, value: Any, *, most: float, zero: bool = False) -> None:
    """Refuses what is no number above 0 (from 0 where `zero`) and at most `most`.

    A lock that is to wait for infinity, or for longer than it can count, raises in its thread.

    Raises:
      UsageError: it is none.
    """
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else -1
    if not (0 < number <= most or (zero and number == 0)):  # Both are false of NaN.
        least = "from 0" if zero else "above 0"
        raise UsageError(f"{name} is {value!r}; expected a number {least} and at most {most:g}.")


def checked_directory(directory: str | os.PathLike[str]) -> str:
    """The absolute path of the folder of the adapters.

    Each load refuses a link (`adapter_path`): the start does, so that no server begins that could
    answer nobody.

    Raises:
      UsageError: it is none, or a link.
    """
    path = os.path.abspath(directory)
    if not os.path.isdir(path):
        raise UsageError(f"{directory} is no directory: name the one that holds the adapters.")
    if os.path.islink(path):
        raise UsageError(
            f"{directory} is a symbolic link, which could lead anywhere: name the directory that "
            "it points to."
        )
    return path
