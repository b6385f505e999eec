"""The files of a corpus, in folders and tars, with its alignment and lexicon."""

from __future__ import annotations

import gzip
import os
import tarfile

from meta_shrink.errors import DataError
from meta_shrink.speech.descriptions import described, json_lines
from meta_shrink.speech.features import SILENCE, Phone
from meta_shrink.speech.recordings import AUDIO, Corpus, Place, Recording

ALIGNMENT, LEXICON = "phone_alignment.jsonl.gz", "lexicon.txt"
_TARS = (".tar", ".tar.gz", ".tgz")
_ALIGNED_FRAMES_PER_SECOND = 100


def find_recordings(source: str) -> Corpus:
    """All recordings of a folder or a tar, each utterance once, in the order of their names.

    A folder may hold tars; phone_alignment.jsonl.gz and lexicon.txt beside the audio or the tars
    are used.

    Raises:
      DataError: there is nothing that is known, or a description is broken.
    """
    if not os.path.exists(source):
        raise DataError(f"{source} does not exist: --from names a folder or a tar.")
    folder = source if os.path.isdir(source) else os.path.dirname(os.path.abspath(source))
    found: dict[tuple[str, str], Recording] = {}
    for places in _trees(source):
        for recording in described(places, source):
            found.setdefault((recording.speaker, recording.utterance), recording)
    if not found:
        raise DataError(
            f"{source} holds no recordings ({', '.join(AUDIO)}) with their texts: expected "
            "metadata.jsonl, the layout of VCTK, LibriTTS or LJSpeech, or a .txt beside each."
        )
    aligned = read_alignment(os.path.join(folder, ALIGNMENT))
    recordings = [found[key]._replace(phones=aligned.get(key[1])) for key in sorted(found)]
    return Corpus(recordings, read_lexicon(os.path.join(folder, LEXICON)))


def _trees(source: str) -> list[dict[str, Place]]:
    """Relative name -> place of all files, of the folder and of each tar apart."""
    if not os.path.isdir(source):
        return [_members(source)]
    files, tars = {}, []
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(_TARS):
                tars.append(path)
            files[os.path.relpath(path, source).replace(os.sep, "/")] = Place(path)
    return [files, *(_members(path) for path in tars)]


def _members(path: str) -> dict[str, Place]:
    """The files of a tar; they are read where they lie and never unpacked to their names."""
    compressed = not path.endswith(".tar")
    try:
        with tarfile.open(path) as archive:
            return {
                member.name.removeprefix("./"): Place(
                    path, member.offset_data, member.size, compressed
                )
                for member in archive
                if member.isfile()
            }
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path} is not a whole tar ({error}).") from error


def read_alignment(path: str) -> dict[str, list[Phone]]:
    """Utterance -> phones of a ready alignment in frames of 10 ms; {} where there is no file.

    Each line is {"utterance", "phones": [[phone, start, length, word], ...]}, SIL for silence and
    names in plus signs for noises, which are silence here. Phones of one spelling in a row are one
    word: a word that is said twice is taken for one.
    """
    if not os.path.exists(path):
        return {}
    try:
        with gzip.open(path) as file:
            lines = json_lines(file.read(), path)
        return {line["utterance"]: _phones(line["phones"]) for line in lines}
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no alignment ({error!r}).") from error


def _phones(rows: list) -> list[Phone]:
    phones, word, last = [], -1, None
    for name, start, length, spelling in rows:
        silent = name == SILENCE or name.startswith("+")  # +NSN+ and the like are noises.
        word += not silent and spelling != last
        last = None if silent else spelling
        seconds = (start / _ALIGNED_FRAMES_PER_SECOND, length / _ALIGNED_FRAMES_PER_SECOND)
        phones.append(Phone(SILENCE if silent else name, *seconds, -1 if silent else word))
    return phones


def read_lexicon(path: str) -> dict[str, tuple[str, ...]]:
    """Word -> phones without stress (its first pronunciation); {} where there is no file.

    Each line is a word, a tab or spaces, and its ARPAbet phones.
    """
    lexicon: dict[str, tuple[str, ...]] = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                word, *phones = line.split() or [""]
                if phones:
                    lexicon.setdefault(word.upper(), tuple(p.rstrip("012") for p in phones))
    return lexicon
