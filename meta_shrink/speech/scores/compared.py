"""The recordings of what is compared: the same speakers in each, every sound with its text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.images.file_tree import folder_tree
from meta_shrink.speech.alignment import words_of
from meta_shrink.speech.audio_files import load
from meta_shrink.speech.descriptions import described
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.lexicon import LEXICON, read_lexicon
from meta_shrink.speech.recordings import AUDIO, Corpus, Lexicon, Place, Recording
from meta_shrink.speech.scores.log_mel import RATE, loud_log_mel

REAL, COPY, OTHERS = "real", "WORLD copy", "real, other speakers"
MAX_SECONDS = 60.0
MOST_NAMED = 5


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
      DataError: as corpus_of, sounds_of and require_speakers; UsageError: a name that is ours.
    """
    if ours := {REAL, COPY, OTHERS} & set(spoken):
        raise UsageError(f"{ours.pop()!r} is a row of its own: give what is compared another name.")
    corpora = {REAL: corpus_of(real, {})}
    texts = {(r.speaker, r.utterance): r.text for r in corpora[REAL].recordings}
    corpora |= {name: corpus_of(source, texts) for name, source in spoken.items()}
    sounds = {name: sounds_of(corpus, name) for name, corpus in corpora.items()}
    require_speakers(sounds)
    lexicon: Lexicon = {}
    for corpus in corpora.values():
        lexicon = {**corpus.lexicon, **lexicon}
    return sounds, lexicon


def corpus_of(source: str, texts: Mapping[tuple[str, str], str]) -> Corpus:
    """The recordings of a folder or a tar, as find_recordings, and the lexicon beside them.

    A sound file SPEAKER/UTTERANCE that nothing describes has the text of `texts`.

    Raises:
      DataError: there is nothing, a sound has no text, or two have one name.
    """
    if not os.path.isdir(source):
        return find_recordings(source)
    names = [name for name in folder_tree(source).names if not name.endswith("/")]
    if not any(name.endswith(AUDIO) for name in names):
        return find_recordings(source)
    places = {name: Place(os.path.join(source, name)) for name in names}
    found = described(places, source)
    known = {recording.place.path for recording in found}
    alone = [n for n in names if n.endswith(AUDIO) and places[n].path not in known]
    for name in alone:
        folder, _, file = name.rpartition("/")
        key = (folder.rpartition("/")[2], os.path.splitext(file)[0])
        if key not in texts:
            raise DataError(
                f"{places[name].path}: what does it say? Put its words into a .txt of its name, or "
                "give it speaker and name of the real recording of the same sentence."
            )
        found.append(Recording(*key, texts[key], "", places[name]))
    _require_one_each(found, source)
    return Corpus(found, read_lexicon(os.path.join(source, LEXICON)))


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


def _require_one_each(recordings: list[Recording], source: str) -> None:
    seen: dict[tuple[str, str], Recording] = {}
    for one in recordings:
        other = seen.setdefault((one.speaker, one.utterance), one)
        if other is not one:
            raise DataError(
                f"{source} has {one.speaker}/{one.utterance} twice, {other.place.path} and "
                f"{one.place.path}: remove or rename one."
            )
