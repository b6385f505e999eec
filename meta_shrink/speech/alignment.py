"""Which phone is said when: text aligned to sound by pocketsphinx, words first, then phones."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.speech.features import PHONES, SILENCE, Phone
from meta_shrink.speech.recordings import Lexicon
from meta_shrink.speech.signal import resample, speech_module
from meta_shrink.speech.spelling import spell

_RATE, _FRAMES_PER_SECOND = 16_000, 100
SCORE_UNIT = 1024 * math.log(1.0001)  # Nats of a unit of its scores: base 1.0001, 10 bits less.
# Default beams lose 75 of 180 utterances; these lost none of 1,406.
_SETTINGS: dict[str, Any] = {"bestpath": False, "maxhmmpf": -1}
_SETTINGS |= dict.fromkeys(("beam", "wbeam", "pbeam"), 1e-120)
# 60 right texts have -2.2 on average and -6.1 at least, fewer phones than these reach below -6.5.
LEAST_NATS, FEWEST_JUDGED = -6.5, 10

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*'?")
_VOWEL = re.compile("[aeiouy]")
_APOSTROPHES = str.maketrans("\u2018\u2019\u02bc", "'''")
_SAID = "&%@#*/\\\u00a7\u2030\u2032\u2033"  # Marks by their kind, and words where they are read.


class NotAligned(DataError):
    """A text does not fit its sound."""


class HeardPhone(NamedTuple):
    """A phone that pocketsphinx found: start and duration in frames of 10 ms.

    score: the log likelihood of its frames less that of the best state in each (of the states that
    the decoder computes there), in pocketsphinx's units (SCORE_UNIT).
    """

    name: str
    start: int
    duration: int
    score: int


class HeardWord(NamedTuple):
    """A word that pocketsphinx found, with its phones; <sil> and the like are words too."""

    name: str
    phones: Sequence[HeardPhone]


def plain_text(text: str) -> str:
    """With straight apostrophes, and without the marks that some editors put at the ends of a
    file."""
    return text.strip("\ufeff").translate(_APOSTROPHES)


def words_of(text: str) -> list[str]:
    """The words of a text in small letters; punctuation goes, apostrophes stay.

    Raises:
      DataError: there is none, or a digit, or a letter or a sign that is not English.
    """
    plain = plain_text(text).lower()
    words = WORD.findall(plain)
    odd = [word for word in words if not re.fullmatch(r"[a-z']+", word)]
    if odd := odd or [sign for sign in plain if _is_sign(sign)]:
        raise DataError(f"{odd[0]!r} of its text is no English word; write it in letters.")
    if not words:
        raise DataError("its text has no word.")
    return words


def _is_sign(character: str) -> bool:
    """Whether it is neither a letter or digit nor a space or mark that nobody says."""
    mark = unicodedata.category(character).startswith("P") and character not in _SAID
    return not (mark or character.isalnum() or character.isspace())


def pronounce(words: Sequence[str], lexicon: Lexicon) -> list[tuple[str, ...]]:
    """The phones of each word (words_of): the lexicon's, else the usual ones of the dictionary.

    Raises:
      DataError: a word has none.
      UsageError: a package is missing.
    """
    decoder = _decoder({})
    return [_pronunciation(decoder, word, lexicon) for word in words]


def align(samples: np.ndarray, rate: int, text: str, lexicon: Lexicon) -> list[Phone]:
    """The phones of an utterance, silences included.

    A word's phones are those of pocketsphinx's dictionary or of the lexicon (its words in
    capitals), whichever fit the sound; of a word that neither has, spelled by g2p_en.

    Raises:
      DataError: the text does not fit the sound, or seems to be another's (`require_fit`).
      UsageError: a package is missing.
    """
    words = heard_words(samples, rate, text, lexicon)
    require_fit(words)
    return _phones(words)


def nats(phone: HeardPhone) -> float:
    """Log likelihood of a phone a frame, less that of the best state in each; 0 at most."""
    return phone.score * SCORE_UNIT / max(phone.duration, 1)


def require_fit(words: Sequence[HeardWord]) -> None:
    """Refuse a text that its sound is far from. It finds 44 % of wrong texts (docs/decisions.md).

    Raises:
      NotAligned: the phones said, if there are FEWEST_JUDGED, have a mean below LEAST_NATS.
    """
    said = [p for w in words if not _is_silent(w) for p in w.phones]
    mean = sum(map(nats, said)) / max(len(said), 1)
    if len(said) >= FEWEST_JUDGED and mean < LEAST_NATS:
        raise NotAligned(
            f"its text does not seem to be what is said: a frame lies {-mean:.1f} nats below what "
            f"would fit best, expected {-LEAST_NATS:g} at most; look at its text, and at those of "
            "its neighbours, as every second wrong one is not found."
        )


def _is_silent(word: HeardWord) -> bool:
    return word.name.startswith(("<", "[", "+"))


def heard_words(
    samples: np.ndarray, rate: int, text: str, lexicon: Lexicon, **settings: Any
) -> list[HeardWord]:
    """The words of `align` as pocketsphinx finds them, silences and noises included.

    Args:
      settings: of the decoder, beside those that lose no utterance.

    Raises:
      NotAligned: the text does not fit the sound.
      DataError: a word of it has no pronunciation.
      UsageError: a package is missing.
    """
    decoder = _decoder(settings)
    spoken = [_known(decoder, word, lexicon) for word in words_of(text)]
    sound = np.round(np.clip(resample(samples, rate, _RATE), -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(spoken))
        _hear(decoder, sound)
        decoder.set_alignment()
        _hear(decoder, sound)
        return [_heard(word) for word in decoder.get_alignment() or ()]
    except RuntimeError as error:
        raise NotAligned(f"its text cannot be aligned to its sound ({error}).") from error


def _heard(word: Any) -> HeardWord:
    phones = [HeardPhone(p.name, p.start, p.duration, p.score) for p in word]
    return HeardWord(word.name, phones)


def _hear(decoder: Any, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def _phones(words: Sequence[HeardWord]) -> list[Phone]:
    phones, number = [], -1
    for word in words:
        silent = _is_silent(word)
        number += not silent
        for phone in word.phones:
            name = phone.name if phone.name in PHONES else SILENCE
            start, length = phone.start / _FRAMES_PER_SECOND, phone.duration / _FRAMES_PER_SECOND
            phones.append(Phone(name, start, length, -1 if silent else number))
    if number < 0:
        raise NotAligned("its text cannot be aligned to its sound (no word was found).")
    return phones


def _known(decoder: Any, word: str, lexicon: Lexicon) -> str:
    """The word, which the decoder knows then, also as the lexicon says it."""
    if decoder.lookup_word(word) is None or said_by(lexicon, word):
        _add_way(decoder, word, " ".join(_pronunciation(decoder, word, lexicon)))
    return word


def _add_way(decoder: Any, word: str, phones: str) -> None:
    """One way more to say a word; the decoder's own are word, word(2), word(3), ..."""
    name, number = word, 1
    while (known := decoder.lookup_word(name)) not in (None, phones):
        name, number = f"{word}({number + 1})", number + 1
    if known is None:
        decoder.add_word(name, phones, True)


