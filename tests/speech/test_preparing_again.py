"""A folder of prepared speech is what its corpus is now, and nothing of somebody else is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meta_shrink import DataError
from meta_shrink.errors import InUseError
from meta_shrink.runs.locks import only_process_in
from meta_shrink.speech import prepare as preparing
from meta_shrink.speech import speaker_files
from meta_shrink.speech.corpus import read_speakers
from meta_shrink.speech.prepare import prepare_speech
from tests.speech.samples import utterance


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A corpus of two speakers whose sound files are numbers, spoken in as many frames."""

    def prepared(recording, *_):
        frames = int(recording.place.read())
        if not frames:
            raise DataError("it is silent.")
        return utterance(recording.utterance, frames)

    monkeypatch.setattr(preparing, "prepare_utterance", prepared)
    for name, content in {"ann/a": "5", "ann/b": "6", "bo/a": "7"}.items():
        path = tmp_path / "from" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.with_suffix(".txt").write_text("one")
    return tmp_path / "from"


def prepare(source: Path, told: list[str] | None = None) -> dict[str, list[int]]:
    """{speaker: frames of the utterances} of the folder `out` beside it, prepared."""
    out = str(source.parent / "out")
    prepare_speech(str(source), out, log=(told if told is not None else []).append)
    return {
        speaker.name: [len(one.features.phones) for one in speaker.utterances]
        for speaker in read_speakers(out)
    }


def test_a_recording_that_was_made_anew_is_prepared_anew(source):
    assert prepare(source) == {"ann": [5, 6], "bo": [7]}
    (source / "bo" / "a.wav").write_text("19")
    assert prepare(source) == {"ann": [5, 6], "bo": [19]}


def test_a_corpus_is_the_same_from_wherever_the_command_is_typed(source, monkeypatch):
    prepare(source)
    monkeypatch.chdir(source.parent)
    prepare_speech("from", "out", log=(told := []).append)
    assert "3 recordings of 2 speakers; 2 were prepared already." in told


def test_a_speaker_of_whom_nothing_is_left_has_no_file(source):
    prepare(source)
    (source / "bo" / "a.wav").write_text("0")
    assert prepare(source) == {"ann": [5, 6]}


def test_speakers_of_another_corpus_are_named(source):
    prepare(source, told := [])
    assert not any("also holds" in line for line in told)
    (source / "bo").rename(source / "cy")
    (source / "cy/a.wav").write_text("8")
    assert prepare(source, told) == {"ann": [5, 6], "bo": [7], "cy": [8]}
    assert "also holds 1 speaker(s)" in told[-1] and "trained on: bo.npz" in told[-1]


def test_a_sound_in_another_file_is_left_out(source):
    (source / "ann/c.wav").write_text("6 ")  # Other bytes, as a FLAC's; the same sound as ann/b.
    (source / "ann/c.txt").write_text("one")
    assert prepare(source, told := []) == {"ann": [5, 6], "bo": [7]}
    assert "left out: ann/c: it is the same sound as b." in told


def test_a_sound_of_two_speakers_is_refused_whatever_its_file(source):
    (source / "bo/a.wav").write_text("6 ")
    with pytest.raises(DataError, match="ann/b and bo/a are the same sound, and what is held out"):
        prepare_speech(str(source), str(source.parent / "out"), log=lambda line: None)


def test_a_speaker_who_was_given_another_name_is_refused_when_read(source):
    prepare(source)
    (source / "bo").rename(source / "cy")
    with pytest.raises(DataError, match="bo/a and cy/a are the same sound"):
        prepare(source)


