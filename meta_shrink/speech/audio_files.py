"""Sound files as samples: tensorflow-io's decoders where they load, else soundfile."""

from __future__ import annotations

import io

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.speech.signal import resample, speech_module


def decode(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """The bytes of a sound file (FLAC, WAV, Ogg) -> float32 samples [N] of one channel, rate.

    Raises:
      DataError: it is no sound file, or holds no sound.
    """
    soundfile = speech_module("soundfile")
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{name} cannot be decoded ({error}).") from error
    if not len(samples):
        raise DataError(f"{name} holds no sound.")
    return samples.mean(axis=1), int(rate)


def load(content: bytes, name: str, sample_rate: int) -> np.ndarray:
    """As decode, at a sample rate."""
    samples, rate = decode(content, name)
    return resample(samples, rate, sample_rate)