def said_by(lexicon: Lexicon, word: str) -> tuple[str, ...]:
    """The phones that a lexicon says of a word (words_of), () where it has none; the apostrophe
    behind a word may be the end of a quotation.
    """
    name = word.upper()
    return tuple(lexicon.get(name) or lexicon.get(name.rstrip("'"), ()))


def _pronunciation(decoder: Any, word: str, lexicon: Lexicon) -> tuple[str, ...]:
    known = decoder.lookup_word(word) or decoder.lookup_word(word.rstrip("'"))
    phones = said_by(lexicon, word)
    if odd := [phone for phone in phones if phone not in PHONES]:
        raise DataError(
            f"the lexicon says {word!r} with {odd[0]!r}, which is no phone of ARPAbet: expected "
            f"{', '.join(PHONES[1:4])} and the like."
        )
    phones = phones or tuple(known.split() if known else ())
    if not phones and word.endswith("'s"):
        phones = _possessive(_pronunciation(decoder, word[:-2], lexicon))
    if not phones and not _VOWEL.search(word):  # "kg" would be spelled as a cage.
        raise DataError(f"{word!r} of its text is short for something; write it out.")
    phones = phones or spell(word)
    if not phones or not set(phones) <= set(PHONES):
        raise DataError(f"{word!r} of its text has no pronunciation.")
    return tuple(phones)


def _possessive(phones: tuple[str, ...]) -> tuple[str, ...]:
    """The word with 's, which spell would leave out."""
    if phones[-1] in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return *phones, "IH", "Z"
    return *phones, "S" if phones[-1] in ("P", "T", "K", "F", "TH") else "Z"


def _decoder(settings: Mapping[str, Any]) -> Any:
    """A new one for each utterance (0.1 s): what one has heard changes what it finds next."""
    pocketsphinx = speech_module("pocketsphinx")
    return pocketsphinx.Decoder(lm=None, loglevel="FATAL", **_SETTINGS, **settings)
