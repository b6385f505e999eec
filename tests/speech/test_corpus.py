"""Prepared speakers: what is written is read, and what is damaged is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.corpus import read_speaker, read_speakers, write_speaker
from meta_shrink.speech.signal import Decoder
from tests.speech.samples import prepared_folder, speaker


def test_a_speaker_is_read_as_it_was_written(tmp_path):
    written = speaker("anna", [7, 1, 30], split="test")
    write_speaker(str(tmp_path / "anna.npz"), written)
    got = read_speaker(str(tmp_path / "anna.npz"))
    assert got[:3] == written[:3]
    for ours, theirs in zip(got.utterances, written.utterances, strict=True):
        assert ours.name == theirs.name
        assert (ours.codes == theirs.codes).all()
        assert (ours.features.phones == theirs.features.phones).all()
        assert (ours.features.numbers == theirs.features.numbers).all()


def test_speakers_come_in_the_order_of_their_names(tmp_path):
    prepared_folder(tmp_path, [speaker(name, [5]) for name in ("zoe", "adam", "mia")])
    assert [s.name for s in read_speakers(str(tmp_path))] == ["adam", "mia", "zoe"]


def test_pre_emphasis_is_kept_and_undone(tmp_path):
    for emphasis in (0.0, 0.85):
        written = speaker("anna", [7], pre_emphasis=emphasis)
        write_speaker(str(tmp_path / "anna.npz"), written)
        got = read_speaker(str(tmp_path / "anna.npz"))
        assert got.pre_emphasis == emphasis
        codes = got.utterances[0].codes
        assert (got.sound(got.utterances[0]) == Decoder(emphasis)(codes)).all()
    prepared_folder(tmp_path, [speaker("bo", [7])])
    with pytest.raises(DataError, match=r"several pre-emphases, \[0\.0, 0\.85\]"):
        read_speakers(str(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = tmp_path / "anna.npz"
    write_speaker(str(path), speaker("anna", [50]))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"anna\.npz"):
        read_speaker(str(path))


@pytest.mark.parametrize("change", ["codes", "numbers", "frames"])
def test_a_file_whose_arrays_were_changed_is_refused(tmp_path, change):
    path = tmp_path / "anna.npz"
    write_speaker(str(path), speaker("anna", [50, 40]))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays[change] = arrays[change][::-1]
    np.savez(path, **arrays)
    with pytest.raises(DataError, match="damaged"):
        read_speaker(str(path))


@pytest.mark.parametrize("kind", ["objects", "other arrays", "text", "no npz"])
def test_a_file_of_something_else_is_told_as_such(tmp_path, kind):
    path = tmp_path / "anna.npz"
    if kind in ("text", "no npz"):
        path.write_bytes(b"hello" if kind == "text" else b"\x80\x04K\x01.")
    else:
        values = np.array([{}] if kind == "objects" else [1])
        named: Any = {"codes" if kind == "objects" else "mine": values}
        np.savez(path, **named)
    with pytest.raises(
        DataError, match=r"anna\.npz is no prepared speaker .* move it away"
    ) as told:
        read_speakers(str(tmp_path))
    assert "pickle" not in str(told.value) and "unsafe" not in str(told.value)


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(DataError, match=r"meta-shrink prepare-data speech"):
        read_speakers(str(tmp_path / "none"))
