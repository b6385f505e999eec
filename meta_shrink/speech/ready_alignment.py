"""Ready alignments of a corpus: which phone is said when, without its sound being heard."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

from meta_shrink.errors import DataError
from meta_shrink.speech.features import SILENCE, Phone
from meta_shrink.speech.json_lines import json_lines
from meta_shrink.speech.recordings import Place

ALIGNMENT = "phone_alignment.jsonl.gz"
_FRAMES_PER_SECOND = 100


def read_alignments(places: Sequence[Place]) -> dict[str, list[Phone]]:
    """Utterance -> phones, of all files.

    Raises:
      DataError: one is no alignment, or two align one utterance otherwise.
    """
    found: dict[str, list[Phone]] = {}
    for place in places:
        for name, phones in read_alignment(place).items():
            if found.setdefault(name, phones) != phones:
                raise DataError(
                    f"{place.path} aligns {name} otherwise than another {ALIGNMENT} of the same "
                    "corpus: leave one of them."
                )
    return found


def read_alignment(place: Place) -> dict[str, list[Phone]]:
    """Utterance -> phones of a ready alignment in frames of 10 ms.

    Each line is {"utterance", "phones": [[phone, start, length, word], ...]}, SIL for silence and
    names in plus signs for noises, which are silence here. Phones of one spelling in a row are one
    word: a word that is said twice is taken for one.

    Raises:
      DataError: it is none.
    """
    path, content = place.path, place.read()
    try:
        lines = json_lines(gzip.decompress(content), path)
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
        seconds = (start / _FRAMES_PER_SECOND, length / _FRAMES_PER_SECOND)
        phones.append(Phone(SILENCE if silent else name, *seconds, -1 if silent else word))
    return phones
