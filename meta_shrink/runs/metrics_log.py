"""The rows of a run, one JSON line each, that survive kills, full disks and power loss."""

from __future__ import annotations

import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meta_shrink.durable_files import (
    append_whole,
    from_json,
    parse_json,
    read_file,
    sync_file,
    to_json,
    write_atomically,
)
from meta_shrink.errors import ArtefactError, unwritable

MAX_WAITING_ROWS = 10_000


class MetricsLog:
    """A JSON-lines file of rows, {"step": meta-step, name: number}, keys sorted, one write each.

    read_only: rows are dropped (every process of a job but its chief).
    """

    def __init__(
        self, path: str, *, read_only: bool = False, log: Callable[[str], object] = print
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._log = log
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING_ROWS)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row. On a full disk it waits in memory for a later append; the run goes on."""
        if self._read_only:
            return
        line = json.dumps(to_json(row), sort_keys=True, allow_nan=False)
        self._waiting.append(line.encode() + b"\n")
        self._write_waiting()

    def _write_waiting(self) -> None:
        try:
            append_whole(self.path, b"".join(self._waiting))
        except OSError as error:
            if len(self._waiting) == 1:  # Once for each time that the disk fills up.
                self._log(f"{self.path} cannot be written ({error.strerror}): rows wait in memory.")
            return
        self._waiting.clear()

    def sync(self) -> None:
        """Make the rows durable: call it before a checkpoint, which must not outlive its rows."""
        if self._waiting:
            self._write_waiting()
        if self._read_only or not os.path.exists(self.path):
            return
        try:
            sync_file(self.path)
        except OSError as error:
            self._log(f"{self.path} could not be synced ({error.strerror}).")

    def rewind(self, step: int) -> None:
        """Drop the rows after this meta-step and lines that a crash tore; -1 drops every step."""
        if self._read_only:
            return
        self._waiting.clear()
        lines = _lines(self.path)
        kept = [line for line in lines if _is_until(line, step)]
        if kept == lines:
            return
        if damaged := sum(_row(line) is None for line in lines[:-1]):
            self._log(f"{self.path}: {damaged} damaged lines are dropped.")
        try:
            write_atomically(self.path, b"".join(kept))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows in order; a torn last line is left out.

        Raises:
          ArtefactError: another line is not a row.
        """
        lines = _lines(self.path)
        for number, line in enumerate(lines, 1):
            row = _row(line)
            if row is not None:
                yield from_json(row)
            elif number < len(lines):
                raise ArtefactError(f"Line {number} of {self.path} is damaged: restore the file.")


def _lines(path: str) -> list[bytes]:
    """Lines of a file with their ends, none if there is no file."""
    try:
        return io.BytesIO(read_file(path)).readlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read ({error.strerror}): restore it.") from error


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line, None if the line is not a whole one."""
    try:
        row = parse_json(line)
    except ValueError:  # Bad JSON and bad UTF-8 alike.
        return None
    return row if isinstance(row, dict) and line.endswith(b"\n") else None


def _is_until(line: bytes, step: int) -> bool:
    row = _row(line)
    at = step if row is None else row.get("step", step)
    return row is not None and isinstance(at, int | float) and at <= step
