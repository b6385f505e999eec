"""The ways in which corpora say who speaks in which file, and what is said."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from meta_shrink.errors import DataError, first_names
from meta_shrink.speech.archives import Tree
from meta_shrink.speech.json_lines import json_lines
from meta_shrink.speech.lexicon import LEXICON
from meta_shrink.speech.recordings import AUDIO, ENDINGS, OTHER_AUDIO, Recording, Unreadable
from meta_shrink.speech.tables import located, table_recordings

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
_VALIDATION = re.compile(r"(?:^|/)(?:dev|val|valid|validation)(?:[^a-z/][^/]*)?/", re.IGNORECASE)
_SPLIT = re.compile(r"(?:^|/)(train|test)(?:ing)?(?:[^a-z/][^/]*)?/", re.IGNORECASE)
_MOST_LETTERS = 64  # Of the name of an adapter, which has none of these:
_NO_LETTERS = re.compile(r"[^A-Za-z0-9._-]+")
# Folders of sounds that are named after nobody.
_NOBODY = ("", "wavs", "wav", "audio", "clips", "sounds", "recordings")
Log = Callable[[str], Any]
_VCTK_AUDIO = ("wav48/{}.wav", "wav48_silence_trimmed/{}_mic1.flac")
_VCTK_AUDIO += ("wav48_silence_trimmed/{}_mic2.flac", "wav16/{}.wav")


def described(tree: Tree, *, log: Log = print) -> list[Recording]:
    """The recordings that the files of a corpus describe, in the first way that finds any.

    metadata.jsonl (path from its folder, text, and where known speaker, utterance, split in each
    line), in any folder; VCTK (txt/
    and wav48*/ with a folder a speaker); LibriTTS (speaker/chapter/name.normalized.txt);
    metadata.csv of LJSpeech (name|text|text as spoken, wavs/); a .txt or .lab beside each sound.
    Where no speaker is named, the folder or the tar is it.

    Args:
      log: told what else is there: texts without sound, recordings in another way.

    Raises:
      DataError: a description is broken.
    """
    names = list(WAYS)
    for number, name in enumerate(names):
        if recordings := WAYS[name](tree, log):
            used = {recording.place for recording in recordings}
            rest = {name: place for name, place in tree.files.items() if place not in used}
            _tell_others(Tree(tree.path, rest), name, names[number + 1 :], log)
            return recordings
    return []


def _tell_others(rest: Tree, first: str, others: Iterable[str], log: Log) -> None:
    for other in others:
        try:
            found = WAYS[other](rest, lambda _: None)
        except DataError:  # It is not read, so that it may be broken.
            continue
        if more := {r.place for r in found} & set(rest.files.values()):
            log(
                f"left out: {len(more)} recording(s) of {rest.path} that are described by {other}, "
                f"as {first} is read there, and one of them alone: give them a folder apart."
            )


def _speaker_of(folder: str, tree: Tree) -> str:
    """Who speaks where nothing says it: a folder's own name, or that of all."""
    for name in reversed(folder.split("/")):
        if name.lower() not in _NOBODY:
            return name
    name = _NO_LETTERS.sub("_", tree.name)[:_MOST_LETTERS]
    return name if name.strip("_.-") else "speaker"


def _metadata(tree: Tree, log: Log) -> list[Recording]:
    recordings = []
    for file, place in tree.files.items():
        if posixpath.basename(file) == METADATA:
            where = f"{file} of {tree.path}"
            lines = json_lines(place.read(), where)
            recordings += [_of_line(line, tree, posixpath.dirname(file), where) for line in lines]
    return recordings


def _of_line(line: dict, tree: Tree, root: str, where: str) -> Recording:
    """Of a line of a metadata.jsonl in the folder `root`, from which its paths go."""
    path, text = line.get("path"), line.get("text")
    if not isinstance(path, str) or not isinstance(text, str):
        raise DataError(f"{where} has a line without path or text: {str(line)[:200]}.")
    for key in ("start", "offset", "end"):
        if line.get(key):
            raise DataError(
                f"{where} has {key!r}, and files are read whole: cut {path}, and leave it out."
            )
    known = located(tree.files, root, path)
    folder, _, name = known.rpartition("/")
    split = _named(line, "split", "", where)
    if split and split not in SPLITS:
        raise DataError(
            f"{where} has the split {split!r}; expected one of {', '.join(SPLITS)}, or none."
        )
    return Recording(
        speaker=_named(line, "speaker", _speaker_of(folder, tree), where),
        utterance=_named(line, "utterance", name.rpartition(".")[0], where),
        text=text,
        split=SPLITS.get(split, ""),
        # What is not among the files is never opened.
        place=tree.files.get(known, Unreadable(f"{path} of {where}", "is not there.")),
    )


