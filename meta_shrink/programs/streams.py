"""Standard output and error that can always be written."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


def open_standard_streams() -> None:
    """Make stdout and stderr streams that can always be written.

    A closed pipe, a full disk or a closed terminal ends what is shown, not the work. Where 0, 1 or
    2 is closed, the next file to be opened would be taken for it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115
        if isinstance(stream, io.TextIOWrapper):  # Lines in order with those of the progress.
            stream.reconfigure(line_buffering=True)
            setattr(sys, name, Forgiving(stream))


class Forgiving:
    """A text stream that drops what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop, the text; letters that the terminal has not as their numbers."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed.
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                told = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
                self._stream.write(told)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
