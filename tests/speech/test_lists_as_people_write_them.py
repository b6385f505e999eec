"""What a list of recordings says is done, or refused: names, places, parts of files, splits."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from meta_shrink import DataError
from meta_shrink.speech.layouts import find_recordings
from tests.speech.test_find_recordings import ENTRIES, folder, found, tar

NFC, NFD = (unicodedata.normalize(form, "Zo\u00eb") for form in ("NFC", "NFD"))


def listed(*lines: dict) -> bytes:
    return "\n".join(map(json.dumps, lines)).encode()


@pytest.mark.parametrize("there", [NFC, NFD])
@pytest.mark.parametrize("told", [NFC, NFD])
@pytest.mark.parametrize("layout", ["metadata.jsonl", "metadata.csv"])
def test_letters_are_one_whatever_their_spelling(layout, told, there, tmp_path):
    """A list is written on one system, and the file is named on another."""
    name = f"{told}/a" if layout == "metadata.jsonl" else told
    lists = {
        "metadata.jsonl": listed({"path": f"{name}.wav", "text": "one"}),
        "metadata.csv": f"{name}|one".encode(),
    }
    place = f"{there}/a.wav" if layout == "metadata.jsonl" else f"wavs/{there}.wav"
    source = folder(tmp_path / "it", {layout: lists[layout], place: b"A"})
    (one,) = find_recordings(str(source)).recordings
    assert one.place.read() == b"A"
    if layout == "metadata.csv":
        assert one.utterance == NFC


def test_a_speaker_is_one_whatever_spaces_stand_around_the_name(tmp_path):
    names = [NFC, NFD, f" {NFC}", f"{NFD} ", 1, "1", " 1"]
    lines = [{"path": f"{n}.wav", "text": "one", "speaker": name} for n, name in enumerate(names)]
    sounds = {f"{n}.wav": bytes([n]) for n in range(len(names))}
    source = folder(tmp_path, {"metadata.jsonl": listed(*lines), **sounds})
    speakers = {one.speaker for one in find_recordings(str(source)).recordings}
    assert speakers == {NFC, "1"}


@pytest.mark.parametrize("layout", ["metadata.jsonl", "metadata.csv"])
def test_a_sound_that_is_not_there_is_left_out_by_its_name(layout, tmp_path):
    lists = {
        "metadata.jsonl": listed(
            {"path": "ann/a.wav", "text": "one"}, {"path": "ann/no.wav", "text": "two"}
        ),
        "metadata.csv": b"ann/a|one\nann/no|two",
    }
    source = folder(tmp_path, {layout: lists[layout], "ann/a.wav": b"A"})
    first, second = find_recordings(str(source)).recordings
    assert first.place.read() == b"A"
    with pytest.raises(DataError, match=rf"ann/no(\.wav)? of {layout} of .* is not there"):
        second.place.read()


@pytest.mark.parametrize("list_first", [True, False])
def test_a_list_without_its_sound_beside_the_sound_itself(list_first, tmp_path):
    """Of a tar and a folder, whichever comes first: the one that is there counts."""
    bare = {"metadata.jsonl": listed({"path": "ann/a.wav", "text": "one"})}
    whole = {"ann/a.wav": b"A", "ann/a.txt": b"one"}
    folder(tmp_path, bare if list_first else whole)
    tar(tmp_path / "x.tar", whole if list_first else bare)
    assert found(tmp_path) == {"ann/a": b"A"}


@pytest.mark.parametrize("key", ["start", "offset", "end"])
def test_a_part_of_a_file_is_refused(key, tmp_path):
    line = {"path": "ann/a.wav", "text": "one", "duration": 2.5}
    entries = {"ann/a.wav": b"A"}
    source = folder(tmp_path, {"metadata.jsonl": listed(line | {key: 1.5}), **entries})
    with pytest.raises(DataError, match=f"has '{key}', and files are read whole: cut ann/a.wav"):
        find_recordings(str(source))
    folder(tmp_path, {"metadata.jsonl": listed(line | {key: 0})})
    assert found(source) == {"ann/a": b"A"}


@pytest.mark.parametrize("name", ["dev", "Validation", "val", "dev-clean", "LibriTTS/dev-other"])
def test_speakers_to_validate_on_are_trained_on_and_told(name, tmp_path):
    entries = {f"{name}/{path}": content for path, content in ENTRIES.items()}
    entries |= {"train/cy/c.wav": b"C", "train/cy/c.txt": b"three"}
    said: list[str] = []
    source: Path = folder(tmp_path, entries)
    corpus = find_recordings(str(source), log=said.append)
    assert {one.speaker: one.split for one in corpus.recordings} == {
        "ann": "",
        "bo": "",
        "cy": "train",
    }
    (line,) = said
    assert line.startswith("2 speaker(s) in folders to validate on, ann, bo, are trained on")
