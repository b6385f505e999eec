"""The files of a corpus, in folders and tars, with its alignment and lexicon."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from meta_shrink.errors import DataError, first_names
from meta_shrink.speech import tfds_corpus
from meta_shrink.speech.archives import Tree, trees
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.descriptions import described
from meta_shrink.speech.features import Phone
from meta_shrink.speech.lexicon import LEXICON, read_lexicons
from meta_shrink.speech.ready_alignment import ALIGNMENT, read_alignments
from meta_shrink.speech.recordings import (
    AUDIO,
    OTHER_AUDIO,
    Corpus,
    Place,
    Recording,
    Unreadable,
)
from meta_shrink.speech.same_sounds import without_copies

_MICROPHONE, _WORD = re.compile(r"_mic\d$"), re.compile(r"\w+")
Key = tuple[str, str]  # Speaker and utterance.


def find_recordings(
    source: str,
    *,
    texts: Mapping[Key, str] | None = None,
    log: Callable[[str], Any] = print,
) -> Corpus:
    """All recordings of a folder or a tar, each utterance once, in the order of their names.

    A folder may hold tars, or be one that tensorflow-datasets prepared (vctk, ljspeech, libritts);
    phone_alignment.jsonl.gz and lexicon.txt in them, or beside a tar, are used.

    Args:
      texts: of the sounds SPEAKER/UTTERANCE that nothing describes; any other one is refused then.
      log: told which files are left out, as nothing describes them, and which words of the lexicon.

    Raises:
      DataError: there is nothing that is known, a description or an alignment is broken, two
        recordings have one name, two speakers one sound, or a sound has no text where none is
        left out.
    """
    if not os.path.exists(source):
        raise DataError(f"{source} does not exist: expected a folder or a tar.")
    is_tfds = tfds_corpus.is_prepared(source)
    forest = [] if is_tfds else trees(source)
    parts = [tfds_corpus.recordings(source)] if is_tfds else []
    for tree in forest:
        parts.append(described(tree, log=log))
        if texts is not None:
            parts.append(_named_alike(tree, parts[-1], texts))
    found = _each_once(recording for part in parts for recording in part)
    _tell_left_out(source, forest, found, log)
    if not found:
        raise DataError(
            f"{source} holds no recordings ({', '.join(AUDIO)}) with their texts: expected "
            "metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, SPEAKER/NAME.wav with a "
            "SPEAKER/NAME.txt beside it, or a folder that tensorflow-datasets prepared (with "
            "dataset_info.json)."
        )
    aligned = read_alignments(places := _files_called(ALIGNMENT, source, forest))
    _require_own_names(aligned, found, ", ".join(place.path for place in places))
    recordings = [found[key]._replace(phones=aligned.get(key[1])) for key in sorted(found)]
    if texts is None:  # What is to be scored may say the same in one voice.
        recordings = without_copies(recordings)
    lexicon = read_lexicons(_files_called(LEXICON, source, forest), log=log)
    return Corpus(recordings, lexicon)


def _each_once(recordings: Iterable[Recording]) -> dict[Key, Recording]:
    """By their names; of two of one name one that is there."""
    found: dict[Key, Recording] = {}
    for recording in recordings:
        _require_text(recording)
        key = recording.speaker, recording.utterance
        known = found.setdefault(key, recording)
        _require_same(known, recording)
        if isinstance(known.place, Unreadable):
            found[key] = recording
    return found


def _files_called(name: str, source: str, forest: Sequence[Tree]) -> list[Place]:
    """The files of this name: beside the audio or the tar first, then in all folders and tars."""
    folder = source if os.path.isdir(source) else os.path.dirname(os.path.abspath(source))
    first = Place(os.path.join(folder, name))
    found = [first] if os.path.exists(first.path) else []
    inside = [place for tree in forest for path, place in tree.files.items() if _is(path, name)]
    return found + [place for place in inside if place != first]


def _is(path: str, name: str) -> bool:
    return path.rpartition("/")[2] == name


def _named_alike(tree: Tree, own: Sequence[Recording], texts: Mapping[Key, str]) -> list[Recording]:
    """The sounds SPEAKER/UTTERANCE that nothing describes, with the texts of these names.

    Raises:
      DataError: one has none, or is of a format that is not read, as an archive is.
    """
    for name in tree.unread_archives():
        raise DataError(f"{name} of {tree.path} is not read: unpack it, or take it away.")
    named = {(recording.speaker, recording.utterance): recording for recording in own}
    found = []
    for name in _undescribed(tree.files, named):
        path, (stem, ending) = f"{name} of {tree.path}", os.path.splitext(name)
        key = os.path.basename(os.path.dirname(stem)), os.path.basename(stem)
        if ending.lower() not in AUDIO:
            raise DataError(f"{path} is none of {', '.join(AUDIO)}: convert it, or take it away.")
        if key not in texts:
            raise DataError(
                f"{path}: what does it say? Put its words into a .txt of its name, or "
                "give it speaker and name of the real recording of the same sentence."
            )
        found.append(Recording(*key, texts[key], "", tree.files[name]))
    return found


def _tell_left_out(
    source: str, forest: Sequence[Tree], found: Mapping[Key, Recording], log: Callable[[str], Any]
) -> None:
    """Names the sounds that are no recording, and the archives that are not read."""
    sounds = [name for tree in forest for name in _undescribed(tree.files, found)]
    archives = [name for tree in forest for name in tree.unread_archives()]
    kinds = f"that nothing describes, or are none of {', '.join(AUDIO)}"
    for names, what in (
        (sounds, f"sound file(s) of {source} {kinds}"),
        (archives, f"archive(s) of {source} that are not read: unpack them"),
    ):
        if names:
            log(f"left out: {len(names)} {what}: {first_names(names)}")


def _undescribed(places: Mapping[str, Place], found: Mapping[Key, Recording]) -> list[str]:
    """The sound files that are no recording, nor the same one by another microphone."""
    used = {recording.place for recording in found.values()}
    names = []
    for name, place in places.items():
        stem, ending = os.path.splitext(name)
        own = os.path.basename(os.path.dirname(stem)), os.path.basename(_MICROPHONE.sub("", stem))
        sound = ending.lower() in (*AUDIO, *OTHER_AUDIO)
        if sound and place not in used and own not in found:
            names.append(name)
    return names


def _require_own_names(
    aligned: Mapping[str, list[Phone]], found: Mapping[Key, Recording], path: str
) -> None:
    """An alignment has names of utterances without their speakers: each may be of one alone."""
    speakers: dict[str, str] = {}
    for speaker, utterance in found:
        other = speakers.setdefault(utterance, speaker)
        if utterance in aligned and other != speaker:
            raise DataError(
                f"{path} aligns {utterance}, and both {other} and {speaker} have an utterance of "
                "that name: rename them, or remove the alignment, and the texts are aligned."
            )
    if aligned and not aligned.keys() & speakers.keys():
        raise DataError(
            f"{path} aligns none of the {len(found)} recordings, but {next(iter(aligned))} and the "
            f"like: name them as the recordings are, {next(iter(speakers))} and the like, or "
            "remove it."
        )


def _require_text(recording: Recording) -> None:
    """Names are kept in files of text: bytes of another encoding are none."""
    for name in (recording.speaker, recording.utterance):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"The name {name!a} is no UTF-8 text: rename it.") from error


def _require_same(one: Recording, other: Recording) -> None:
    """Refuses two utterances of one name, or two texts of one; copies, as in a folder and in its
    tar, are one."""
    if isinstance(one.place, Unreadable) or isinstance(other.place, Unreadable):
        return  # It is left out by its name.
    if _WORD.findall(one.text.lower()) != _WORD.findall(other.text.lower()):
        raise DataError(
            f"{one.speaker}/{one.utterance} has two texts, {one.text[:60]!r} and "
            f"{other.text[:60]!r}: rename one recording, or leave one text."
        )
    if one.place != other.place and not _sound_alike(one, other):
        raise DataError(
            f"Two recordings are called {one.speaker}/{one.utterance}, in {one.place.path} and in "
            f"{other.place.path}: rename one, or say who speaks in a metadata.jsonl."
        )


def _sound_alike(one: Recording, other: Recording) -> bool:
    """Whether the files are equal, or at least their samples, as of a FLAC and the WAV it is of."""
    contents = [recording.place.read() for recording in (one, other)]
    if contents[0] == contents[1]:
        return True
    try:
        (first, rate), (second, other_rate) = (decode(c, one.utterance) for c in contents)
    except DataError:
        return False
    return rate == other_rate and np.array_equal(first, second)
