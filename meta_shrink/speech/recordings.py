"""Recordings as people have them: which utterances there are, who speaks, what is said, where."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.speech.features import Phone

AUDIO = (".flac", ".wav", ".ogg")
ENDINGS = (*AUDIO, *(ending.upper() for ending in AUDIO))
# Sound that is not read.
OTHER_AUDIO = (".mp3", ".m4a", ".aac", ".opus", ".aif", ".aiff", ".wma", ".sph", ".webm", ".mp4")


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
            with open_file(self.path) as file:
                whole = gzip.GzipFile(fileobj=file) if self.compressed else file
                whole.seek(self.offset)
                content = whole.read(self.size)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{self.path} cannot be read ({error}).") from error
        if 0 <= self.size != len(content):
            raise DataError(f"{self.path} is cut off.")
        return content


class Readable(Protocol):
    """A place of bytes: a Place, or an example of a data set."""

    @property
    def path(self) -> str:
        """The file or folder, to be named in messages."""
        ...

    def read(self) -> bytes:
        """The bytes; DataError if they cannot be read."""
        ...


class Recording(NamedTuple):
    """One utterance: its names, what is said, its split ("train", "test" or ""), its audio.

    phones: a ready alignment, None where there is none.
    """

    speaker: str
    utterance: str
    text: str
    split: str
    place: Readable
    phones: Sequence[Phone] | None = None


Lexicon = Mapping[str, Sequence[str]]  # Word in capitals -> its phones without stress.


class Corpus(NamedTuple):
    """Recordings of a corpus, and its lexicon."""

    recordings: Sequence[Recording]
    lexicon: Lexicon
