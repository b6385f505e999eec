"""The recordings of what is compared: the same speakers in each, every sound with its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.speech.alignment import words_of
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.recordings import Corpus, Lexicon, Unreadable
from meta_shrink.speech.scores.log_mel import RATE, loud_log_mel

REAL, COPY, OTHERS = "real", "WORLD copy", "real, other speakers"
MAX_SECONDS = 60.0
MOST_NAMED = 5
WORDS = re.compile(r"\w+")


class Sound(NamedTuple):
    """An utterance: samples float32 [N] at RATE, and its text."""

    samples: np.ndarray
    text: str


Sounds = dict[str, dict[str, Sound]]  # By speaker and utterance.


def all_sounds(real: str, spoken: Mapping[str, str]) -> tuple[dict[str, Sounds], Lexicon]:
    """({name: its sounds}, REAL first, and the words that their folders' lexicons add).

    Args:
      real, spoken: folders or tars, the latter by name.

    Raises:
      DataError: as find_recordings, sounds_of and require_speakers, or a sound of the name of a
        real recording has another text; UsageError: a name that is ours.
    """
    if ours := {REAL, COPY, OTHERS} & set(spoken):
        raise UsageError(f"{ours.pop()!r} is a row of its own: give what is compared another name.")
    corpora = {REAL: find_recordings(real, texts={})}
    texts = {(r.speaker, r.utterance): r.text for r in corpora[REAL].recordings}
    for name, source in spoken.items():
        corpora[name] = find_recordings(source, texts=texts)
        _require_same_texts(corpora[name], texts, name)
    sounds = {name: sounds_of(corpus, name) for name, corpus in corpora.items()}
    require_speakers(sounds)
    lexicon: Lexicon = {}
    for corpus in corpora.values():
        lexicon = {**corpus.lexicon, **lexicon}
    return sounds, lexicon


def _require_same_texts(corpus: Corpus, texts: Mapping[tuple[str, str], str], what: str) -> None:
    """What has the name of a real recording says the same."""
    for one in corpus.recordings:
        real = texts.get((one.speaker, one.utterance), one.text)
        is_heard = not isinstance(one.place, Unreadable)  # Else its file is named later.
        if is_heard and WORDS.findall(one.text.lower()) != WORDS.findall(real.lower()):
            raise DataError(
                f"{one.speaker}/{one.utterance} of {what} has the text {one.text[:60]!r}, and the "
                f"real recording of that name {real[:60]!r}: rename it, or remove its text."
            )


def sounds_of(corpus: Corpus, what: str) -> Sounds:
    """All of a corpus, by speaker and name in their order.

    Args:
      what: how errors call the corpus.

    Raises:
      DataError: some cannot be decoded, are longer than MAX_SECONDS or nearly silent, or have no
        text that can be said; it names them. None is left out: what fails may be what is to be
        measured.
    """
    sounds: Sounds = {}
    broken = []
    for one in sorted(corpus.recordings, key=lambda r: (r.speaker, r.utterance)):
        try:
            samples = load(one.place.read(), one.place.path, RATE, max_seconds=MAX_SECONDS)
            loud_log_mel(samples)
            words_of(one.text)
        except DataError as error:
            broken.append(f"{one.speaker}/{one.utterance}: {error}")
        else:
            sounds.setdefault(one.speaker, {})[one.utterance] = Sound(samples, one.text)
    if broken:
        more = f" And {len(broken) - MOST_NAMED} more." if len(broken) > MOST_NAMED else ""
        raise DataError(
            f"{len(broken)} of {len(corpus.recordings)} recordings of {what} cannot be scored: "
            f"{' '.join(broken[:MOST_NAMED])}{more} Mend or remove them."
        )
    return sounds


def require_speakers(compared: Mapping[str, Sounds]) -> None:
    """At least two speakers with two real recordings each, and the same in all.

    Raises:
      DataError: one is missing or unknown; it is named.
    """
    real = compared[REAL]
    few = sorted(speaker for speaker, own in real.items() if len(own) < 2)
    if few or len(real) < 2:
        raise DataError(
            f"The real recordings are of {len(real)} speakers, and there is one of "
            f"{_listed(few) or 'each'}; expected 2 speakers or more with 2 recordings or more, as "
            "each is compared with the others."
        )
    for name, own in compared.items():
        missing, unknown = sorted(set(real) - set(own)), sorted(set(own) - set(real))
        told = [f"lacks {_listed(missing)}"] * bool(missing)
        told += [f"has {_listed(unknown)}, of whom there is nothing real"] * bool(unknown)
        if told:
            raise DataError(
                f"{name} {' and '.join(told)}: expected the {len(real)} speakers of the real "
                "recordings, each in a folder of its name."
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
