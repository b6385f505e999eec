"""One sound under two names is no second recording: of two speakers it is a leak."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.layouts import find_recordings
from tests.speech.samples import buzz
from tests.speech.test_find_recordings import ENTRIES, folder, tar

soundfile = pytest.importorskip("soundfile", reason="needs the extra [speech]")


def wav(f0: float, level: float = 0.5) -> bytes:
    """A second of a voice and a pause."""
    file = io.BytesIO()
    samples = np.concatenate([buzz(f0, 1.0, 16_000, level), np.zeros([4_000])])
    soundfile.write(file, samples, 16_000, format="WAV")
    return file.getvalue()


SOUND = wav(100.0)


def of(tmp_path: Path, entries: dict[str, bytes], kind: str) -> str:
    if kind == "folder":
        return str(folder(tmp_path / "it", entries))
    return str(tar(tmp_path / f"x.{kind}", entries))


@pytest.mark.parametrize("kind", ["folder", "tar", "tgz"])
def test_of_two_speakers_it_is_refused(kind, tmp_path):
    entries = {"ann/a.wav": SOUND, "ann/a.txt": b"one", "bo/b.wav": SOUND, "bo/b.txt": b"two"}
    with pytest.raises(DataError, match="ann/a and bo/b are the same sound, and two speakers"):
        find_recordings(of(tmp_path, entries, kind))
    entries["bo/b.wav"] = wav(130.0)  # Of the same length.
    assert len(find_recordings(of(tmp_path, entries, kind)).recordings) == 2


@pytest.mark.parametrize("content", [b"", b"no sound", wav(100.0, level=0.0)])
def test_files_that_are_left_out_anyway_are_no_leak(content, tmp_path):
    """As those of two failed downloads: each is left out when it is read, by its name."""
    entries = {"ann/a.wav": content, "ann/a.txt": b"one", "bo/b.wav": content, "bo/b.txt": b"two"}
    assert len(find_recordings(of(tmp_path, entries, "folder")).recordings) == 2


def test_one_file_that_is_listed_for_two_speakers(tmp_path):
    lines = [{"path": "a.wav", "text": "one", "speaker": who} for who in ("ann", "bo")]
    content = "\n".join(map(json.dumps, lines)).encode()
    with pytest.raises(DataError, match="ann/a and bo/a are the same sound"):
        find_recordings(str(folder(tmp_path, {"a.wav": SOUND, "metadata.jsonl": content})))


@pytest.mark.parametrize("kind", ["folder", "tar", "tgz"])
def test_of_one_speaker_the_second_is_left_out_by_its_name(kind, tmp_path):
    more = {name: SOUND for name in ("ann/c.wav", "ann/d.wav", "ann/e.wav")}
    more |= {"ann/c.txt": b"three", "ann/d.txt": b"three", "ann/e.txt": b"four"}
    recordings = find_recordings(of(tmp_path, ENTRIES | more, kind)).recordings
    assert [f"{one.speaker}/{one.utterance}" for one in recordings][-2:] == ["ann/e", "bo/b"]
    assert recordings[1].place.read() == SOUND
    for copy in recordings[2:4]:
        with pytest.raises(DataError, match="is the same sound as ann/c"):
            copy.place.read()


def test_what_is_to_be_scored_may_sound_alike(tmp_path):
    entries = {"ann/a.wav": SOUND, "bo/a.wav": SOUND}
    texts = {("ann", "a"): "one", ("bo", "a"): "one"}
    corpus = find_recordings(str(folder(tmp_path, entries)), texts=texts)
    assert [one.place.read() for one in corpus.recordings] == [SOUND, SOUND]
