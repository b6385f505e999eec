"""Noise for a verifier of speakers to be trained with: what networks speak has a hiss."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

LOUDEST_DB, WEAKEST_DB = 0.0, 30.0  # Of the sound above the noise.
_TILTS = (0.0, 0.5, 0.9)  # Of white noise w: n[t] = w[t] + tilt * n[t - 1].
_AROUND = 400  # Samples over which the loudness of a moment is taken.


def noisy(samples: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """The sound [N] with a noise drawn at random, in [-1, 1].

    It lies LOUDEST_DB to WEAKEST_DB below the sound; it is white or weaker in high frequencies, and
    as loud throughout, as a room is, or in proportion to the sound, as codes and draws are.
    """
    noise = lfilter([1], [1, -chance.choice(_TILTS)], chance.normal(size=len(samples)))
    if chance.random() < 0.5:
        noise *= np.sqrt(np.convolve(np.square(samples), np.full(_AROUND, 1 / _AROUND), "same"))
    below = 10 ** (-chance.uniform(LOUDEST_DB, WEAKEST_DB) / 20)
    own, other = (np.sqrt(np.mean(np.square(x))) for x in (samples, noise))
    return np.clip(samples + noise * (below * own / max(other, 1e-12)), -1, 1)
