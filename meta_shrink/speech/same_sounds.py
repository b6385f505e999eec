"""One sound under two names: of two speakers it is a leak, of one it counts twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from meta_shrink.errors import DataError
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.corpus import Utterance, sound_digest
from meta_shrink.speech.quality import check_recording
from meta_shrink.speech.recordings import Place, Recording, Unreadable


def without_copies(recordings: Sequence[Recording]) -> list[Recording]:
    """A speaker's second recording of the same bytes is left out when it is read.

    Only files of one size are compared, and those of tensorflow-datasets are not.

    Raises:
      DataError: two speakers have the same sound.
    """
    sizes: dict[int, list[int]] = {}
    for number, recording in enumerate(recordings):
        if (size := _size(recording)) > 0:
            sizes.setdefault(size, []).append(number)
    found = list(recordings)
    for numbers in sizes.values():
        known: dict[bytes, Recording] = {}
        for number in numbers if len(numbers) > 1 else ():
            one = recordings[number]
            try:
                content = one.place.read()
            except DataError:  # It is left out by its name when it is read.
                continue
            first = known.setdefault(hashlib.sha256(content).digest(), one)
            if first is not one and _is_sound(content):
                found[number] = _copy(one, first)
    return found


def _is_sound(content: bytes) -> bool:
    """Not what is left out by its name anyway, as a silent recording."""
    try:
        check_recording(*decode(content, ""))
    except DataError:
        return False
    return True


def _size(recording: Recording) -> int:
    """Bytes of its file; -1 where it is none, or not there (it is left out by its name)."""
    place = recording.place
    if not isinstance(place, Place):
        return -1
    if place.size >= 0:
        return place.size
    return os.path.getsize(place.path) if os.path.isfile(place.path) else -1


def _copy(one: Recording, first: Recording) -> Recording:
    names = f"{first.speaker}/{first.utterance}", f"{one.speaker}/{one.utterance}"
    if one.speaker != first.speaker:
        raise DataError(
            f"{names[0]} and {names[1]} are the same sound, and two speakers: leave one of them "
            "out, or what is held out of training may be learned."
        )
    return one._replace(place=Unreadable(one.place.path, f"is the same sound as {names[0]}."))


def each_sound_once(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[list[str]]]:
    """(Those of new sounds, [name, why] of the others) of a speaker.

    Finds what `without_copies` cannot, whose files differ: a FLAC and the WAV that it is of.
    """
    known: dict[bytes, Utterance] = {}
    copies = []
    for one in utterances:
        first = known.setdefault(sound_digest(one), one)
        if first is not one:
            copies.append([one.name, f"it is the same sound as {first.name}."])
    return list(known.values()), copies
