"""The phones of a text that nobody has recorded: its words, and pauses at its marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from string import ascii_letters

from meta_shrink.errors import DataError, UsageError
from meta_shrink.speech.alignment import WORD, plain_text, pronounce, said_by
from meta_shrink.speech.prosody import Phones, phones_of_words
from meta_shrink.speech.recordings import Lexicon

MAX_CHARACTERS = 1000
_MARKS = ".,;:!?()[]\"'\u201c\u201d\u2026\u2013\u2014-"
# For doctor and drive, saint and street; versus.
_SHORT = ("dr", "st", "vs")
_TITLES = ("mr", "mrs", "ms", "messrs", "mt", "sgt", "jr", "sr")  # That the dictionary says.
# What is short where a full stop follows it, and said otherwise or a word without.
_SHORT_BEFORE_STOP = re.compile(
    "prof|capt|col|gen|lt|rev|gov|sen|supt|cpl|adm|esq|ave|blvd|dept|inc|ltd|co|corp|bros|assn|"
    "jan|feb|apr|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri|hrs?|oz|lbs?|vol|approx|"
    "misc|ext|cf|viz|eg|ie"
)
_NUMBER = re.compile(
    "zero|one|two|three|five|ten|eleven|twelve|(?:four|six|seven|nine)(?:teen|ty)?|eight(?:een|y)?|"
    "(?:thir|fif)(?:teen|ty)|(?:twen|for)ty"
)
# A hyphen within a word and a line that goes on are no pauses.
_PAUSE = re.compile(r"[,;:!?()\[\]\u2026\u2013\u2014]|--|\s-\s|\.{2}|\n\s*\n")
# Letters that are named one by one: U.S.A., a.m., U S A.
_LETTERS = re.compile(r"\b[A-Za-z](?:\.[A-Za-z])+\b|\b[A-Z](?: [A-Z])+\b")


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
        English; an unpronounceable word; one that is short for others, or a full stop that may be a
        pause or not; a package is missing.
    """
    if len(text) > max_characters:
        raise UsageError(
            f"The text has {len(text)} characters; expected {max_characters} at most: say it in "
            "parts."
        )
    plain = plain_text(text)
    if odd := [c for c in plain if not (c in _MARKS or c.isspace() or c in ascii_letters)]:
        raise UsageError(
            f"{odd[0]!r} of the text {_shown(text)} cannot be spoken: write it in English words."
        )
    lexicon = lexicon or {}
    found = list(WORD.finditer(plain))
    if not found:
        raise UsageError(f"The text {_shown(text)} has no word: write what is to be said.")
    _require_long(plain, found, lexicon)
    pauses = [_is_pause(plain, one, other) for one, other in pairwise(found)]
    try:
        words = pronounce([match[0].lower() for match in found], lexicon)
    except DataError as error:
        raise UsageError(f"The text {_shown(text)} cannot be spoken: {error}") from error
    letters = {k for run in _LETTERS.finditer(plain) for k in range(*run.span())}
    named = [m[0] in "aA" and m.start() in letters and not said_by(lexicon, "a") for m in found]
    words = [("EY",) if name else word for name, word in zip(named, words, strict=True)]
    return phones_of_words(words, [*pauses, True])


def _require_long(plain: str, found: Sequence[re.Match[str]], lexicon: Lexicon) -> None:
    """Refuse words that are short for others, which the dictionary would say otherwise."""
    nexts = [*(match[0].lower() for match in found[1:]), ""]
    for match, following in zip(found, nexts, strict=True):
        word, stop = match[0].lower(), plain[match.end() :][:1] == "."
        is_short = word in _SHORT or (stop and _SHORT_BEFORE_STOP.fullmatch(word) is not None)
        is_short |= stop and word == "no" and _NUMBER.fullmatch(following) is not None  # No. five.
        if is_short and not said_by(lexicon, word):
            raise UsageError(
                f"{word!r} of the text {_shown(plain)} is short for something: write it out."
            )


def _is_pause(plain: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Whether there is a pause between two words.

    Raises:
      UsageError: a full stop may be one or not.
    """
    gap, word = plain[one.end() : other.start()], one[0].lower()
    if _PAUSE.search(gap):
        return True
    is_short = word in (*_TITLES, *_SHORT) or _SHORT_BEFORE_STOP.fullmatch(word)
    if "." not in gap or is_short:
        return False
    is_dotted = plain[: one.start()].endswith(".")
    if len(word) == 1 and (word != "i" or is_dotted or gap == "."):  # But "So do I. Then".
        if gap != "." and other[0][0].isupper():
            raise UsageError(
                f"{one[0]}. before {other[0]!r} of the text {_shown(plain)} may end a sentence or "
                "not: leave out the full stop where it does not, and put a comma where it does."
            )
        return False
    if gap == "." and other[0][0].islower():
        raise UsageError(
            f"{one[0]}.{other[0]} of the text {_shown(plain)} may be a name or two sentences: "
            "write it as it is said, or put a space behind the full stop."
        )
    return True


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
