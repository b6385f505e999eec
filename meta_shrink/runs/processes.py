"""How many processes a program may start beside itself."""

from __future__ import annotations

from meta_shrink.errors import UsageError

MOST_PROCESSES = 256  # Each is a TensorFlow, with files and memory of its own.


def check_processes(count: int) -> None:
    """Raises UsageError if so many processes cannot share work."""
    if not 1 <= count <= MOST_PROCESSES:
        raise UsageError(f"processes is {count}; expected 1 to {MOST_PROCESSES}.")
