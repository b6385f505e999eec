"""The files of a corpus, in folders and tars, with its alignment and lexicon."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.file_tree import folder_tree
from meta_shrink.speech import tfds_corpus
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.descriptions import described, json_lines
from meta_shrink.speech.features import SILENCE, Phone
from meta_shrink.speech.lexicon import LEXICON, read_lexicon
from meta_shrink.speech.recordings import AUDIO, OTHER_AUDIO, Corpus, Place, Recording

ALIGNMENT = "phone_alignment.jsonl.gz"
_TARS = (".tar", ".tar.gz", ".tgz")
_ALIGNED_FRAMES_PER_SECOND = 100
_MICROPHONE, _WORD = re.compile(r"_mic\d$"), re.compile(r"\w+")


def find_recordings(source: str, *, log: Callable[[str], Any] = print) -> Corpus:
    """All recordings of a folder or a tar, each utterance once, in the order of their names.

    A folder may hold tars, or be one that tensorflow-datasets prepared (vctk, ljspeech, libritts);
    phone_alignment.jsonl.gz and lexicon.txt beside the audio or the tars are used.

    Args:
      log: told which sound files are left out, as nothing describes them, and which words of the
        lexicon.

    Raises:
      DataError: there is nothing that is known, a description or an alignment is broken, or two
        recordings have one name.
    """
    if not os.path.exists(source):
        raise DataError(f"{source} does not exist: expected a folder or a tar.")
    folder = source if os.path.isdir(source) else os.path.dirname(os.path.abspath(source))
    found: dict[tuple[str, str], Recording] = {}
    is_tfds = tfds_corpus.is_prepared(source)
    trees = [] if is_tfds else _trees(source)
    parts = [tfds_corpus.recordings(source)] if is_tfds else [described(t, source) for t in trees]
    for part in parts:
        for recording in part:
            _require_text(recording)
            known = found.setdefault((recording.speaker, recording.utterance), recording)
            _require_same(known, recording)
    if not found:
        raise DataError(
            f"{source} holds no recordings ({', '.join(AUDIO)}) with their texts: expected "
            "metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, SPEAKER/NAME.wav with a "
            "SPEAKER/NAME.txt beside it, or a folder that tensorflow-datasets prepared (with "
            "dataset_info.json)."
        )
    if unsaid := [name for places in trees for name in _undescribed(places, found)]:
        log(
            f"left out: {len(unsaid)} sound file(s) of {source} that have no text, or are none of "
            f"{', '.join(AUDIO)}: {', '.join(unsaid[:3])}{', ...' if len(unsaid) > 3 else ''}"
        )
    aligned = read_alignment(path := os.path.join(folder, ALIGNMENT))
    _require_own_names(aligned, found, path)
    recordings = [found[key]._replace(phones=aligned.get(key[1])) for key in sorted(found)]
    return Corpus(recordings, read_lexicon(os.path.join(folder, LEXICON), log=log))


def _undescribed(
    places: Mapping[str, Place], found: Mapping[tuple[str, str], Recording]
) -> list[str]:
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
    aligned: Mapping[str, list[Phone]], found: Mapping[tuple[str, str], Recording], path: str
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


def _trees(source: str) -> list[dict[str, Place]]:
    """Relative name -> place of all files, of the folder and of each tar apart."""
    if not os.path.isdir(source):
        return [_members(source)]
    files, tars = {}, []
    for name in folder_tree(source).names:
        if not name.endswith("/"):
            files[name] = Place(os.path.join(source, name))
            tars += [files[name].path] if name.endswith(_TARS) else []
    return [files, *(_members(path) for path in tars)]


def _members(path: str) -> dict[str, Place]:
    """The files of a tar; they are read where they lie and never unpacked to their names."""
    compressed = not path.endswith(".tar")
    try:
        with open_file(path) as file:
            whole = gzip.GzipFile(fileobj=file) if compressed else file
            with tarfile.open(fileobj=whole, mode="r:") as archive:
                members = {member.name.removeprefix("./"): member for member in archive}
            while compressed and whole.read(2**20):  # To the checksum at the end.
                pass
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is not a whole tar ({error}).") from error
    targets = {name: members.get(_target(member)) for name, member in members.items()}
    return {
        name: Place(path, member.offset_data, member.size, compressed)
        for name, member in targets.items()
        if member and member.isfile()
    }


def _target(member: tarfile.TarInfo) -> str:
    """The name of the member that has the bytes, for a link another one."""
    name = member.linkname if member.islnk() or member.issym() else member.name
    folder = os.path.dirname(member.name) if member.issym() else ""
    return os.path.normpath(os.path.join(folder, name))


def read_alignment(path: str) -> dict[str, list[Phone]]:
    """Utterance -> phones of a ready alignment in frames of 10 ms; {} where there is no file.

    Each line is {"utterance", "phones": [[phone, start, length, word], ...]}, SIL for silence and
    names in plus signs for noises, which are silence here. Phones of one spelling in a row are one
    word: a word that is said twice is taken for one.
    """
    if not os.path.exists(path):
        return {}
    try:
        with open_file(path) as packed, gzip.GzipFile(fileobj=packed) as file:
            lines = json_lines(file.read(), path)
        found = {line["utterance"]: _phones(line["phones"]) for line in lines}
    except (OSError, EOFError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is no alignment ({error!r}).") from error
    if len(found) < len(lines) or not all(isinstance(name, str) for name in found):
        raise DataError(f"{path} has an utterance twice, or one whose name is no text.")
    return found


def _phones(rows: list) -> list[Phone]:
    phones, word, last = [], -1, None
    for name, start, length, spelling in rows:
        if (type(name), type(start), type(length)) != (str, int, int) or length < 0:
            raise ValueError(f"{[name, start, length]} is no phone, its start and length in frames")
        silent = name == SILENCE or name.startswith("+")  # +NSN+ and the like are noises.
        word += not silent and spelling != last
        last = None if silent else spelling
        seconds = (start / _ALIGNED_FRAMES_PER_SECOND, length / _ALIGNED_FRAMES_PER_SECOND)
        phones.append(Phone(SILENCE if silent else name, *seconds, -1 if silent else word))
    return phones