def _named(line: dict, key: str, usual: str, where: str) -> str:
    """A name of a line, which may be a number; the usual one where there is none."""
    value = line.get(key)
    if value is None or value == "":
        return usual
    if type(value) not in (str, int):
        raise DataError(f"{where} has a line whose {key} is no name: {str(line)[:200]}.")
    return unicodedata.normalize("NFC", str(value)).strip() or usual


def _vctk(tree: Tree, log: Log) -> list[Recording]:
    def audio(match: re.Match[str]) -> list[str]:
        own = f"{match['speaker']}/{match['name']}"
        forms = [match["root"] + form.format(own) for form in _VCTK_AUDIO]
        return [form for form in forms if form in tree.files][:1]

    return _by_texts(_VCTK, audio, tree, log)


def _libritts(tree: Tree, log: Log) -> list[Recording]:
    return _by_texts(_LIBRITTS, _same_folder, tree, log)


def _ljspeech(tree: Tree, log: Log) -> list[Recording]:
    recordings = []
    for path in tree.files:
        folder, _, name = path.rpartition("/")
        if name == TABLE:
            table = _decoded(tree.files[path].read(), f"{path} of {tree.path}")
            speaker = _speaker_of(folder, tree)
            recordings += table_recordings(table, path, speaker, tree.files, tree.path)
    return recordings


def _beside(tree: Tree, log: Log) -> list[Recording]:
    homes: dict[str, str] = {}
    for path in tree.files:
        match = _BESIDE.fullmatch(path)
        if not match or not any(name in tree.files for name in _same_folder(match)):
            continue
        home = homes.setdefault(match["speaker"], match["folder"])
        if home != match["folder"]:
            raise DataError(
                f"Two folders of {tree.path} are called as one speaker, {home} and "
                f"{match['folder']}: rename one, or say who speaks in a metadata.jsonl."
            )
    return _by_texts(_BESIDE, _same_folder, tree, log)


def _same_folder(match: re.Match[str]) -> list[str]:
    return [f"{match['folder']}{match['name']}{ending}" for ending in ENDINGS]


def _by_texts(pattern: re.Pattern[str], audio: Callable, tree: Tree, log: Log) -> list[Recording]:
    """A recording for each sound file of each text file whose name matches."""
    recordings, soundless, aside = [], [], set[str]()
    for path, place in tree.files.items():
        match = pattern.fullmatch(path)
        found = [name for name in audio(match) if name in tree.files] if match else []
        if match and not found and not path.endswith(f"/{LEXICON}"):
            soundless.append(path)
        if match and found:
            sounds: list[Any] = [tree.files[name] for name in found]
            try:
                text = _decoded(place.read(), f"{path} of {tree.path}")
            except DataError as error:  # Of one alone: the others are heard.
                why = f"cannot be heard without its text: {error}"
                text, sounds = "", [Unreadable(sound.path, why) for sound in sounds]
            above = path[: match.start("speaker")]
            split = _SPLIT.search(above)
            if _VALIDATION.search(above):
                aside.add(match["speaker"])
            own = match["speaker"], match["name"], text, split[1].lower() if split else ""
            recordings += [Recording(*own, sound) for sound in sounds]
    if recordings:
        _tell_soundless(soundless, tree, log)
    if aside:
        log(
            f"{len(aside)} speaker(s) in folders to validate on, {first_names(sorted(aside))}, are "
            "trained on: only train and test are told apart; take them away if they should not be."
        )
    return recordings


def _tell_soundless(texts: list[str], tree: Tree, log: Log) -> None:
    """Names the texts of no sound, in the folders of speakers; not those of a sound that is not
    read, which is named itself.
    """
    stems = [os.path.splitext(name) for name in tree.files]
    unread = {stem for stem, ending in stems if ending.lower() in OTHER_AUDIO}
    alone = [path for path in texts if os.path.splitext(path)[0] not in unread]
    if alone:
        log(
            f"left out: {len(alone)} text(s) of {tree.path} without a sound file "
            f"({', '.join(AUDIO)}) of that name: {first_names(alone)}"
        )


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text ({error}): save it as UTF-8.") from error


WAYS: dict[str, Callable[[Tree, Log], list[Recording]]] = {
    METADATA: _metadata,
    "the layout of VCTK": _vctk,
    "the layout of LibriTTS": _libritts,
    TABLE: _ljspeech,
    "a .txt or .lab beside each sound": _beside,
}
