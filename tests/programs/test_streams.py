"""What is printed is seen, or costs nothing: letters that a terminal has not, closed streams."""

from __future__ import annotations

import io

import pytest

from meta_shrink.programs.streams import Forgiving


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [
        ("ascii", "\\u03c3\\xb2 1.5\n"),
        ("latin-1", "\\u03c3\xb2 1.5\n"),
        ("utf-8", "\u03c3\xb2 1.5\n"),
    ],
)
def test_letters_that_a_terminal_has_not_stand_as_their_numbers(encoding, seen):
    there = io.BytesIO()
    stream = Forgiving(io.TextIOWrapper(there, encoding=encoding))
    print("\u03c3\xb2 1.5", file=stream, flush=True)
    assert there.getvalue().decode(encoding) == seen


def test_a_closed_stream_drops_what_is_written():
    stream = Forgiving(closed := io.TextIOWrapper(io.BytesIO()))
    closed.close()
    print("\u03c3", file=stream, flush=True)
