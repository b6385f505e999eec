"""Recordings as people have them: which utterances there are, who speaks, what is said, where."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from meta_shrink.errors import DataError
from meta_shrink.speech.features import Phone

AUDIO = (".flac", ".wav", ".ogg")
SPLITS = {"meta_train": "train", "train": "train", "meta_test": "test", "test": "test"}


class Place(NamedTuple):
    """Where the bytes of a file are: a whole file, or a part of an archive, perhaps compressed."""

    path: str
    offset: int = 0
    size: int = -1
    compressed: bool = False

    def read(self) -> bytes:
        """The bytes.

        Raises:
          DataError: they cannot be read.
        """
        try:
            with gzip.open(self.path) if self.compressed else open(self.path, "rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except (OSError, EOFError) as error:
            raise DataError(f"{self.path} cannot be read ({error}).") from error
        if 0 <= self.size != len(content):
            raise DataError(f"{self.path} is cut off.")
        return content


class Recording(NamedTuple):
    """One utterance: its names, what is said, its split ("train", "test" or ""), its audio.

    phones: a ready alignment, None where there is none.
    pronunciation: the phones of each word where the corpus gives them, else ().
    """

    speaker: str
    utterance: str
    text: str
    split: str
    place: Place
    phones: Sequence[Phone] | None = None
    pronunciation: Sequence[str] = ()


class Corpus(NamedTuple):
    """Recordings of a corpus, and its lexicon: word -> phones."""

    recordings: Sequence[Recording]
    lexicon: Mapping[str, Sequence[str]]


def described(line: Mapping[str, Any], places: Mapping[str, Place], where: str) -> Recording:
    """A recording of a line of metadata.jsonl: path, text, and where known speaker and split.

    Raises:
      DataError: no path or text, or no such file.
    """
    path, text = line.get("path"), line.get("text")
    if not isinstance(path, str) or not isinstance(text, str):
        raise DataError(f"{where} has a line without path or text: {str(dict(line))[:200]}.")
    if path not in places:
        raise DataError(f"{where} names {path}, which is not there.")
    folder, _, name = path.rpartition("/")
    return Recording(
        speaker=str(line.get("speaker") or folder.rpartition("/")[2] or "speaker"),
        utterance=str(line.get("utterance") or name.rpartition(".")[0]),
        text=text,
        split=SPLITS.get(str(line.get("split")), ""),
        place=places[path],
        pronunciation=tuple(line.get("phones") or ()),
    )
