"""Tables in the manner of LJSpeech: read as they were meant, or refused."""

from __future__ import annotations

import pytest

from meta_shrink import DataError
from meta_shrink.speech.recordings import Place
from meta_shrink.speech.tables import table_recordings

FILES = {name: Place(name) for name in ("c/wavs/a.wav", "c/wavs/b.flac", "c/d.WAV")}


def rows(table: str) -> list[tuple[str, str, str]]:
    found = table_recordings(table, "c/metadata.csv", "ann", FILES, "corpus")
    return [(one.utterance, one.text, one.place.path) for one in found]


A, B = ("a", "one", "c/wavs/a.wav"), ("b", "two", "c/wavs/b.flac")


@pytest.mark.parametrize(
    "table",
    [
        "a|one\nb|two",
        "a|1|one\nb|2|two",
        "a|one|\nb|two| ",
        "a|one|one\nb|1,000|two",
        "a.wav|one\nb.flac|two",
        "wavs/a.wav|one\nwavs/b.flac|two",
        "wavs/a|one\n./wavs/b.flac|two",
        "wavs\\a.wav|one\r\nwavs\\b.flac|two\r\n",
        '"a"|"one"\n"b"|"two"',
        '"wavs/a.wav"|"one"|"one"\n"b"|"two"|""',
        " a | one \nb |two",
    ],
)
def test_what_is_meant_is_read(table):
    assert rows(table) == [A, B]


def test_quotes_are_those_of_the_text_unless_names_are_quoted():
    assert rows('a|"one\nb|two"') == [("a", '"one', A[2]), ("b", 'two"', B[2])]
    assert rows('"a"|"say ""one"" | now"') == [("a", 'say "one" | now', A[2])]


def test_sounds_beside_the_table_and_missing_ones():
    assert rows("d|one") == [("d", "one", "c/d.WAV")]
    assert rows("../x|one") == [("x", "one", "c/wavs/../x of c/metadata.csv of corpus")]


@pytest.mark.parametrize(
    "table",
    [
        "a|hello there|bob\nb|good morning|bob",
        "a|hello there|bob\nb|good morning|ann\nd|well, bob|bob",
        "a|bob|hello there\nb|ann|good morning",
        "a|hello there|happy",
    ],
)
def test_columns_of_something_else_are_refused(table):
    with pytest.raises(DataError, match="the third has no word of the second: 'a"):
        rows(table)
