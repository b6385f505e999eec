"""Recordings of known noise, clipping and level; real ones are good enough."""

from __future__ import annotations

import re

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.corpus import read_speakers
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.prepare import prepare_speech
from meta_shrink.speech.quality import (
    check_emphasised,
    check_recording,
    clipped_share,
    loud_level,
    signal_to_noise,
)
from tests.image_data import published

RATE = 16_000


def bursts(decibels: float, *, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """A tone that is there every other 0.2 s for 4 s, in white noise so much weaker."""
    time = np.arange(4 * rate) / rate
    tone = np.sin(2 * np.pi * 200 * time) * (np.floor(time / 0.2) % 2)
    noise = np.random.default_rng(0).normal(size=len(time)) * 10 ** (-decibels / 20) / np.sqrt(2)
    return level * (tone + noise)


def clipped(share: float, rate: int = RATE) -> np.ndarray:
    """A tone whose top and bottom are cut off: |sin| > c for 1 - 2 asin(c) / pi of the time."""
    top = np.sin((1 - share) * np.pi / 2)
    tone = np.sin(2 * np.pi * 100 * np.arange(2 * rate) / rate + 0.1)
    return np.clip(tone, -top, top) * (np.floor(np.arange(2 * rate) / rate / 0.5) % 2)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("decibels", [0, 5, 10, 20, 40])
def test_a_known_ratio_of_signal_to_noise(decibels, rate):
    assert signal_to_noise(bursts(decibels, rate=rate), rate) == pytest.approx(decibels, abs=1.2)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6])
def test_a_known_share_of_clipped_samples(share):
    # The tone is there for half of the time; a flat top of n samples lasts n - 1 periods.
    assert clipped_share(clipped(share)) == pytest.approx(share / 2, abs=0.007)
    assert clipped_share(0.2 * clipped(share)) == pytest.approx(share / 2, abs=0.007)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.001])
def test_a_known_level(level):
    wave = level * np.sign(np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE + 0.1))
    assert loud_level(wave, RATE) == pytest.approx(20 * np.log10(level), abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (np.zeros(RATE), "nearly silent: its loud parts are at -120 dB"),
        (np.zeros(3), "too short: 0 ms"),
        (bursts(40, level=5e-4), "nearly silent: its loud parts are at -6[0-9] dB"),
        (bursts(15)[: RATE // 100], "too short: 10 ms, expected 100 or more"),
        (bursts(5), r"too noisy: its speech is [456] dB above its noise, expected 10 or more"),
        (clipped(0.1), r"clipped: [45]\.[0-9]% of its samples .* expected 0\.5% at most"),
    ],
)
def test_what_no_voice_is_learned_from_is_refused(samples, sentence):
    with pytest.raises(DataError, match=sentence):
        check_recording(samples, RATE)


def test_good_recordings_pass():
    check_recording(bursts(15), RATE)
    for recording in find_recordings(str(published("speech") / "so762_sample_wav.tar.gz"))[0]:
        check_recording(*decode(recording.place.read(), recording.utterance))


@pytest.mark.parametrize("gain", [1.5, 3.0, 8.0])
def test_what_floats_hold_above_full_scale_is_cut_off_in_the_codes(gain):
    """It is judged as it will be cut: as the same recording that was cut off when it was made."""
    tone = np.clip(bursts(60, level=0.5) * gain, -4, 4)
    above = np.mean(np.abs(tone) > 1)
    for samples in (tone, np.clip(tone, -1, 1)):
        if not above:
            check_recording(samples, RATE)
            continue
        with pytest.raises(DataError, match="it is clipped: ") as told:
            check_recording(samples, RATE)
        share = float(re.findall(r"([0-9.]+)% of its samples", str(told.value))[0]) / 100
        assert share == pytest.approx(above, abs=0.001)


@pytest.mark.parametrize("offset", [-0.3, 0.02, 0.08, 0.3])
def test_an_offset_is_neither_noise_nor_voice(offset):
    check_recording(bursts(15) / 2 + offset, RATE)
    for samples, sentence in ((np.zeros(RATE), "nearly silent"), (bursts(5), "it is too noisy")):
        with pytest.raises(DataError, match=sentence):
            check_recording(samples / 2 + offset, RATE)


def test_a_corpus_is_prepared_without_what_no_voice_is_learned_from(tmp_path):
    """As enrolment leaves it out."""
    soundfile = pytest.importorskip("soundfile", reason="needs the extra [speech]")
    pytest.importorskip("pocketsphinx", reason="needs the extra [speech]")
    one, *_ = find_recordings(str(published("speech") / "so762_sample_wav.tar.gz")).recordings
    voice, rate = decode(one.place.read(), one.utterance)
    voice = voice / np.abs(voice).max() / 2
    made = {
        "good": voice,
        "offset": voice + 0.08,
        "silent": 0 * voice,
        "over": voice * 6,
        "opposed": np.stack([voice, -voice], 1),
    }
    (tmp_path / "from" / "ann").mkdir(parents=True)
    for name, samples in made.items():
        path = tmp_path / "from" / "ann" / f"{name}.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        path.with_suffix(".txt").write_text(one.text)
    (done,) = prepare_speech(str(tmp_path / "from"), str(tmp_path / "out"), log=lambda _: None)
    assert done.utterances == 2
    (speaker,) = read_speakers(str(tmp_path / "out"))
    good, shifted = (utterance.codes.astype(int) for utterance in speaker.utterances)
    assert np.mean(np.abs(good - shifted) <= 1) > 0.99  # Pauses are steps of a code around zero.
    expected = {"opposed": "cancel each other", "over": "is clipped", "silent": "nearly silent"}
    assert {name for name, _ in done.left_out} == set(expected)
    assert all(expected[name] in why for name, why in done.left_out)


def test_what_pre_emphasis_would_cut_off_is_refused():
    """6 kHz at 16 kHz: |1 - a e^(-i w)| is 1.71 for a of 0.85, so that 0.5 reaches 0.85 and 0.9
    reaches 1.54."""
    tone = np.sin(2 * np.pi * 6000 / 16_000 * np.arange(16_000))
    check_emphasised(0.5 * tone, 0.85)
    check_emphasised(0.9 * tone, 0.0)
    with pytest.raises(DataError, match=r"% of its samples are cut off by a pre-emphasis of 0\.85"):
        check_emphasised(0.9 * tone, 0.85)