def test_somebody_else_of_the_same_name_replaces_nobody(source):
    prepare(source)
    file = source.parent / "out" / "bo.npz"
    before = file.read_bytes()
    for ending in (".wav", ".txt"):
        (source / "bo" / "a").with_suffix(ending).rename((source / "bo" / "z").with_suffix(ending))
    with pytest.raises(DataError, match=r"bo\.npz holds bo with a and the like, .* now, z and"):
        prepare(source)
    assert file.read_bytes() == before
    for ending in (".wav", ".txt"):  # One recording more is no other speaker.
        old = (source / "bo" / "z").with_suffix(ending)
        (source / "bo" / "a").with_suffix(ending).write_bytes(old.read_bytes().replace(b"7", b"8"))
    assert prepare(source) == {"ann": [5, 6], "bo": [8, 7]}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"sample_rate": 24_000}, r"holds bo\.npz with sample_rate 16000, .*24000 is"),
        ({"pre_emphasis": 0.85}, r"holds bo\.npz with pre_emphasis 0\.0, .*0\.85 is"),
    ],
)
def test_codes_of_two_kinds_do_not_come_into_one_folder(source, other, says):
    prepare(source)
    out = source.parent / "out"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bo = source / "bo"
    bo.rename(source.parent / "bo")
    with pytest.raises(DataError, match=says):
        prepare_speech(str(source), str(out), **other, log=lambda _: None)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.suffix == ".npz"} == {
        name: content for name, content in before.items() if name.endswith(".npz")
    }
    (source.parent / "bo").rename(bo)
    prepare_speech(str(source), str(out), **other, log=lambda _: None)
    for name, value in other.items():
        assert {getattr(speaker, name) for speaker in read_speakers(str(out))} == {value}


def test_files_of_somebody_else_stay(source):
    mine = source.parent / "out" / "parts"
    mine.mkdir(parents=True)
    (mine / "of a piano.npz").write_text("mine")
    assert prepare(source) == {"ann": [5, 6], "bo": [7]}
    assert [path.name for path in mine.iterdir()] == ["of a piano.npz"]


def stopped_at_bo(source, monkeypatch) -> None:
    """Prepared up to ann, of whom a piece is there."""
    piece = preparing.prepare_piece

    def dies(job):
        if "bo" in job.path:
            raise KeyboardInterrupt
        return piece(job)

    monkeypatch.setattr(preparing, "prepare_piece", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(source)
    monkeypatch.setattr(preparing, "prepare_piece", piece)


def test_another_corpus_leaves_what_was_prepared_in_part(source, monkeypatch):
    monkeypatch.setattr(speaker_files, "CHUNK", 1)
    stopped_at_bo(source, monkeypatch)  # ann is whole by then, and her pieces are there.
    parts, other = source.parent / "out/parts", source.parent / "other"
    before = sorted(parts.iterdir())
    for path in ("zoe/a.wav", "zoe/a.txt"):
        (other / path).parent.mkdir(parents=True, exist_ok=True)
        (other / path).write_text("11")
    prepare_speech(str(other), str(source.parent / "out"), log=lambda _: None)
    assert before and sorted(parts.iterdir()) == before
    with pytest.raises(DataError, match=r"is prepared in part: .* or remove"):
        read_speakers(str(source.parent / "out"))


def test_pieces_of_a_speaker_who_has_fewer_now_do_not_stay(source, monkeypatch):
    monkeypatch.setattr(speaker_files, "CHUNK", 1)
    stopped_at_bo(source, monkeypatch)
    (source / "ann/b.wav").unlink()
    assert prepare(source) == {"ann": [5], "bo": [7]}


def test_what_is_prepared_in_part_is_not_trained_on(source, monkeypatch):
    stopped_at_bo(source, monkeypatch)
    with pytest.raises(DataError, match="is prepared in part"):
        read_speakers(str(source.parent / "out"))
    assert prepare(source) == {"ann": [5, 6], "bo": [7]}
    assert not (source.parent / "out" / "parts").exists()


def test_one_process_prepares_at_a_time(source):
    prepare(source)
    with only_process_in(str(source.parent / "out")), pytest.raises(InUseError, match="in use by"):
        prepare(source)


def test_a_speaker_of_two_splits_is_refused(source):
    lines = [
        {"path": f"ann/{name}.wav", "text": "one", "split": split}
        for name, split in (("a", "train"), ("b", "test"))
    ]
    (source / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match="ann is in two splits, 'train' with a and 'test' with b"):
        prepare(source)
    assert not (source.parent / "out").exists()


def test_a_long_name_is_no_file_name_and_stays(source):
    names = ["x" * 255, "x" * 254]
    for old, new in zip(("ann", "bo"), names, strict=True):
        (source / old).rename(source / new)
    assert prepare(source) == dict(zip(names, ([5, 6], [7]), strict=True))
    assert max(len(path.name) for path in (source.parent / "out").iterdir()) < 100
