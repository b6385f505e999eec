"""Sound as numbers: 8-bit mu-law codes, pitch, another sample rate."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import math
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.signal import lfilter, resample_poly

from meta_shrink.errors import UsageError
from meta_shrink.pitch import FRAMES_PER_SECOND

CODES = 256
SILENT_CODE = 128  # The code of 0.
MOST_OFFSET = 0.005  # Of full scale.
LOWEST_F0, HIGHEST_F0 = 60.0, 500.0
_GATE_DB = 30.0  # Frames this much weaker than the loud ones have no pitch.


def mu_law_encode(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] -> codes 0 to 255 (G.711's curve with mu = 255, rounded)."""
    clipped = np.clip(np.asarray(samples, np.float64), -1, 1)
    curve = np.sign(clipped) * np.log1p(255 * np.abs(clipped)) / np.log(256)
    return np.floor((curve + 1) / 2 * 255 + 0.5).astype(np.uint8)


def mu_law_decode(codes: np.ndarray) -> np.ndarray:
    """Codes 0 to 255 -> float32 samples in [-1, 1]; encoding them gives the codes back."""
    curve = np.asarray(codes, np.float64) / 255 * 2 - 1
    return (np.sign(curve) * np.expm1(np.abs(curve) * np.log(256)) / 255).astype(np.float32)


def encode(samples: np.ndarray, pre_emphasis: float) -> np.ndarray:
    """Codes [N] of a sound [N]: of x[t] - pre_emphasis * x[t - 1].

    A voice is weak in its high frequencies, where the noise of codes is as strong as elsewhere.
    Emphasised ahead of the codes and lowered behind them, it falls as the voice does (Valin &
    Skoglund 2019, LPCNet, who take 0.85).

    Raises:
      UsageError: pre_emphasis is not in [0, 1).
    """
    check_pre_emphasis(pre_emphasis)
    samples = np.asarray(samples, np.float64)
    return mu_law_encode(np.append(samples[:1], samples[1:] - pre_emphasis * samples[:-1]))


def check_pre_emphasis(pre_emphasis: float) -> None:
    """Raises UsageError where it cannot be undone."""
    if not 0 <= pre_emphasis < 1:
        raise UsageError(f"pre_emphasis is {pre_emphasis}; expected 0 (none) or more, below 1.")


class Decoder:
    """Sounds of codes, piece by piece: undoes `encode`."""

    def __init__(self, pre_emphasis: float) -> None:
        """Ahead of the first piece there is silence.

        Raises:
          UsageError: as encode.
        """
        check_pre_emphasis(pre_emphasis)
        self._taps, self._state = [1, -pre_emphasis], np.zeros([1])

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """The next codes [N] -> float32 [N] in [-1, 1]."""
        if not len(codes):  # lfilter would forget its state.
            return np.zeros([0], np.float32)
        sound, self._state = lfilter([1], self._taps, mu_law_decode(codes), zi=self._state)
        return np.clip(sound, -1, 1).astype(np.float32)


def hop_of(sample_rate: int) -> int:
    """Samples of a frame.

    Raises:
      UsageError: a frame would not hold a whole number of samples.
    """
    if sample_rate < 8000 or sample_rate % FRAMES_PER_SECOND:
        raise UsageError(
            f"sample_rate is {sample_rate}; expected at least 8000 and a multiple of "
            f"{FRAMES_PER_SECOND}, the frames of a second (16000 and 24000 are)."
        )
    return sample_rate // FRAMES_PER_SECOND


def around_zero(samples: np.ndarray) -> np.ndarray:
    """float32 [N] without an offset beyond MOST_OFFSET: it is of the recorder, and no voice."""
    offset = np.mean(samples, dtype=np.float64)
    return samples if abs(offset) <= MOST_OFFSET else samples - np.float32(offset)


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float32 [N] at another sample rate, by a polyphase filter without aliases."""
    if rate == wanted:
        return np.asarray(samples, np.float32)
    divisor = math.gcd(rate, wanted)
    return resample_poly(samples, wanted // divisor, rate // divisor).astype(np.float32)


def pitch(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Pitch in Hz of every whole frame [N // hop], 0 where there is none.

    DIO with StoneMask of WORLD (Morise 2009), gated by energy: DIO alone hears a pitch in a quarter
    of the silence.
    """
    frames = len(samples) // hop_of(sample_rate)
    library = world()
    wave = np.ascontiguousarray(samples, np.float64)
    raw, times = library.dio(
        wave,
        sample_rate,
        f0_floor=LOWEST_F0,
        f0_ceil=HIGHEST_F0,
        frame_period=1000 / FRAMES_PER_SECOND,
    )
    f0 = library.stonemask(wave, raw, times, sample_rate)
    f0 = np.pad(f0[:frames], (0, max(frames - len(f0), 0)))
    return np.where(loud(samples, sample_rate), f0, 0.0)


def loud(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Which whole frames are within 30 dB of the loud ones: bool [N // hop]."""
    hop = hop_of(sample_rate)
    frames = len(samples) // hop
    if not frames:
        return np.zeros([0], bool)
    power = np.square(np.asarray(samples[: frames * hop], np.float64)).reshape(frames, hop)
    # Over 25 ms, as a frame of 5 ms is shorter than the period of a low voice.
    power = np.convolve(np.pad(power.mean(1), 2), np.ones(5) / 5, mode="valid")
    level = 10 * np.log10(power + 1e-12)
    return level > np.percentile(level, 95) - _GATE_DB


def speech_module(name: str) -> Any:
    """A package of the extra `speech`, imported where it is used.

    Raises:
      UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"Preparing speech needs {name}, which cannot be imported ({error}): "
            "pip install 'meta_shrink[speech]'."
        ) from error


@functools.cache
def world() -> Any:
    """pyworld.

    Raises:
      UsageError: it is not installed.
    """
    with version_teller():
        return speech_module("pyworld")


def version_teller() -> contextlib.AbstractContextManager[None]:
    """While a package is imported that asks pkg_resources for its own version, as pyworld and
    webrtcvad do; setuptools 82 no longer has it.
    """
    return stand_in("pkg_resources", get_distribution=importlib.metadata.distribution)


@contextlib.contextmanager
def stand_in(name: str, **attributes: Any) -> Iterator[None]:
    """A module of these attributes in the place of one that is not imported yet."""
    if name in sys.modules:
        yield
        return
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
