"""Samples are the same by tensorflow-io's decoders, where they load, and by soundfile."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.speech.audio_files import decode, decode_native, native_audio

soundfile = pytest.importorskip("soundfile", reason="needs the extra [speech]")
FORMS = [("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
FORMS += [("WAVEX", "PCM_16"), ("OGG", "VORBIS")]
FORMS += [("FLAC", kind) for kind in ("PCM_S8", "PCM_16", "PCM_24")]
NOT_NATIVE = {("WAV", "PCM_32"), ("WAV", "DOUBLE")}
RATE = 22_050


def encoded(form: str, kind: str, channels: int = 1, count: int = 3000) -> bytes:
    sound = np.random.default_rng(count).uniform(-1, 1, [count, channels])
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format=form, subtype=kind)
    return file.getvalue()


def by_soundfile(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]


def test_the_native_decoders_load_where_they_are_installed():
    """In the lane "io"; elsewhere tensorflow-io is not installed, and nothing pretends."""
    assert (native_audio() is not None) == bool(importlib.util.find_spec("tensorflow_io"))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("form", "kind"), FORMS)
def test_equal_samples(form, kind, channels):
    content = encoded(form, kind, channels)
    samples, rate = decode(content, "x")
    expected = by_soundfile(content)
    tolerance = 1e-6 if kind == "VORBIS" else 0
    np.testing.assert_allclose(samples, expected.mean(axis=1), rtol=0, atol=tolerance)
    assert rate == RATE and samples.dtype == np.float32
    native = decode_native(content, soundfile.info(io.BytesIO(content)))
    if native_audio() is None or (form, kind) in NOT_NATIVE:
        assert native is None
    else:
        assert native is not None and native.dtype == np.float32
        np.testing.assert_allclose(native, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("end", [60, 500, 2500, -1])
@pytest.mark.parametrize(("form", "kind"), [*FORMS, ("MP3", "MPEG_LAYER_III")])
def test_a_file_that_is_cut_off_is_refused(form, kind, end):
    content = encoded(form, kind, count=4000)
    if form in ("OGG", "MP3"):
        end *= len(content) // 3000  # Its last byte may be of no sample.
    with pytest.raises(DataError, match=r"^x (cannot be decoded|holds no sound|is cut off)"):
        decode(content[:end], "x")


def test_a_wav_that_was_streamed_says_no_length_and_is_whole():
    content = encoded("WAV", "PCM_16")
    at = content.index(b"data") + 4
    streamed = content[:at] + b"\xff" * 4 + content[at + 4 :]
    np.testing.assert_array_equal(decode(streamed, "x")[0], by_soundfile(content)[:, 0])


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize(
    ("odd", "told"), [(np.nan, "nan"), (-np.inf, "inf"), (-9830.0, "9830"), (1e300, "inf")]
)
def test_samples_that_are_none_are_refused(kind, odd, told):
    sound = np.full([800], 1.5)  # Louder than full scale, as what was mixed may be.
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format="WAV", subtype=kind)
    assert decode(file.getvalue(), "x")[0].max() == 1.5
    sound[400] = odd
    with np.errstate(over="ignore"):
        soundfile.write(file := io.BytesIO(), sound, RATE, format="WAV", subtype=kind)
    with pytest.raises(DataError, match=rf"^x has samples up to {told}; expected -1 to 1"):
        decode(file.getvalue(), "x")
