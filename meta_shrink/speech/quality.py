"""Recordings that a voice should not be learned from: silent, clipped, noisy."""

from __future__ import annotations

import numpy as np

from meta_shrink.errors import DataError

# Decibels below full scale of the loud frames; share of the samples; decibels.
LEAST_LEVEL, MOST_CLIPPED, LEAST_SNR = -60.0, 0.005, 10.0
LEAST_SECONDS = 0.1  # A short word; less has no pause from which to tell the noise.
_FRAME_SECONDS = 0.025
_LOUD, _QUIET = 95, 5  # Percentiles of the frames' power: speech with the noise, the noise alone.
_FLAT = 3  # Samples in a row at the highest or lowest one that are clipped.
_HALF_STEP = 0.5 / 2**15  # Of 16-bit PCM.


def check_recording(samples: np.ndarray, rate: int, *, may_clip: bool = False) -> None:
    """Refuse a recording that is too short, (nearly) silent, clipped or too noisy.

    Args:
      samples: [N], as they were recorded: another rate would round flat tops. Codes hold [-1, 1],
        so that what is above is cut off.
      may_clip: where its words and melody are all that is taken from it.

    Raises:
      DataError: what it is, by how much, and what to do.
    """
    if (seconds := len(samples) / rate) < LEAST_SECONDS:
        raise DataError(
            f"it is too short: {seconds * 1000:.0f} ms, expected {LEAST_SECONDS * 1000:.0f} or "
            "more; record a sentence."
        )
    # An offset is neither voice nor noise.
    around_zero = samples - np.mean(samples, dtype=np.float64)
    if (level := loud_level(around_zero, rate)) < LEAST_LEVEL:
        raise DataError(
            f"it is nearly silent: its loud parts are at {max(level, -120):.0f} dB of full scale, "
            f"expected {LEAST_LEVEL:g} or more; record it again, nearer or at a higher level."
        )
    if not may_clip and (share := clipped_share(np.clip(samples, -1, 1))) > MOST_CLIPPED:
        raise DataError(
            f"it is clipped: {share:.1%} of its samples are cut off at the top, expected "
            f"{MOST_CLIPPED:.1%} at most; record it again at a lower level."
        )
    if (snr := signal_to_noise(around_zero, rate)) < LEAST_SNR:
        raise DataError(
            f"it is too noisy: its speech is {snr:.0f} dB above its noise, expected {LEAST_SNR:g} "
            "or more; record it again in a quieter place, with a moment of silence around."
        )


def check_emphasised(samples: np.ndarray, pre_emphasis: float) -> None:
    """Refuse what codes of x[t] - pre_emphasis * x[t - 1] would cut off, as a loud whistle.

    Raises:
      DataError: more than MOST_CLIPPED of them.
    """
    emphasised = samples[1:] - pre_emphasis * samples[:-1]
    if (share := float(np.mean(np.abs(emphasised) > 1))) > MOST_CLIPPED:
        raise DataError(
            f"{share:.1%} of its samples are cut off by a pre-emphasis of {pre_emphasis:g}, "
            f"expected {MOST_CLIPPED:.1%} at most: record it at a lower level, or take less."
        )


def loud_level(samples: np.ndarray, rate: int) -> float:
    """Decibels of full scale (a square wave of 1) of the loud frames of 25 ms."""
    return _decibels(np.percentile(_powers(samples, rate), _LOUD))


def signal_to_noise(samples: np.ndarray, rate: int) -> float:
    """Decibels of the loud frames' power, less that of the quiet ones, above the quiet ones'.

    A recording without a pause has quiet frames of speech, and seems noisier than it is.
    """
    noise, loud = np.percentile(_powers(samples, rate), [_QUIET, _LOUD])
    return _decibels(loud - noise) - _decibels(noise)


def clipped_share(samples: np.ndarray) -> float:
    """Share of the samples that lie in flat tops: _FLAT or more in a row at an extreme."""
    flat = 0
    for side in (np.asarray(samples), -np.asarray(samples)):
        at_top = side >= side.max() - _HALF_STEP
        edges = np.flatnonzero(np.diff(np.concatenate([[0], at_top, [0]])))
        runs = edges[1::2] - edges[::2]
        flat += int(runs[runs >= _FLAT].sum())
    return flat / len(samples)


def _powers(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean square of each whole frame; of all samples, where there is none."""
    size = min(round(rate * _FRAME_SECONDS), len(samples))
    frames = np.asarray(samples[: len(samples) // size * size], np.float64).reshape(-1, size)
    return np.square(frames).mean(axis=1)


def _decibels(power: float) -> float:
    return float(10 * np.log10(max(power, 1e-20)))
