"""Folders and tars as people have them: nothing of them is passed over without a word."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from meta_shrink import DataError
from meta_shrink.speech.layouts import find_recordings
from tests.speech.test_find_recordings import ENTRIES, folder, found

BOTH = {"ann/a": b"A", "bo/b": b"B"}
PACKED = {
    "x.tar": "w:",
    "X.TAR": "w:",
    "x.tar.gz": "w:gz",
    "x.TGZ": "w:gz",
    "x.tar.bz2": "w:bz2",
    "x.tar.xz": "w:xz",
    "plain.tar.gz": "w:",  # Called otherwise than it is packed.
    "packed.tar": "w:xz",
}


def tar(path: Path, entries: dict[str, bytes], mode: str = "w:") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def told(source: Path) -> list[str]:
    said: list[str] = []
    find_recordings(str(source), log=said.append)
    return said


@pytest.mark.parametrize("name", PACKED)
def test_tars_are_read_however_they_are_packed_and_called(name, tmp_path):
    path = tar(tmp_path / "in" / name, ENTRIES, PACKED[name])
    assert found(path) == found(path.parent) == BOTH
    content = bytearray(path.read_bytes())
    if PACKED[name] != "w:":
        content[-12 if "gz" in PACKED[name] else -30] ^= 0xFF  # Of the checksums.
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"not a whole tar .*: expected a folder, or a tar"):
            found(path)


@pytest.mark.parametrize("above", ["", "./", ".//", "corpus//", "././", "../corpus/", "/home/me/"])
def test_names_in_a_tar_are_read_however_they_are_written(above, tmp_path):
    """As of `tar cf x.tar corpus//`."""
    path = tar(tmp_path / "x.tar", {f"{above}{name}": x for name, x in ENTRIES.items()})
    assert found(path) == BOTH and not told(path)


@pytest.mark.parametrize("name", ["bo.zip", "BO.ZIP", "bo.7z", "bo.rar", "in/bo.tar.zst"])
def test_archives_that_are_not_read_are_named(name, tmp_path):
    (line,) = told(folder(tmp_path, {**ENTRIES, name: b"PK"}))
    assert line.startswith("left out: 1 archive(s)") and line.endswith(f"unpack them: {name}")
    with pytest.raises(DataError, match="expected a folder, or a tar as it is or packed by gzip"):
        found(tmp_path / name)


def test_a_tar_in_a_tar_is_named(tmp_path):
    inner = tar(tmp_path / "inner.tar", {"cy/c.wav": b"C", "cy/c.txt": b"three"})
    outer = tar(tmp_path / "in" / "x.tar", {**ENTRIES, "more/inner.tar": inner.read_bytes()})
    assert found(outer) == BOTH
    assert [line.rpartition(": ")[2] for line in told(outer)] == ["more/inner.tar"]


@pytest.mark.parametrize("litter", ["ann/._a", "__MACOSX/ann/a", ".Trash/cy/c", "ann/.old/d"])
@pytest.mark.parametrize("above", ["", "./", "../corpus/"])
def test_hidden_files_of_a_tar_are_as_those_of_a_folder(litter, above, tmp_path):
    hidden = {f"{litter}.wav": b"\xff", f"{litter}.txt": b"\x00\x05\x16\x07\xff"}
    entries = {f"{above}{name}": content for name, content in {**hidden, **ENTRIES}.items()}
    path = tar(tmp_path / "x.tar", entries)
    assert found(path) == BOTH and not told(path)
    assert found(folder(tmp_path / "in", hidden | ENTRIES)) == BOTH


@pytest.mark.parametrize("where", ["", "corpus/", "corpus/more/"])
@pytest.mark.parametrize("kind", ["folder", "tar", "tar in a folder", "beside a tar"])
def test_a_lexicon_and_an_alignment_are_used_wherever_they_are(kind, where, tmp_path):
    line = json.dumps({"utterance": "a", "phones": [["AA", 0, 9, "one"]]}).encode()
    beside = {f"{where}lexicon.txt": b"ONE W AH N\n"}
    beside[f"{where}phone_alignment.jsonl.gz"] = gzip.compress(line)
    if kind == "folder":
        source = folder(tmp_path / "in", ENTRIES | beside)
    elif kind == "beside a tar":
        source = tar(tmp_path / "x.tar", ENTRIES)
        folder(tmp_path, {name.rpartition("/")[2]: x for name, x in beside.items()})
    else:
        source = tar(tmp_path / "in" / "x.tar", ENTRIES | beside)
        source = source if kind == "tar" else source.parent
    said: list[str] = []
    corpus = find_recordings(str(source), log=said.append)
    assert not said
    assert corpus.lexicon == {"ONE": ("W", "AH", "N")}
    assert [one.phones is not None for one in corpus.recordings] == [True, False]


@pytest.mark.parametrize("content", [b"", b"ONE,W AH N\n", b"T-SHIRT T IY\n"])
def test_a_lexicon_of_a_corpus_in_which_no_line_is_of_use_is_refused(content, tmp_path):
    with pytest.raises(DataError, match=r"lexicon\.txt has no line WORD PHONE PHONE"):
        found(folder(tmp_path, {**ENTRIES, "lexicon.txt": content}))


@pytest.mark.parametrize("ending", ["mp3", "oga", "au", "CAF", "w64", "wave", "aiff"])
def test_sounds_of_other_formats_are_named_though_they_have_texts(ending, tmp_path):
    entries = {**ENTRIES, f"ann/c.{ending}": b"C", "ann/c.txt": b"three"}
    (line,) = told(folder(tmp_path, entries))
    assert line.startswith("left out: 1 sound file(s)") and line.endswith(f": ann/c.{ending}")


VCTK = {"wav48/ann/a.wav": b"A", "txt/ann/a.txt": b"one", "txt/bo/b.txt": b"two"}
LIBRITTS = {"ann/1/a.wav": b"A", "ann/1/a.normalized.txt": b"", "bo/2/b.normalized.txt": b"two"}


@pytest.mark.parametrize(
    ("entries", "alone"),
    [
        ({**ENTRIES, "ann/c.txt": b"three"}, "ann/c.txt"),
        (VCTK, "txt/bo/b.txt"),
        (LIBRITTS, "bo/2/b.normalized.txt"),
    ],
)
def test_texts_without_a_sound_are_named(entries, alone, tmp_path):
    lines = [x for x in told(folder(tmp_path, entries)) if "1 text(s)" in x and x.endswith(alone)]
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        (
            {"lj/metadata.csv": b"a|one", "lj/wavs/a.wav": b"A"},
            {"bo/b.wav": b"B", "bo/b.txt": b"two"},
            r"1 recording\(s\) of .* described by a \.txt or \.lab .*, as metadata\.csv is read",
        ),
        (
            {"metadata.jsonl": b'{"path": "ann/a.wav", "text": "one"}', "ann/a.wav": b"A"},
            {"txt/bo/b.txt": b"two", "wav48/bo/b.wav": b"B"},
            r"1 recording\(s\) of .* by the layout of VCTK, as metadata\.jsonl is read",
        ),
        ({"metadata.jsonl": b'{"path": "ann/a.wav", "text": "1"}'} | ENTRIES, {}, "by a .txt"),
    ],
)
def test_a_second_layout_in_one_folder_is_told(first, second, lost, tmp_path):
    source = folder(tmp_path, first | second)
    assert len(found(source)) == 1
    assert re.search(lost, "\n".join(told(source)))


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("home", ["", "corpus/", "data/corpus/"])
@pytest.mark.parametrize("path", ["ann/a.wav", "./ann/a.wav", r"ann\\a.wav", "x/../ann/a.wav"])
def test_a_list_of_recordings_is_read_in_any_folder(path, home, kind, tmp_path):
    """As in a tar of a corpus's folder; its paths go from where it lies."""
    line = f'{{"path": "{path}", "text": "one", "split": "test"}}'.encode()
    entries = {f"{home}metadata.jsonl": line, f"{home}ann/a.wav": b"A"}
    source = tar(tmp_path / "x.tar", entries) if kind == "tar" else folder(tmp_path, entries)
    (one,) = find_recordings(str(source)).recordings
    assert (one.speaker, one.utterance, one.split) == ("ann", "a", "test")
    assert one.place.read() == b"A" and not told(source)


