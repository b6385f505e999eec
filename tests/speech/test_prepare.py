"""Corpora in every layout become the same speakers."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from meta_shrink import DataError, UsageError
from meta_shrink.speech import prepare as preparing
from meta_shrink.speech import speaker_files
from meta_shrink.speech.corpus import read_speaker, read_speakers
from meta_shrink.speech.prepare import prepare_speech
from tests.image_data import published

QUIET: Any = {"log": lambda _: None}
# Found, not imported: pyworld is imported in a way of our own.
if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "pyworld")):
    pytest.skip("needs the extra speech", allow_module_level=True)


@pytest.fixture(scope="module")
def sounds() -> dict[tuple[str, str], tuple[bytes, str]]:
    """(speaker, utterance) -> (WAV, text) of six real utterances of two speakers."""
    with tarfile.open(published("speech") / "so762_sample_wav.tar.gz") as archive:
        content = {m.name: read(archive, m) for m in archive if m.isfile()}
    lines = [json.loads(line) for line in content.pop("metadata.jsonl").splitlines()]
    found = {(x["speaker"], x["utterance"]): (content[x["path"]], x["text"]) for x in lines}
    return {key: found[key] for key in sorted(found)[:6]}


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def as_flac(wav: bytes) -> bytes:
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return file.getvalue()


def metadata(folder: Path, sounds) -> None:
    lines = []
    for (speaker, name), (wav, text) in sounds.items():
        write(folder / speaker / f"{name}.wav", wav)
        lines.append(json.dumps({"path": f"{speaker}/{name}.wav", "text": text}))
    write(folder / "metadata.jsonl", "\n".join(lines))


def archive(folder: Path, sounds) -> None:
    metadata(folder / "files", sounds)
    with tarfile.open(folder / "corpus.tar", "w") as file:
        for path in sorted((folder / "files").rglob("*")):
            file.add(path, path.relative_to(folder / "files"))
    shutil.rmtree(folder / "files")


def vctk(folder: Path, sounds) -> None:
    for (speaker, name), (wav, text) in sounds.items():
        write(folder / "wav48" / speaker / f"{name}.wav", wav)
        write(folder / "txt" / speaker / f"{name}.txt", f"{text.capitalize()}.\n")


def vctk_0_92(folder: Path, sounds) -> None:
    for (speaker, name), (wav, text) in sounds.items():
        for microphone in ("mic1", "mic2"):
            path = folder / "wav48_silence_trimmed" / speaker / f"{name}_{microphone}.flac"
            write(path, as_flac(wav))
        write(folder / "txt" / speaker / f"{name}.txt", text)


def libritts(folder: Path, sounds) -> None:
    for (speaker, name), (wav, text) in sounds.items():
        write(folder / speaker / "7" / f"{name}.wav", wav)
        write(folder / speaker / "7" / f"{name}.normalized.txt", text)
        write(folder / speaker / "7" / f"{name}.original.txt", "not 1 of these")


def ljspeech(folder: Path, sounds) -> None:
    for speaker in {speaker for speaker, _ in sounds}:
        rows = io.StringIO()
        table = csv.writer(rows, delimiter="|", quoting=csv.QUOTE_NONE, lineterminator="\n")
        for (own, name), (wav, text) in sounds.items():
            if own == speaker:
                write(folder / speaker / "wavs" / f"{name}.wav", wav)
                table.writerow([name, "as written in 1998", text])
        write(folder / speaker / "metadata.csv", rows.getvalue())


def beside(folder: Path, sounds) -> None:
    for (speaker, name), (wav, text) in sounds.items():
        write(folder / speaker / f"{name}.wav", wav)
        write(folder / speaker / f"{name}.lab", text)


LAYOUTS: list[Callable] = [metadata, archive, vctk, vctk_0_92, libritts, ljspeech, beside]


def all_codes(folder: Path) -> dict[tuple[str, str], bytes]:
    return {
        (speaker.name, u.name): u.codes.tobytes() + u.features.phones.tobytes()
        for speaker in read_speakers(str(folder))
        for u in speaker.utterances
    }


@pytest.fixture(scope="module")
def wanted(sounds, tmp_path_factory) -> dict[tuple[str, str], bytes]:
    folder = tmp_path_factory.mktemp("wanted")
    metadata(folder / "from", sounds)
    prepare_speech(str(folder / "from"), str(folder / "out"), **QUIET)
    return all_codes(folder / "out")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_speakers(layout, sounds, wanted, tmp_path):
    layout(tmp_path / "from", sounds)
    done = prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **QUIET)
    assert all_codes(tmp_path / "out") == wanted
    assert sum(p.utterances for p in done) == 6 and not any(p.left_out for p in done)


def test_what_cannot_be_used_is_named_and_left_out(sounds, wanted, tmp_path):
    source = tmp_path / "from"
    metadata(source, sounds)
    lines = (source / "metadata.jsonl").read_text().splitlines()
    one, two, three = (json.loads(line) for line in lines[:3])
    write(source / one["path"], b"RIFF, but not a sound")
    lines[1] = json.dumps({**two, "text": "room 101"})
    (source / three["path"]).unlink()
    write(source / "metadata.jsonl", "\n".join(lines))
    said: list[str] = []
    done = prepare_speech(str(source), str(tmp_path / "out"), log=said.append)
    left = {name for p in done for name, _ in p.left_out}
    bad = {Path(line["path"]).stem for line in (one, two, three)}
    assert left == bad
    assert sum(line.startswith("left out: ") for line in said) == 3
    rest = {key: value for key, value in wanted.items() if key[1] not in bad}
    assert all_codes(tmp_path / "out") == rest


def test_a_killed_preparation_goes_on(sounds, wanted, tmp_path, monkeypatch):
    metadata(tmp_path / "from", sounds)
    monkeypatch.setattr(speaker_files, "CHUNK", 2)
    done: list[str] = []
    utterance = preparing.prepare_utterance

    def dies(recording, *rest):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(recording.utterance)
        return utterance(recording, *rest)

    monkeypatch.setattr(preparing, "prepare_utterance", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **QUIET)
    done.clear()
    prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **QUIET)
    # One speaker was whole, and the first piece of the other one was kept.
    assert len(done) == 1
    assert all_codes(tmp_path / "out") == wanted
    assert not (tmp_path / "out" / "parts").exists()


def test_nothing_is_made_twice_and_another_rate_is_made_anew(sounds, tmp_path, monkeypatch):
    metadata(tmp_path / "from", sounds)
    source, out = str(tmp_path / "from"), str(tmp_path / "out")
    prepare_speech(source, out, **QUIET)
    monkeypatch.setattr(preparing, "prepare_piece", lambda job: pytest.fail("made twice"))
    assert sum(p.utterances for p in prepare_speech(source, out, **QUIET)) == 6
    monkeypatch.undo()
    prepare_speech(source, out, sample_rate=24_000, **QUIET)
    speaker = read_speaker(str(next((tmp_path / "out").glob("*.npz"))))
    assert speaker.sample_rate == 24_000
    assert all(len(u.codes) == 120 * len(u.features.phones) for u in speaker.utterances)


@pytest.mark.slow
def test_several_processes_make_the_same(sounds, wanted, tmp_path):
    metadata(tmp_path / "from", sounds)
    prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), processes=2, **QUIET)
    assert all_codes(tmp_path / "out") == wanted


def test_names_that_no_file_may_have_stay_apart(sounds, tmp_path):
    names = ["../up", "a/b", "a_b", "a b", ".", "ä"]
    lines = []
    for number, (name, (wav, text)) in enumerate(zip(names, sounds.values(), strict=False)):
        write(tmp_path / "from" / f"{number}.wav", wav)
        lines.append(json.dumps({"path": f"{number}.wav", "text": text, "speaker": name}))
    write(tmp_path / "from" / "metadata.jsonl", "\n".join(lines))
    prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **QUIET)
    assert sorted(s.name for s in read_speakers(str(tmp_path / "out"))) == sorted(names)
    assert {p.name for p in tmp_path.iterdir()} == {"from", "out"}


@pytest.mark.parametrize("emphasis", [0.0, 0.85])
def test_the_codes_are_those_of_the_sound(emphasis, sounds, tmp_path):
    metadata(tmp_path / "from", sounds)
    asked = QUIET | {"pre_emphasis": emphasis}
    prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **asked)
    for speaker in read_speakers(str(tmp_path / "out")):
        for utterance in speaker.utterances:
            wav, _ = sounds[speaker.name, utterance.name]
            samples, _ = soundfile.read(io.BytesIO(wav), dtype="float64")
            samples = samples[: len(utterance.codes)]
            samples = samples - emphasis * np.append(0, samples[:-1])
            curve = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)
            assert (utterance.codes == np.floor((curve + 1) / 2 * 255 + 0.5)).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "holds no recordings"),
        ({"metadata.jsonl": "{"}, "not one JSON object a line"),
        ({"metadata.jsonl": '{"path": 3}'}, "without path or text"),
        ({"metadata.jsonl": '{"path": "a.wav", "text": "no such file"}'}, "No utterance"),
        ({"a.tar": "no tar"}, "not a whole tar"),
    ],
)
def test_a_corpus_that_is_none_is_refused(content, says, tmp_path):
    (tmp_path / "from").mkdir()
    for name, text in content.items():
        write(tmp_path / "from" / name, text)
    with pytest.raises(DataError, match=says):
        prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), **QUIET)


@pytest.mark.parametrize("options", [{"processes": 0}, {"processes": 257}, {"sample_rate": 22_050}])
def test_options_out_of_range_are_refused(options, tmp_path):
    with pytest.raises(UsageError, match=next(iter(options))):
        prepare_speech(str(tmp_path), str(tmp_path / "out"), **options, **QUIET)
