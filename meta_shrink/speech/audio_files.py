"""Sound files as samples: tensorflow-io's decoders where they load, else soundfile."""

from __future__ import annotations

import functools
import importlib
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.speech.signal import resample, speech_module

# (decoder of tensorflow_io.audio, type of its numbers, what they are counted from, full scale) by
# soundfile's (format, subtype). 32-bit integers are not among them: they come out as floats.
_NATIVE = {
    (form, kind): (decoder, *numbers)
    for form, decoder in (("WAV", "decode_wav"), ("WAVEX", "decode_wav"), ("FLAC", "decode_flac"))
    for kind, numbers in {
        "PCM_U8": ("uint8", 128, 128.0),
        "PCM_S8": ("uint8", 128, 128.0),
        "PCM_16": ("int16", 0, 2.0**15),
        "PCM_24": ("int32", 0, 2.0**31),
        "FLOAT": ("float32", 0, 1.0),
    }.items()
} | {("OGG", "VORBIS"): ("decode_vorbis", "", 0, 1.0)}


MAX_RATE, MAX_CHANNELS = 192_000, 8
UNKNOWN = 2**32 - 1  # In the place of a length, of a WAV that is not at its end.


def decode(
    content: bytes, name: str, *, max_seconds: float | None = None
) -> tuple[np.ndarray, int]:
    """The bytes of a sound file (FLAC, WAV, Ogg) -> float32 samples [N] of one channel, rate.

    Args:
      max_seconds: no more is read. A few bytes of FLAC may hold, or say that they hold, years.

    Raises:
      DataError: it is no sound file, or holds no sound, more than that, or none of people.
    """
    soundfile = speech_module("soundfile")
    try:
        told = soundfile.info(io.BytesIO(content))
        _check(told, name)
        most = -1 if max_seconds is None else int(max_seconds * told.samplerate) + 1
        samples = decode_native(content, told) if most < 0 else None
        if samples is None:
            file = io.BytesIO(content)
            samples, _ = soundfile.read(file, most, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{name} cannot be decoded ({error}).") from error
    if not len(samples):
        raise DataError(f"{name} holds no sound.")
    if len(samples) == most:
        raise DataError(f"{name} is longer than {max_seconds:g} s: cut it.")
    return samples.mean(axis=1), int(told.samplerate)


def _check(told: Any, name: str) -> None:
    """Resampling from any rate, and any number of channels, would be as much as they say."""
    if not 1000 <= told.samplerate <= MAX_RATE or told.channels > MAX_CHANNELS:
        raise DataError(
            f"{name} has {told.channels} channels at {told.samplerate} Hz; expected at most "
            f"{MAX_CHANNELS}, and 1000 to {MAX_RATE} Hz."
        )


def decode_native(content: bytes, told: Any) -> np.ndarray | None:
    """float32 [N, channels] by tensorflow-io; None where it does not load or does not know it.

    Args:
      told: soundfile.info of the content.
    """
    form = _NATIVE.get((told.format, told.subtype))
    audio = native_audio() if form else None
    if form is None or audio is None:
        return None
    decoder, dtype, zero, full_scale = form
    try:
        numbers = getattr(audio, decoder)(content, **({"dtype": dtype} if dtype else {})).numpy()
    except Exception:  # What it refuses, soundfile reads, or tells why it cannot be read.
        return None
    if len(numbers) != told.frames:  # It is silent about files that are cut off.
        return None
    return (numbers.astype(np.float64) - zero).astype(np.float32) / np.float32(full_scale)


@functools.cache
def native_audio() -> Any | None:
    """tensorflow_io.audio, if its operations load: importing it does not tell."""
    silence = io.BytesIO()
    speech_module("soundfile").write(silence, np.zeros(1), 8000, format="WAV", subtype="PCM_16")
    try:
        audio: Any = importlib.import_module("tensorflow_io").audio
        probe: Callable[..., Any] = audio.decode_wav
        probe(silence.getvalue(), dtype="int16")
    except Exception:  # Not installed, or built for another TensorFlow: in many ways.
        return None
    return audio


def load(
    content: bytes, name: str, sample_rate: int, *, max_seconds: float | None = None
) -> np.ndarray:
    """As decode, at a sample rate."""
    samples, rate = decode(content, name, max_seconds=max_seconds)
    return resample(samples, rate, sample_rate)


def pcm(samples: np.ndarray) -> bytes:
    """Samples in [-1, 1] as 16-bit PCM."""
    return np.round(samples * 32767).astype("<i2").tobytes()


def wav_header(rate: int, num_bytes: int | None = None) -> bytes:
    """What stands before the PCM of one channel, of so many bytes; None: to be streamed."""
    size = UNKNOWN if num_bytes is None else num_bytes
    whole = UNKNOWN if num_bytes is None else num_bytes + 36
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    start = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE")
    return start + form + struct.pack("<4sI", b"data", size)