def test_lists_of_recordings_of_several_folders_are_one_corpus(tmp_path):
    def line(name: str) -> bytes:
        return f'{{"path": "wavs/{name}.wav", "text": "{name}", "speaker": "{name}"}}'.encode()

    entries = {f"{part}/metadata.jsonl": line(part) for part in ("train", "test")}
    entries |= {f"{part}/wavs/{part}.wav": part.encode() for part in ("train", "test")}
    assert found(folder(tmp_path, entries)) == {"train/train": b"train", "test/test": b"test"}


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("layout", ["metadata.csv", "metadata.jsonl"])
def test_two_corpora_of_one_speaker_each_are_two_speakers(layout, kind, tmp_path):
    list_of = {"metadata.csv": b"a|one", "metadata.jsonl": b'{"path": "wavs/a.wav", "text": "one"}'}
    for name in ("ann", "LJSpeech-1.1"):
        entries = {layout: list_of[layout], "wavs/a.wav": name.encode()}
        if kind == "tar":
            assert found(tar(tmp_path / f"{name}.tar.xz", entries, "w:xz")) == {
                f"{name}/a": name.encode()
            }
        else:
            assert found(folder(tmp_path / name, entries)) == {f"{name}/a": name.encode()}
    if kind == "tar":
        assert set(found(tmp_path)) == {"ann/a", "LJSpeech-1.1/a"}


