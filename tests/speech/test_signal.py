"""mu-law codes, pitch and sample rates of signals that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.speech.signal import (
    SILENT_CODE,
    Decoder,
    encode,
    hop_of,
    loud,
    mu_law_decode,
    mu_law_encode,
    pitch,
    resample,
)
from tests.speech.samples import buzz


def test_codes_survive_a_round_trip():
    codes = np.arange(256, dtype=np.uint8)
    assert (mu_law_encode(mu_law_decode(codes)) == codes).all()


def test_codes_of_known_samples():
    # (1 + ln(1 + 255 |x|) / ln 256) / 2 * 255 at x = 1/255 is 127.5 * (1 + 1/8) = 143.4.
    samples = [-2, -1, -1 / 255, 0, 1 / 255, 3 / 255, 1, 2]
    assert mu_law_encode(np.array(samples)).tolist() == [0, 0, 112, 128, 143, 159, 255, 255]
    assert mu_law_encode(np.zeros([1])) == SILENT_CODE


def test_the_error_of_the_codes_is_small_beside_the_sample():
    samples = np.linspace(-1, 1, 10_001)
    error = np.abs(mu_law_decode(mu_law_encode(samples)) - samples)
    # Half a step of the curve: d|x| = (1/255 + |x|) ln 256 / 255.
    assert (error <= (1 / 255 + np.abs(samples)) * np.log(256) / 255 * 1.05).all()


def test_codes_of_a_sound_that_is_emphasised():
    sound = [0.5, 0.5, 0.25, -0.25]
    asked = mu_law_encode(np.array([0.5, 0.25, 0.0, -0.375]))  # x[t] - x[t - 1] / 2.
    assert encode(np.array(sound), 0.5).tolist() == asked.tolist()
    # Half a step of mu-law is 1.1 % of a sample and of 1/255; behind them errors add up twice.
    np.testing.assert_allclose(Decoder(0.5)(asked), sound, atol=2 * 0.011 * (0.5 + 1 / 255))
    assert encode(np.array(sound), 0.0).tolist() == mu_law_encode(np.array(sound)).tolist()
    assert (Decoder(0.0)(asked) == mu_law_decode(asked)).all()


def test_a_sound_of_codes_is_the_same_piece_by_piece():
    codes = mu_law_encode(np.random.default_rng(0).normal(size=[1000]) * 0.1)
    decoder, last = Decoder(0.85), 0.0
    pieces = np.concatenate([decoder(piece) for piece in np.split(codes, [1, 7, 7, 400])])
    assert (pieces == Decoder(0.85)(codes)).all() and pieces.dtype == np.float32
    for sample, heard in zip(mu_law_decode(codes), pieces, strict=True):
        last = sample + 0.85 * last
        assert heard == pytest.approx(last, abs=1e-6)
    assert Decoder(0.9)(np.full([99], 255, np.uint8)).max() == 1  # And no more: it is cut off.


@pytest.mark.parametrize("pre_emphasis", [-0.1, 1.0, math.nan])
def test_a_pre_emphasis_that_nothing_undoes_is_refused(pre_emphasis):
    for refuses in (lambda: encode(np.zeros([3]), pre_emphasis), lambda: Decoder(pre_emphasis)):
        with pytest.raises(UsageError, match=r"pre_emphasis is .*expected 0 .* below 1"):
            refuses()


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize("f0", [80.0, 121.0, 233.0, 390.0])
def test_pitch_of_a_known_voice(f0, rate):
    silence = np.zeros([rate // 2], np.float32)
    hiss = np.random.default_rng(0).normal(size=rate // 2).astype(np.float32) * 1e-3
    wave = np.concatenate([silence, buzz(f0, 1.0, rate), hiss])
    got = pitch(wave, rate)
    assert len(got) == 400
    voice = got[110:290]
    assert (voice > 0).mean() > 0.97
    assert np.median(voice[voice > 0]) == pytest.approx(f0, rel=0.01)
    assert (got[:90] == 0).all() and (got[310:] == 0).all()


def test_frames_30_db_below_the_loud_ones_are_not_loud():
    wave = np.concatenate([buzz(150, 0.5, 16_000, level) for level in (0.5, 0.05, 0.005)])
    loud_frames = loud(wave, 16_000)
    assert loud_frames[5:195].all() and not loud_frames[205:].any()


@pytest.mark.parametrize("samples", [1, 79, 80, 170, 250, 399, 480])
def test_a_short_recording_has_its_whole_frames(samples):
    wave = buzz(150, samples / 16_000, 16_000)
    assert len(wave) == samples
    assert loud(wave, 16_000).tolist() == [True] * (samples // 80)
    assert len(pitch(wave, 16_000)) == samples // 80


@pytest.mark.parametrize(("rate", "wanted"), [(48_000, 16_000), (22_050, 16_000), (16_000, 24_000)])
def test_a_tone_keeps_its_frequency_and_level(rate, wanted):
    time = np.arange(rate) / rate
    got = resample(np.sin(2 * np.pi * 1000 * time).astype(np.float32), rate, wanted)
    assert len(got) == wanted
    middle = got[wanted // 4 : 3 * wanted // 4]
    expected = np.sin(2 * np.pi * 1000 * np.arange(wanted) / wanted)[wanted // 4 : 3 * wanted // 4]
    assert np.abs(middle - expected).max() < 0.01


def test_what_the_new_rate_cannot_hold_is_gone():
    time = np.arange(48_000) / 48_000
    got = resample(np.sin(2 * np.pi * 11_000 * time).astype(np.float32), 48_000, 16_000)
    assert np.abs(got[2000:-2000]).max() < 0.02


@pytest.mark.parametrize("rate", [0, 4000, 22_050, 16_001])
def test_a_rate_without_whole_frames_is_refused(rate):
    with pytest.raises(UsageError, match="multiple of 200"):
        hop_of(rate)


def test_the_frames_of_a_rate():
    assert (hop_of(16_000), hop_of(24_000)) == (80, 120)
