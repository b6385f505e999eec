"""Sound files are decoded whole, or refused in a sentence; whatever their headers say."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.audio_files import decode, load
from tests.speech.samples import buzz

soundfile: Any = pytest.importorskip("soundfile", reason="needs the extra [speech]")
RATE, MOST_COUNT = 16_000, 2**36 - 1  # STREAMINFO of FLAC has 36 bits for its count.
VOICE = buzz(120.0, 1.5, RATE)


def sound(samples: np.ndarray, form: str = "FLAC", kind: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, subtype=kind)
    return file.getvalue()


def counted(content: bytes, count: int) -> bytes:
    """A FLAC that says so many samples."""
    told = int.from_bytes(content[18:26]) & ~MOST_COUNT | count
    return content[:18] + told.to_bytes(8) + content[26:]


@pytest.mark.parametrize("max_seconds", [None, 10.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_that_leaves_its_length_open_is_read_whole(channels, max_seconds):
    content = sound(np.stack([VOICE] * channels, 1))
    samples, rate = decode(counted(content, 0), "x", max_seconds=max_seconds)
    expected, _ = decode(content, "x")
    np.testing.assert_array_equal(samples, expected)
    assert rate == RATE and len(samples) == len(VOICE)


@pytest.mark.parametrize("max_seconds", [None, 10.0])
@pytest.mark.parametrize("count", [len(VOICE) + 1, 10**7, 2**32, MOST_COUNT])
def test_a_flac_that_has_less_than_it_says_is_refused(count, max_seconds):
    with pytest.raises(DataError, match="x is cut off"):
        decode(counted(sound(VOICE), count), "x", max_seconds=max_seconds)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_an_open_flac_that_is_cut_off_is_refused(share):
    content = counted(sound(VOICE), 0)
    with pytest.raises(DataError, match="x cannot be decoded"):
        decode(content[: int(share * len(content))], "x")


def test_hours_of_silence_in_a_few_bytes_are_not_unpacked(monkeypatch):
    monkeypatch.setattr("meta_shrink.speech.audio_files.LONGEST", 2.0)
    assert len(decode(sound(np.zeros(2 * RATE)), "x")[0]) == 2 * RATE
    for content in (sound(np.zeros(2 * RATE + 1)), counted(sound(np.zeros(3 * RATE)), 0)):
        with pytest.raises(DataError, match="x is longer than 2 s: cut it"):
            decode(content, "x")


def test_many_channels_are_not_as_many_hours(monkeypatch):
    monkeypatch.setattr("meta_shrink.speech.audio_files.MOST_NUMBERS", 2 * RATE)
    assert len(decode(sound(np.zeros(2 * RATE)), "x")[0]) == 2 * RATE
    with pytest.raises(DataError, match="x is longer than 1 s: cut it"):
        decode(sound(np.zeros([RATE + 1, 2])), "x")


@pytest.mark.parametrize("offset", [-0.3, -0.006, 0.004, 0.02, 0.3])
def test_an_offset_of_the_recorder_is_taken_off(offset):
    voice = (VOICE - VOICE.mean()) / 4
    expected = voice if abs(offset) > 0.005 else voice + offset
    np.testing.assert_allclose(load(sound(voice + offset), "x", RATE), expected, atol=1e-4)
    both = sound(np.stack([voice + offset, voice - offset], 1))
    np.testing.assert_allclose(load(both, "x", RATE), voice, atol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_channels_that_cancel_out_are_refused_and_others_are_their_mean(offset):
    other = buzz(200.0, 1.5, RATE, 0.3)
    for pair in ((VOICE, -VOICE + offset), (VOICE, -0.9 * VOICE), (VOICE, other, -VOICE - other)):
        with pytest.raises(DataError, match="channels that cancel each other out"):
            decode(sound(np.stack(pair, 1) / 2), "x")
    for pair in ((VOICE, VOICE), (VOICE, 0 * VOICE), (VOICE, other), (VOICE, -0.5 * VOICE)):
        samples, _ = decode(sound(np.stack(pair, 1)), "x")
        np.testing.assert_allclose(samples, np.mean(pair, 0), atol=1e-4)
