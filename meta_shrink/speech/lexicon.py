"""How words are said that a dictionary lacks or says otherwise: files of a word and its phones."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from meta_shrink.durable_files import read_file
from meta_shrink.errors import DataError
from meta_shrink.speech.alignment import APOSTROPHES
from meta_shrink.speech.descriptions import LINE_ENDS

LEXICON = "lexicon.txt"
_WORD = re.compile("[A-Za-z]+(?:'[A-Za-z]+)*'?")  # As words_of takes texts apart.


def chosen_lexicon(
    path: str | None, *, log: Callable[[str], Any] = print
) -> dict[str, tuple[str, ...]]:
    """As read_lexicon, of a file that somebody named; {} for None.

    Raises:
      DataError: it does not exist, is no text, or has no word with its phones.
    """
    if path is None:
        return {}
    if not os.path.isfile(path):
        raise DataError(f"The lexicon {path} does not exist, or is a folder.")
    if found := read_lexicon(path, log=log):
        return found
    raise DataError(f"The lexicon {path} has no line WORD PHONE PHONE ...: write some.")


def read_lexicon(path: str, *, log: Callable[[str], Any] = print) -> dict[str, tuple[str, ...]]:
    """Word in capitals -> its phones without stress; {} where there is no file.

    Each line is a word, a tab or spaces, and its ARPAbet phones; the first line of a word counts.

    Args:
      log: told which lines are of no use, as they have no phones or their word is none that a text
        is taken apart into (one with a hyphen is two).

    Raises:
      DataError: it is no text in UTF-8.
    """
    lexicon: dict[str, tuple[str, ...]] = {}
    unused = []
    for line in _lines(path):
        word, *phones = line.translate(APOSTROPHES).split()
        if phones and _WORD.fullmatch(word):
            lexicon.setdefault(word.upper(), tuple(p.rstrip("012") for p in phones))
        else:
            unused.append(word)
    if unused:
        log(
            f"{len(unused)} line(s) of {path} have no phones, or no word as texts are taken apart "
            f"into words, and change nothing: {', '.join(unused[:3])}"
            f"{', ...' if len(unused) > 3 else ''}"
        )
    return lexicon


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    try:
        lines = LINE_ENDS.split(read_file(path).decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no lexicon in UTF-8 ({error}).") from error
    return [line for line in lines if line.strip()]
