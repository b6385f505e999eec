"""Which recordings a folder or a tar holds: each once, and nothing from elsewhere."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.layouts import find_recordings

ENTRIES = {"ann/a.wav": b"A", "ann/a.txt": b"one", "bo/b.wav": b"B", "bo/b.txt": b"two"}


def folder(path: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def tar(path: Path, entries: dict[str, bytes], links: Any = None) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, (kind, target) in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return path


def found(source: Path) -> dict[str, bytes]:
    recordings = find_recordings(str(source)).recordings
    return {f"{one.speaker}/{one.utterance}": one.place.read() for one in recordings}


HARD, SOFT = (tarfile.LNKTYPE, "ann/a.wav"), (tarfile.SYMTYPE, "../ann/a.wav")
BOTH = {"ann/a": b"A", "bo/b": b"B"}


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
@pytest.mark.parametrize("link", [HARD, (tarfile.LNKTYPE, "./ann/a.wav"), SOFT])
def test_links_in_a_tar_are_what_they_lead_to(link, name, tmp_path):
    link = link[0], link[1].replace("ann/a.wav", "store/c")
    entries = {**ENTRIES, "cy/c.txt": b"three", "store/c": b"C"}
    assert found(tar(tmp_path / name, entries, {"cy/c.wav": link})) == {**BOTH, "cy/c": b"C"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "nothing", "cy/c.wav"])
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_out_of_a_tar_lead_nowhere(kind, target, tmp_path):
    path = tar(tmp_path / "x.tar", {**ENTRIES, "cy/c.txt": b"3"}, {"cy/c.wav": (kind, target)})
    assert found(path) == BOTH


def test_a_copy_in_a_tar_is_the_same_recording(tmp_path):
    tar(folder(tmp_path, ENTRIES) / "x.tar", ENTRIES)
    assert found(tmp_path) == BOTH


def test_the_same_samples_in_another_format_are_the_same_recording(tmp_path):
    soundfile = pytest.importorskip("soundfile", reason="needs the extra [speech]")
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 800).astype(np.int16)

    def sound(form: str, samples: np.ndarray) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, samples, 16_000, format=form, subtype="PCM_16")
        return file.getvalue()

    flac = {"ann/a.flac": sound("FLAC", samples), "ann/a.txt": b""}
    tar(folder(tmp_path, flac) / "x.tar", {"ann/a.wav": sound("WAV", samples), "ann/a.txt": b""})
    assert list(found(tmp_path)) == ["ann/a"]
    samples[400] ^= 1
    tar(tmp_path / "x.tar", {"ann/a.wav": sound("WAV", samples), "ann/a.txt": b""})
    with pytest.raises(DataError, match="Two recordings are called"):
        find_recordings(str(tmp_path))


@pytest.mark.parametrize("where", ["folder", "tar"])
def test_two_recordings_of_one_name_are_refused(where, tmp_path):
    if where == "folder":
        folder(tmp_path, {"ann/1.wav": b"A", "ann/1.txt": b"", "ann/1.flac": b"B"})
    else:
        tar(folder(tmp_path, ENTRIES) / "x.tar", {**ENTRIES, "ann/a.wav": b"another"})
    with pytest.raises(DataError, match="Two recordings are called"):
        find_recordings(str(tmp_path))


def test_folders_behind_links_are_read_and_litter_is_not(tmp_path):
    folder(tmp_path / "other", {"a.wav": b"A", "a.txt": b"one"})
    (folder(tmp_path / "it", {"bo/b.wav": b"B", "bo/b.txt": b""}) / "ann").symlink_to("../other")
    folder(tmp_path / "it", {"bo/._b.wav": b"x", "bo/._b.txt": b"x", "__MACOSX/bo/b.txt": b"x"})
    assert found(tmp_path / "it") == BOTH


@pytest.mark.parametrize("name", ["{}/secret.wav", "../secret.wav", "no\0.wav", "not there.wav"])
def test_a_list_cannot_name_a_file_elsewhere(name, tmp_path):
    (tmp_path / "secret.wav").write_bytes(b"secret")
    line = json.dumps({"path": name.format(tmp_path), "text": "one"})
    (one,) = find_recordings(
        str(folder(tmp_path / "it", {"metadata.jsonl": line.encode()}))
    ).recordings
    with pytest.raises(DataError, match="is not there"):
        one.place.read()


@pytest.mark.parametrize("name", ["metadata.jsonl", "lexicon.txt", "phone_alignment.jsonl.gz"])
def test_a_pipe_in_place_of_a_file_does_not_hang(name, tmp_path):
    os.mkfifo(folder(tmp_path, ENTRIES) / name)
    with pytest.raises(DataError, match="not a regular file"):
        find_recordings(str(tmp_path))


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_pipe_in_place_of_a_tar_does_not_hang(name, tmp_path):
    os.mkfifo(tmp_path / name)
    for source in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match="not a regular file"):
            find_recordings(str(source))


def test_a_lexicon_that_is_no_text(tmp_path):
    with pytest.raises(DataError, match="is no lexicon in UTF-8"):
        find_recordings(str(folder(tmp_path, {**ENTRIES, "lexicon.txt": b"\xff\xfe"})))


@pytest.mark.parametrize("share", np.linspace(0.1, 1, 15, endpoint=False))
def test_a_packed_tar_with_a_damaged_byte_is_refused(share, tmp_path):
    path = tar(tmp_path / "x.tgz", {**ENTRIES, "ann/a.wav": os.urandom(500)})
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a whole tar"):
        find_recordings(str(path))