@pytest.mark.parametrize(
    ("name", "speaker"),
    [("my voice", "my_voice"), ("Zo\u00eb", "Zo_"), ("\u674e", "speaker"), ("x" * 80, "x" * 64)],
)
def test_the_name_of_a_folder_becomes_one_that_an_adapter_can_have(name, speaker, tmp_path):
    entries = {"metadata.csv": b"a|one", "wavs/a.wav": b"A"}
    assert found(folder(tmp_path / name, entries)) == {f"{speaker}/a": b"A"}


@pytest.mark.parametrize("text", ["Zoë".encode("cp1252"), "one".encode("utf-16"), b"\xff"])
def test_a_text_that_cannot_be_read_is_left_out_alone(text, tmp_path):
    source = folder(tmp_path, {**ENTRIES, "ann/a.txt": text})
    bad, good = find_recordings(str(source)).recordings
    with pytest.raises(DataError, match=r"a\.wav cannot be heard .*ann/a\.txt of .* UTF-8"):
        bad.place.read()
    assert good.place.read() == b"B"


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("broken", ['{"path": "ann', "[]", "none", '{"path": 1}}'])
def test_a_broken_line_is_told_by_its_number(broken, number, tmp_path):
    lines = ['{"path": "ann/a.wav", "text": "one"}', "", '{"path": "bo/b.wav", "text": "two"}']
    lines.insert(number - 1, broken)
    with pytest.raises(DataError, match=rf"metadata\.jsonl of .* line {number}\b"):
        found(folder(tmp_path, {**ENTRIES, "metadata.jsonl": "\n".join(lines).encode()}))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.bz2"])
def test_a_packed_tar_that_would_take_days_is_refused(name, tmp_path, monkeypatch):
    """Each of its files is read from the beginning of all: here some 10 kB, 20 with both sounds."""
    path = tmp_path / name
    mode: Any = PACKED[name]
    with tarfile.open(path, mode) as archive:
        for entry, content in ENTRIES.items():
            member = tarfile.TarInfo(entry)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert found(path) == BOTH
    monkeypatch.setattr("meta_shrink.speech.archives.MOST_UNPACKED", 1000)
    if name == "x.tar":
        assert found(path) == BOTH
    else:
        with pytest.raises(DataError, match=r"is packed, so that .* Unpack it \(tar -xf\)"):
            found(path)
