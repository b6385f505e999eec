"""What a corpus says is heard whole, or refused by its name; what is left out is told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from meta_shrink import DataError
from meta_shrink.speech.layouts import find_recordings
from tests.speech.test_find_recordings import folder

SOUND = {"wavs/a.wav": b"A", "wavs/b.wav": b"B"}
SPOKEN = {"ann/a.wav": b"A", "ann/a.txt": b"one", "bo/a.wav": b"B", "bo/a.txt": b"two"}


def listed(*lines: dict, end: str = "\n") -> dict[str, bytes]:
    text = end.join(json.dumps(line, ensure_ascii=False) for line in lines)
    return {**SOUND, "metadata.jsonl": text.encode()}


def table(text: str) -> dict[str, bytes]:
    return {f"ann/{name}": content for name, content in SOUND.items()} | {
        "ann/metadata.csv": text.encode()
    }


def found(path: Path, entries: dict[str, bytes], told: list | None = None) -> list[tuple]:
    log = print if told is None else told.append
    recordings = find_recordings(str(folder(path, entries)), log=log).recordings
    return [(one.speaker, one.utterance, one.text, one.split) for one in recordings]


A, B = {"path": "wavs/a.wav", "text": "one"}, {"path": "wavs/b.wav", "text": "two"}


@pytest.mark.parametrize(
    ("line", "speaker", "utterance"),
    [({"speaker": 0, "utterance": 0}, "0", "0"), ({"speaker": None, "utterance": ""}, "", "a")],
)
def test_names_in_a_list_may_be_numbers_or_not_there(line, speaker, utterance, tmp_path):
    assert found(tmp_path / "cy", listed(A | line)) == [(speaker or "cy", utterance, "one", "")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_a_text_ends_where_its_line_does(odd, end, tmp_path):
    text = f"one {odd} more"
    lines = [("list", "a", text, ""), ("list", "b", "two", "")]
    assert found(tmp_path / "list", listed(A | {"text": text}, B, end=end)) == lines
    rows = [("ann", *line[1:]) for line in lines]
    assert found(tmp_path / "table", table(f"\ufeffa|1|{text}{end}b|2|two{end}")) == rows


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (listed(A | {"split": "dev"}), "'dev'; expected one of meta_train, train, meta_test, test"),
        (listed(A | {"speaker": ["ann"]}), "whose speaker is no name"),
        (listed(A | {"speaker": True}), "whose speaker is no name"),
        (listed(A, A | {"text": "two"}), "/a has two texts, 'one' and 'two'"),
        (table("a|one\nb,two"), "other columns than .* 'b,two'"),
        (table("a|one|one|ann"), "other columns than .* 'a|one|one|ann'"),
        (table("a|one\na|two"), "ann/a has two texts, 'one' and 'two'"),
        ({**SPOKEN, "ann/a.lab": b"three"}, "ann/a has two texts, 'three' and 'one'"),
        ({f"{key[:2]}/day/{key[-5:]}": value for key, value in SPOKEN.items()}, "as one speaker"),
        (
            {**listed(A), "metadata.jsonl": rb'{"path": "a", "text": "", "speaker": "\ud800"}'},
            "UTF-8",
        ),
    ],
)
def test_what_cannot_be_heard_as_it_was_meant_is_refused(entries, told, tmp_path):
    with pytest.raises(DataError, match=told):
        found(tmp_path, entries)


def test_a_text_that_differs_in_its_marks_is_the_same(tmp_path):
    assert len(found(tmp_path, {**SPOKEN, "ann/a.lab": b"ONE."})) == 2


def test_endings_may_be_capitals_and_names_may_hold_lines(tmp_path):
    entries = {f"new\nline/{k.upper()}": v for k, v in SPOKEN.items()}
    assert found(tmp_path, entries) == [("ANN", "A", "one", ""), ("BO", "A", "two", "")]


@pytest.mark.parametrize(
    ("above", "split"),
    [("", ""), ("Train/", "train"), ("test-other/", "test"), ("testimony/", "")],
)
def test_the_split_is_that_of_the_folder_of_speakers(above, split, tmp_path):
    entries = {f"{above}test{key}": value for key, value in SPOKEN.items()}
    assert {one[3] for one in found(tmp_path, entries)} == {split}


def test_sound_files_that_nothing_describes_are_named(tmp_path):
    told: list[str] = []
    found(tmp_path, {**SPOKEN, "bo/c.wav": b"", "bo/d.MP3": b"", "bo/e.pdf": b""}, told)
    assert len(told) == 1 and told[0].startswith("left out: 2 sound file(s) of")
    assert told[0].endswith(": bo/c.wav, bo/d.MP3")


def test_a_table_names_no_sound_of_the_folder_where_one_stands(tmp_path, monkeypatch):
    folder(tmp_path / "here", {"wavs/c.wav": b"C"})
    monkeypatch.chdir(tmp_path / "here")
    source = folder(tmp_path / "corpus", {"metadata.csv": b"c|three"})
    (one,) = find_recordings(str(source)).recordings
    with pytest.raises(DataError, match="is not there"):
        one.place.read()


def aligned(*names: str) -> dict[str, bytes]:
    lines = [json.dumps({"utterance": n, "phones": [["AA", 0, 9, "a"]]}) for n in names]
    return {"phone_alignment.jsonl.gz": gzip.compress("\n".join(lines).encode())}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a"], "aligns a, and both ann and bo have an utterance"),
        (["ann/c"], "aligns none of the 3 recordings, but ann/c"),
        (["c", "c"], "has an utterance twice"),
    ],
)
def test_an_alignment_of_other_utterances_is_refused(names, told, tmp_path):
    entries = {**SPOKEN, "bo/c.wav": b"C", "bo/c.txt": b"three"}
    assert len(found(tmp_path, entries | aligned("c", "of another tar"))) == 3
    with pytest.raises(DataError, match=told):
        found(tmp_path, entries | aligned(*names))


def test_a_lexicon_of_another_editor_is_read(tmp_path):
    text = "\ufeffBO\tB OW1\r\nBEAU\tB OW1\r\n"
    corpus = find_recordings(str(folder(tmp_path, {**SPOKEN, "lexicon.txt": text.encode()})))
    assert corpus.lexicon == {"BO": ("B", "OW"), "BEAU": ("B", "OW")}
