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
from meta_shrink.speech.signal import around_zero, resample, speech_module

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
MOST = 4.0  # Of full scale: what is louder than 12 dB above it are integers kept as floats.
LONGEST = 3600.0  # Seconds of a recording.
MOST_NUMBERS = 2**29  # Samples of all channels, 2 GiB: an hour of stereo at 48 kHz has less.
UNKNOWN = 2**32 - 1  # In the place of a length, of a WAV that is not at its end.
_STREAMED = 2**31 - 2**13  # Lengths from here on are in its place, too.
_OPEN_FRAMES = 2**63 - 1  # What libsndfile says of a FLAC that does not say its length.
_BLOCK = 2**18  # Samples read at a time.
_LEAST_LEFT = 0.01  # Share of the channels' power that their mean has; 1 / 8 of eight unlike ones.
_OGG_PAGE, _OGG_LAST = b"OggS", 4  # How a page begins; the flag of the last one.


def decode(
    content: bytes, name: str, *, max_seconds: float | None = None
) -> tuple[np.ndarray, int]:
    """The bytes of a sound file (FLAC, WAV, Ogg) -> float32 samples [N] of one channel, rate.

    Args:
      max_seconds: no more is read, and never more than LONGEST or MOST_NUMBERS. A few bytes of
        FLAC may hold, or say that they hold, years.

    Raises:
      DataError: it is no sound file or cut off, or holds no sound, more than that, none of people,
        channels that cancel out, or samples that are none.
    """
    soundfile = speech_module("soundfile")
    limit = LONGEST if max_seconds is None else max_seconds
    try:
        told = soundfile.info(io.BytesIO(content))
        _check(told, name)
        most = min(int(limit * told.samplerate), MOST_NUMBERS // told.channels) + 1
        is_native = max_seconds is None and told.frames < most
        samples = decode_native(content, told) if is_native else None
        if samples is None:
            samples = _read(soundfile, content, most)
    except (RuntimeError, OSError) as error:
        why = getattr(error, "error_string", error)  # Its text names an object in memory.
        raise DataError(f"{name} cannot be decoded ({why}).") from error
    if not len(samples):
        raise DataError(f"{name} holds no sound.")
    if len(samples) >= most:
        longest = min(limit, MOST_NUMBERS / told.channels / told.samplerate)
        raise DataError(f"{name} is longer than {longest:.4g} s: cut it.")
    is_told = told.frames < _OPEN_FRAMES
    if (is_told and len(samples) < told.frames) or _is_short(content):
        raise DataError(f"{name} is cut off: it has fewer samples than it says; copy it again.")
    _check_samples(samples, name)
    return _one_channel(samples, name), int(told.samplerate)


def _read(soundfile: Any, content: bytes, most: int) -> np.ndarray:
    """float32 [N, channels] of at most `most` samples, in blocks: a header may say any number, or
    none, as that of a FLAC whose encoder wrote to a pipe.
    """
    blocks, left = [], most
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        # Behind each block it would be sought for where it is, which fails at an end untold.
        file.seekable = lambda: False
        while left > 0:
            block = file.read(min(_BLOCK, left), dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block)
            left -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros([0, 1], np.float32)


def _one_channel(samples: np.ndarray, name: str) -> np.ndarray:
    """The mean of the channels [N, channels] -> [N]; a voice that is upside down in one is lost."""
    mixed = samples.mean(axis=1)
    if float(np.var(mixed)) < _LEAST_LEFT * float(np.var(samples, axis=0).mean()):
        raise DataError(
            f"{name} has channels that cancel each other out, as one is the other upside down: "
            "turn one over, or keep one alone."
        )
    return mixed


def _is_short(content: bytes) -> bool:
    """Whether a WAV or an Ogg ends before its samples do, which soundfile passes over."""
    if content.startswith(_OGG_PAGE):
        flags = content[content.rfind(_OGG_PAGE) + 5 :][:1]
        return not flags or not flags[0] & _OGG_LAST
    at = 12
    while content.startswith(b"RIFF") and at + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, at)
        at += 8
        if kind == b"data":
            return size < _STREAMED and at + size > len(content)
        at += size + size % 2
    return False


def _check_samples(samples: np.ndarray, name: str) -> None:
    """Files of floats hold any number; the codes of speech hold -1 to 1."""
    loudest = np.abs(samples).max()
    if not loudest <= MOST:
        raise DataError(
            f"{name} has samples up to {loudest:g}; expected -1 to 1: divide integers that "
            "were kept as floats by their full scale, or record it again."
        )


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
    """As decode, at a sample rate, without an offset of the recorder."""
    samples, rate = decode(content, name, max_seconds=max_seconds)
    return resample(around_zero(samples), rate, sample_rate)


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
