"""The phones of a text that nobody has recorded: its words, and pauses at its marks."""

from __future__ import annotations

import re
from itertools import pairwise
from string import ascii_letters

from meta_shrink.errors import DataError, UsageError
from meta_shrink.speech.alignment import APOSTROPHES, WORD, pronounce
from meta_shrink.speech.prosody import Phones, phones_of_words
from meta_shrink.speech.recordings import Lexicon

MAX_CHARACTERS = 1000
_SHORT = ("dr", "st")  # For doctor and drive, saint and street.
_MARKS = ".,;:!?()[]\"'\u201c\u201d\u2026\u2013\u2014-"
# A full stop within an abbreviation and a hyphen within a word are none.
_PAUSE = re.compile(r"[,;:!?()\[\]\u2026\u2013\u2014]|--|\s-\s|\.\W*\s")


def text_phones(
    text: str,
    *,
    lexicon: Lexicon | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> Phones:
    """The phones of an English text, with silence at both ends and at its marks.

    Args:
      lexicon: how words (in capitals) are said, before any dictionary.

    Raises:
      UsageError: no word, more than max_characters, digits, or letters and signs that are not
        English; an unpronounceable word; a package is missing.
    """
    if len(text) > max_characters:
        raise UsageError(
            f"The text has {len(text)} characters; expected {max_characters} at most: say it in "
            "parts."
        )
    plain = text.translate(APOSTROPHES)
    if odd := [c for c in plain if not (c in _MARKS or c.isspace() or c in ascii_letters)]:
        raise UsageError(
            f"{odd[0]!r} of the text {_shown(text)} cannot be spoken: write it in English words."
        )
    plain, lexicon = plain.lower(), lexicon or {}
    found = list(WORD.finditer(plain))
    if not found:
        raise UsageError(f"The text {_shown(text)} has no word: write what is to be said.")
    if short := [
        match[0] for match in found if match[0] in _SHORT and match[0].upper() not in lexicon
    ]:
        raise UsageError(
            f"{short[0]!r} of the text {_shown(text)} is short for several words: write it out."
        )
    gaps = [plain[one.end() : other.start()] for one, other in pairwise(found)]
    try:
        words = pronounce([match[0] for match in found], lexicon)
    except DataError as error:
        raise UsageError(f"The text {_shown(text)} cannot be spoken: {error}") from error
    return phones_of_words(words, [*(bool(_PAUSE.search(gap)) for gap in gaps), True])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
