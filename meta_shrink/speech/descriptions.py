"""The ways in which corpora say who speaks in which file, and what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from meta_shrink.errors import DataError
from meta_shrink.speech.recordings import AUDIO, Place, Recording

Places = Mapping[str, Place]
METADATA, TABLE = "metadata.jsonl", "metadata.csv"
SPLITS = {"meta_train": "train", "train": "train", "meta_test": "test", "test": "test"}
_VCTK = re.compile(r"(?P<root>(?:.*/)?)txt/(?P<speaker>[^/]+)/(?P<name>[^/]+)\.txt")
_LIBRITTS = re.compile(
    r"(?P<folder>(?:.*/)?(?P<speaker>[^/]+)/[^/]+/)(?P<name>[^/]+)\.normalized\.txt"
)
_BESIDE = re.compile(r"(?P<folder>(?:.*/)?(?P<speaker>[^/]+)/)(?P<name>[^/]+)\.(?:txt|lab)")
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
    return Recording(
        speaker=str(line.get("speaker") or folder.rpartition("/")[2] or "speaker"),
        utterance=str(line.get("utterance") or name.rpartition(".")[0]),
        text=text,
        split=SPLITS.get(str(line.get("split")), ""),
        # What is not among the files is never opened, and left out when it is read.
        place=places.get(path, Place(f"{path} of {where}")),
    )


def json_lines(content: bytes, where: str) -> list[dict]:
    """The objects of a file with a JSON object in each line.

    Raises:
      DataError: it is none.
    """
    try:
        lines = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(f"{where} is not one JSON object a line ({error}).") from error
    if any(not isinstance(line, dict) for line in lines):
        raise DataError(f"{where} has a line that is no JSON object.")
    return lines


def _vctk(places: Places, where: str) -> list[Recording]:
    def audio(match: re.Match[str]) -> list[str]:
        own = f"{match['speaker']}/{match['name']}"
        return [match["root"] + form.format(own) for form in _VCTK_AUDIO]

    return _by_texts(_VCTK, audio, places, where)


def _libritts(places: Places, where: str) -> list[Recording]:
    return _by_texts(_LIBRITTS, _same_folder, places, where)


def _beside(places: Places, where: str) -> list[Recording]:
    return _by_texts(_BESIDE, _same_folder, places, where)


def _same_folder(match: re.Match[str]) -> list[str]:
    return [f"{match['folder']}{match['name']}{ending}" for ending in AUDIO]


def _by_texts(
    pattern: re.Pattern[str], audio: Callable, places: Places, where: str
) -> list[Recording]:
    """A recording for each text file whose name matches and that has one of its sound files."""
    recordings = []
    for path, place in places.items():
        match = pattern.fullmatch(path)
        found = [name for name in audio(match) if name in places] if match else []
        if match and found:
            text = _decoded(place.read(), f"{path} of {where}")
            split = next((s for s in ("train", "test") if re.search(rf"(^|/){s}[^/]*/", path)), "")
            recordings.append(
                Recording(match["speaker"], match["name"], text, split, places[found[0]])
            )
    return recordings


def _ljspeech(places: Places, where: str) -> list[Recording]:
    recordings = []
    for path in places:
        folder, _, name = path.rpartition("/")
        if name != TABLE:
            continue
        root = f"{folder}/" if folder else ""
        for line in _decoded(places[path].read(), f"{path} of {where}").splitlines():
            key, _, texts = line.partition("|")
            speaker = folder.rpartition("/")[2] or "speaker"
            options = [f"{root}{sub}{key}{end}" for sub in ("wavs/", "") for end in AUDIO]
            place = next((places[o] for o in options if o in places), Place(options[1]))
            if texts:
                recordings.append(Recording(speaker, key, texts.split("|")[-1], "", place))
    return recordings


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text ({error}).") from error


WAYS = (_metadata, _vctk, _libritts, _ljspeech, _beside)
