"""A recording taken apart by WORLD and put together again: what a vocoder of features may reach."""

from __future__ import annotations

import numpy as np

from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.speech.scores.compared import Sound, Sounds
from meta_shrink.speech.scores.log_mel import RATE
from meta_shrink.speech.signal import pitch, world


def copied(sounds: Sounds) -> Sounds:
    """Each utterance by `world_copy`, with its text."""
    return {
        speaker: {name: Sound(world_copy(sound.samples), sound.text) for name, sound in own.items()}
        for speaker, own in sounds.items()
    }


def world_copy(samples: np.ndarray) -> np.ndarray:
    """float32 samples [N] at RATE from pitch, envelope and aperiodicity of 5 ms frames alone.

    Pitch is what the package tells its networks; CheapTrick, D4C and synthesis are WORLD's (Morise
    2016).
    """
    library, period = world(), 1000 / FRAMES_PER_SECOND
    wave = np.ascontiguousarray(samples, np.float64)
    f0 = np.ascontiguousarray(pitch(samples, RATE), np.float64)
    times = np.arange(len(f0)) / FRAMES_PER_SECOND
    envelope = library.cheaptrick(wave, f0, times, RATE)
    aperiodicity = library.d4c(wave, f0, times, RATE)
    made = library.synthesize(f0, envelope, aperiodicity, RATE, period)[: len(samples)]
    return np.clip(np.pad(made, (0, len(samples) - len(made))), -1, 1).astype(np.float32)
