"""How words are said that a dictionary lacks or says otherwise: files of a word and its phones."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from meta_shrink.errors import DataError, first_names
from meta_shrink.speech.alignment import plain_text
from meta_shrink.speech.recordings import Place
from meta_shrink.speech.tables import LINE_ENDS

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
    return read_lexicon(Place(path), log=log)


def read_lexicons(
    places: Sequence[Place], *, log: Callable[[str], Any] = print
) -> dict[str, tuple[str, ...]]:
    """As read_lexicon, of several files; the first that has a word counts."""
    found: dict[str, tuple[str, ...]] = {}
    for place in places:
        found = {**read_lexicon(place, log=log), **found}
    return found


def read_lexicon(place: Place, *, log: Callable[[str], Any] = print) -> dict[str, tuple[str, ...]]:
    """Word in capitals -> its phones without stress.

    Each line is a word, a tab or spaces, and its ARPAbet phones; the first line of a word counts.

    Args:
      log: told which lines are of no use, as they have no phones, say a word otherwise that an
        earlier line says, or their word is none that a text is taken apart into (one with a hyphen
        is two).

    Raises:
      DataError: it is no text in UTF-8, or none of its lines is of use.
    """
    lexicon: dict[str, tuple[str, ...]] = {}
    unused, again = [], []
    for line in _lines(place):
        word, *phones = plain_text(line).split()
        if phones and _WORD.fullmatch(word):
            said = tuple(p.rstrip("012") for p in phones)
            if lexicon.setdefault(word.upper(), said) != said:
                again.append(word)
        else:
            unused.append(word)
    if not lexicon:
        raise DataError(
            f"The lexicon {place.path} has no line WORD PHONE PHONE ...: write some, or remove it."
        )
    if again:
        log(
            f"{len(again)} line(s) of {place.path} say a word again, of which the first way "
            f"counts: {first_names(again)}"
        )
    if unused:
        log(
            f"{len(unused)} line(s) of {place.path} have no phones, or no word as texts are taken "
            f"apart into words, and change nothing: {first_names(unused)}"
        )
    return lexicon


def _lines(place: Place) -> list[str]:
    try:
        lines = LINE_ENDS.split(place.read().decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{place.path} is no lexicon in UTF-8 ({error}).") from error
    return [line for line in lines if line.strip()]
