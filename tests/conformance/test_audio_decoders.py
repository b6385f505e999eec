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


@pytest.mark.parametrize(("form", "kind"), FORMS)
def test_a_file_that_is_cut_off_is_as_soundfile_has_it(form, kind):
    for end in (60, 500, 2500):
        content = encoded(form, kind)[:end]
        try:
            expected = by_soundfile(content)
        except RuntimeError:
            expected = np.zeros([0, 1], np.float32)
        if len(expected):
            np.testing.assert_allclose(decode(content, "x")[0], expected[:, 0], atol=1e-6)
        else:
            with pytest.raises(DataError, match=r"^x (cannot be decoded|holds no sound)"):
                decode(content, "x")
