"""The spectrum as a verifier of speakers hears it: log-mel bands of the frames that are loud."""

from __future__ import annotations

import functools

import numpy as np

from meta_shrink.errors import DataError
from meta_shrink.speech.signal import mu_law_decode, mu_law_encode

RATE = 16_000
BANDS = 40
FRAMES_PER_SECOND = 100
LEAST_SECONDS = 0.5
_WINDOW, _STEP, _SIZE = 400, 160, 512  # 25 ms every 10 ms.
_LOWEST, _HIGHEST = 60.0, 7600.0  # Hz.
_GATE = np.log(10.0) * 3  # 30 dB.
_SILENT = 1e-3  # The power of a tone 70 dB below full scale.


def loud_log_mel(samples: np.ndarray) -> np.ndarray:
    """float32 [T, BANDS]: ln of the power in each band, of the frames within 30 dB of the loud.

    The mean over all is taken off, as a recording's level is nobody's voice. What is heard is the
    sound in 8 bits (mu-law), as prepared corpora have it and as vocoders speak.

    Args:
      samples: [N] in [-1, 1] at RATE.

    Raises:
      DataError: fewer than LEAST_SECONDS are loud.
    """
    heard = mu_law_decode(mu_law_encode(samples)).astype(np.float64)
    frames = max(1 + (len(heard) - _WINDOW) // _STEP, 0)
    if frames:
        windows = np.lib.stride_tricks.sliding_window_view(heard, _WINDOW)[::_STEP]
        power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), _SIZE)) ** 2
        mel = power @ mel_bands().T
        level = np.log(mel.sum(axis=1) + 1e-10)
        mel = mel[level > max(np.percentile(level, 95) - _GATE, np.log(_SILENT))]
        frames = len(mel)
    if frames < LEAST_SECONDS * FRAMES_PER_SECOND:
        raise DataError(
            f"it has {frames / FRAMES_PER_SECOND:.2f} s of sound; expected {LEAST_SECONDS:g} s or "
            "more."
        )
    bands = np.log(mel + 1e-6)
    return (bands - bands.mean()).astype(np.float32)


@functools.cache
def mel_bands() -> np.ndarray:
    """float64 [BANDS, bins]: triangles that are equally wide in mel (2595 log10(1 + f / 700))."""
    lowest, highest = (2595 * np.log10(1 + f / 700) for f in (_LOWEST, _HIGHEST))
    mels = np.linspace(lowest, highest, BANDS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(_SIZE // 2 + 1) * RATE / _SIZE
    left, middle, right = (corners[i : i + BANDS, np.newaxis] for i in range(3))
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.maximum(np.minimum(rising, falling), 0)
