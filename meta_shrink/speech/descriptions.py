"""The ways in which corpora say who speaks in which file, and what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from meta_shrink.errors import DataError
from meta_shrink.speech.recordings import ENDINGS, Place, Recording

Places = Mapping[str, Place]
METADATA, TABLE = "metadata.jsonl", "metadata.csv"
SPLITS = {"meta_train": "train", "train": "train", "meta_test": "test", "test": "test"}
# A name may hold the end of a line.
_VCTK = re.compile(r"(?P<root>(?s:.*/)?)txt/(?P<speaker>[^/]+)/(?P<name>[^/]+)\.txt")
_LIBRITTS = re.compile(
    r"(?P<folder>(?s:.*/)?(?P<speaker>[^/]+)/[^/]+/)(?P<name>[^/]+)\.normalized\.txt"
)
_BESIDE = re.compile(
    r"(?P<folder>(?s:.*/)?(?P<speaker>[^/]+)/)(?P<name>[^/]+)\.(?:txt|lab|TXT|LAB)"
)
_SPLIT = re.compile(r"(?:^|/)(train|test)(?:ing)?(?:[^a-z/][^/]*)?/", re.IGNORECASE)
# What str.splitlines takes for an end beside these may stand within a text.
LINE_ENDS = re.compile(r"\r\n|\r|\n")
MOST_COLUMNS = 3
_VCTK_AUDIO = ("wav48/{}.wav", "wav48_silence_trimmed/{}_mic1.flac")
_VCTK_AUDIO += ("wav48_silence_trimmed/{}_mic2.flac", "wav16/{}.wav")


def described(places: Places, where: str) -> list[Recording]:
    """The recordings that the files of a corpus describe, in the first way that finds any.

    metadata.jsonl (path, text, and where known speaker, utterance, split in each line); VCTK (txt/
    and wav48*/ with a folder a speaker); LibriTTS (speaker/chapter/name.normalized.txt);
    metadata.csv of LJSpeech (name|text|text as spoken, wavs/); a .txt or .lab beside each sound.

    Raises:
      DataError: a description is broken.
    """
    for way in WAYS:
        if recordings := way(places, where):
            return recordings
    return []


def _metadata(places: Places, where: str) -> list[Recording]:
    if METADATA not in places:
        return []
    where = f"{METADATA} of {where}"
    lines = json_lines(places[METADATA].read(), where)
    return [_of_line(line, places, where) for line in lines]


def _of_line(line: dict, places: Places, where: str) -> Recording:
    path, text = line.get("path"), line.get("text")
    if not isinstance(path, str) or not isinstance(text, str):
        raise DataError(f"{where} has a line without path or text: {str(line)[:200]}.")
    folder, _, name = path.rpartition("/")
    split = _named(line, "split", "", where)
    if split and split not in SPLITS:
        raise DataError(
            f"{where} has the split {split!r}; expected one of {', '.join(SPLITS)}, or none."
        )
    return Recording(
        speaker=_named(line, "speaker", folder.rpartition("/")[2] or "speaker", where),
        utterance=_named(line, "utterance", name.rpartition(".")[0], where),
        text=text,
        split=SPLITS.get(split, ""),
        # What is not among the files is never opened, and left out when it is read.
        place=places.get(path, Place(f"{path} of {where}")),
    )


def _named(line: dict, key: str, usual: str, where: str) -> str:
    """A name of a line, which may be a number; the usual one where there is none."""
    value = line.get(key)
    if value is None or value == "":
        return usual
    if type(value) not in (str, int):
        raise DataError(f"{where} has a line whose {key} is no name: {str(line)[:200]}.")
    return str(value)


def json_lines(content: bytes, where: str) -> list[dict]:
    """The objects of a file with a JSON object in each line.

    Raises:
      DataError: it is none.
    """
    try:
        lines = LINE_ENDS.split(content.decode("utf-8-sig"))
        lines = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"{where} is not one JSON object a line ({error}).") from error
    if any(not isinstance(line, dict) for line in lines):
        raise DataError(f"{where} has a line that is no JSON object.")
    return lines


def _vctk(places: Places, where: str) -> list[Recording]:
    def audio(match: re.Match[str]) -> list[str]:
        own = f"{match['speaker']}/{match['name']}"
        forms = [match["root"] + form.format(own) for form in _VCTK_AUDIO]
        return [form for form in forms if form in places][:1]

    return _by_texts(_VCTK, audio, places, where)


def _libritts(places: Places, where: str) -> list[Recording]:
    return _by_texts(_LIBRITTS, _same_folder, places, where)


def _beside(places: Places, where: str) -> list[Recording]:
    homes: dict[str, str] = {}
    for path in places:
        match = _BESIDE.fullmatch(path)
        if not match or not any(name in places for name in _same_folder(match)):
            continue
        home = homes.setdefault(match["speaker"], match["folder"])
        if home != match["folder"]:
            raise DataError(
                f"Two folders of {where} are called as one speaker, {home} and {match['folder']}: "
                "rename one, or say who speaks in a metadata.jsonl."
            )
    return _by_texts(_BESIDE, _same_folder, places, where)


def _same_folder(match: re.Match[str]) -> list[str]:
    return [f"{match['folder']}{match['name']}{ending}" for ending in ENDINGS]


def _by_texts(
    pattern: re.Pattern[str], audio: Callable, places: Places, where: str
) -> list[Recording]:
    """A recording for each sound file of each text file whose name matches."""
    recordings = []
    for path, place in places.items():
        match = pattern.fullmatch(path)
        found = [name for name in audio(match) if name in places] if match else []
        if match and found:
            text = _decoded(place.read(), f"{path} of {where}")
            split = _SPLIT.search(path[: match.start("speaker")])
            own = match["speaker"], match["name"], text, split[1].lower() if split else ""
            recordings += [Recording(*own, places[name]) for name in found]
    return recordings


def _ljspeech(places: Places, where: str) -> list[Recording]:
    recordings = []
    for path in places:
        folder, _, name = path.rpartition("/")
        if name != TABLE:
            continue
        root = f"{folder}/" if folder else ""
        speaker = folder.rpartition("/")[2] or "speaker"
        for key, text in _rows(_decoded(places[path].read(), f"{path} of {where}"), path, where):
            options = [f"{root}{sub}{key}{end}" for sub in ("wavs/", "") for end in ENDINGS]
            found = [places[o] for o in options if o in places]
            # What is not among the files is never opened, and left out when it is read.
            for place in found or [Place(f"{root}wavs/{key} of {path} of {where}")]:
                recordings.append(Recording(speaker, key, text, "", place))
    return recordings


def _rows(table: str, path: str, where: str) -> list[tuple[str, str]]:
    """(name, text as spoken) of each line; none of a table of something else, without any bar."""
    lines = [line for line in LINE_ENDS.split(table) if line.strip()]
    rows = [line.split("|") for line in lines]
    odd = [line for line, row in zip(lines, rows, strict=True) if not 2 <= len(row) <= MOST_COLUMNS]
    if "|" not in table:
        return []
    if odd:
        raise DataError(
            f"{path} of {where} has a line of other columns than name|text or name|text|text as "
            f"spoken: {odd[0][:200]!r}."
        )
    return [(row[0], row[-1]) for row in rows]


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text ({error}).") from error


WAYS = (_metadata, _vctk, _libritts, _ljspeech, _beside)
