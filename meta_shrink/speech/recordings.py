"""Recordings as people have them: which utterances there are, who speaks, what is said, where."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.speech.features import Phone

AUDIO = (".flac", ".wav", ".ogg")
ENDINGS = (*AUDIO, *(ending.upper() for ending in AUDIO))
# Sound that is not read.
OTHER_AUDIO = (".mp3", ".m4a", ".aac", ".opus", ".aif", ".aiff", ".wma", ".sph", ".webm", ".mp4")
OTHER_AUDIO += (".oga", ".au", ".caf", ".w64", ".wave", ".snd", ".amr", ".3gp", ".mka", ".spx")
OTHER_AUDIO += (".rf64", ".bwf", ".aifc", ".ac3", ".mp2")
_PACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# What they raise on damaged files.
PACKED_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def unpacked(file: Any) -> Any:
    """What a file packed by gzip, bzip2 or xz holds, told by how it begins; else itself."""
    start = file.read(6)
    file.seek(0)
    for begin, opened in _PACKERS.items():
        if start.startswith(begin):
            return opened(file)
    return file


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
                whole = unpacked(file) if self.compressed else file
                whole.seek(self.offset)
                content = whole.read(self.size)
        except PACKED_ERRORS as error:
            raise DataError(f"{self.path} cannot be read ({error}).") from error
        if 0 <= self.size != len(content):
            raise DataError(f"{self.path} is cut off.")
        return content


class Unreadable(NamedTuple):
    """In the place of a sound that is left out when it is read: a file, and what is wrong."""

    path: str
    why: str

    def read(self) -> bytes:
        """Raises:
        DataError: always.
        """
        raise DataError(f"{self.path} {self.why}")


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
