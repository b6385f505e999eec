"""metadata.csv of LJSpeech: name of a file | what is written | what is said."""

from __future__ import annotations

import csv
import posixpath
import re
import unicodedata
from collections.abc import Mapping, Sequence

from meta_shrink.errors import DataError
from meta_shrink.speech.recordings import ENDINGS, Place, Recording, Unreadable

# What str.splitlines takes for an end beside these may stand within a text.
LINE_ENDS = re.compile(r"\r\n|\r|\n")
_MOST_COLUMNS = 3
_WORD, _DIGIT = re.compile(r"\w+"), re.compile(r"\d")


def table_recordings(
    table: str, path: str, speaker: str, places: Mapping[str, Place], where: str
) -> list[Recording]:
    """The recordings that a table lists; what is not among the files is left out when it is read.

    Args:
      table, path: the text of the table and its place among the files.

    Raises:
      DataError: it is of other columns.
    """
    root = posixpath.dirname(path)
    recordings = []
    for key, text in _rows(table, path, where):
        file = key if key in places else key.replace("\\", "/")
        options = [
            located(places, posixpath.join(root, sub), f"{file}{end}")
            for sub in ("wavs", "")
            for end in (*ENDINGS, "")
        ]
        found = [places[o] for o in options if o in places and o.endswith(ENDINGS)]
        name = unicodedata.normalize("NFC", posixpath.basename(file))
        stem, ending = posixpath.splitext(name)
        name = stem if ending in ENDINGS else name
        there = f"{posixpath.join(root, 'wavs', file)} of {path} of {where}"
        missing = Unreadable(there, "is not there.")
        recordings += [Recording(speaker, name, text, "", place) for place in found or [missing]]
    return recordings


def located(files: Mapping[str, Place], root: str, path: str) -> str:
    """The name among the files of a path from a folder, whatever its slashes and the spelling of
    its letters (NFC, NFD); what is not there is its own name."""
    plain = posixpath.normpath(posixpath.join(root, path.replace("\\", "/")))
    forms = (unicodedata.normalize(form, plain) for form in ("NFC", "NFD"))
    exact = posixpath.normpath(posixpath.join(root, path))
    return next((name for name in (exact, plain, *forms) if name in files), plain)


def _rows(table: str, path: str, where: str) -> list[tuple[str, str]]:
    """(name, text as spoken) of each line; none of a table of something else, without any bar."""
    lines = [line for line in LINE_ENDS.split(table) if line.strip()]
    if "|" not in table:
        return []
    # LJSpeech has quotes within its texts; where all names are in quotes, fields are.
    is_quoted = all(line.startswith('"') for line in lines)
    rows = [_quoted(line) if is_quoted else line.split("|") for line in lines]
    odd = [
        line for line, row in zip(lines, rows, strict=True) if not 2 <= len(row) <= _MOST_COLUMNS
    ]
    if odd:
        raise DataError(
            f"{path} of {where} has a line of other columns than name|text or name|text|text as "
            f"spoken: {odd[0][:200]!r}."
        )
    _require_spoken(rows, f"{path} of {where}")
    return [(row[0].strip(), row[-1].strip() or row[1].strip()) for row in rows]


def _quoted(line: str) -> list[str]:
    return next(csv.reader([line], delimiter="|"))


def _require_spoken(rows: Sequence[Sequence[str]], where: str) -> None:
    """Refuse a third column that is no text as spoken: most of its lines share no word with the
    second, though that has no number to be written out.
    """
    judged = [row for row in rows if len(row) == _MOST_COLUMNS and row[2].strip()]
    words = [[set(_WORD.findall(text.lower())) for text in row[1:]] for row in judged]
    odd = [
        row
        for row, (written, said) in zip(judged, words, strict=True)
        if not written & said and not _DIGIT.search(row[1])
    ]
    if len(odd) > len(judged) / 2:
        raise DataError(
            f"{where} has columns that are not name|text|text as spoken, as the third has no word "
            f"of the second: {'|'.join(odd[0])[:200]!r}. Say who speaks in a metadata.jsonl."
        )
