"""Voices of known pitch and phones, for tests without a corpus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.speech.corpus import Speaker, Utterance, write_speaker
from meta_shrink.speech.features import Phone, frame_features
from meta_shrink.speech.signal import hop_of, mu_law_encode


def buzz(f0: float, seconds: float, rate: int, level: float = 0.5) -> np.ndarray:
    """A voice-like sound: all harmonics of f0 below 4 kHz, weaker the higher."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = range(1, int(4000 / f0) + 1)
    wave = sum(np.sin(2 * np.pi * k * f0 * time + k) / k for k in harmonics)
    return (level * wave / np.abs(wave).max()).astype(np.float32)


def utterance(
    name: str, frames: int, *, rate: int = 16_000, seed: int = 0, whose: str = ""
) -> Utterance:
    """An utterance of one phone, whose codes are random (and so tell where they are from)."""
    noise = np.random.default_rng([seed, *whose.encode()])
    codes = noise.integers(0, 256, frames * hop_of(rate)).astype(np.uint8)
    f0 = np.full([frames], 100.0 + seed)
    return Utterance(name, codes, frame_features([Phone("AA", 0, frames / 200, 0)], f0))


def speaker(
    name: str,
    lengths: Sequence[int],
    split: str = "",
    first_seed: int = 0,
    pre_emphasis: float = 0.0,
) -> Speaker:
    """A speaker with utterances u0, u1, ... of these numbers of frames."""
    own = [
        utterance(f"u{n}", length, seed=first_seed + n, whose=name)
        for n, length in enumerate(lengths)
    ]
    return Speaker(name, split, 16_000, own, {"settings": "", "left_out": []}, pre_emphasis)


def humming(number: int) -> Speaker:
    """A speaker with three utterances of 2 s; the higher, the later. Number 9 is held out."""
    f0, own = 90.0 + 30 * number, []
    for seed in range(3):
        features = frame_features([Phone("AA", 0, 2.0, 0)], np.full([400], f0 + seed))
        codes = mu_law_encode(buzz(f0 + seed, 2.0, 16_000))
        own.append(Utterance(f"u{seed}", codes, features))
    split = "test" if number == 9 else "train"
    return Speaker(f"s{number}", split, 16_000, own, {"settings": "", "left_out": []})


def prepared_folder(folder, speakers: Sequence[Speaker]) -> str:
    """The folder, with these speakers as launch.prepare_data leaves them."""
    for own in speakers:
        write_speaker(str(folder / f"{own.name}.npz"), own)
    return str(folder)


def tone(frequency: float, frames: int) -> np.ndarray:
    """Codes of a sine wave at 16 kHz."""
    time = np.arange(frames * 80) / (80 * FRAMES_PER_SECOND)
    return mu_law_encode(0.5 * np.sin(2 * np.pi * frequency * time))
