"""Whether voices have the pitch that they were asked for.

  python -m benchmarks.harmonics --corpus=data/speech --spoken=NAME=DIR --spoken=...

DIR has SPEAKER/UTTERANCE.wav, spoken with the pitch of utterances of a prepared corpus, as
benchmarks.voice_methods does. Harmonicity: the mean over voiced frames of the correlation between
two periods of the sound and the two before them (their cosine, at the best lag within 5 % of the
asked period). White noise has about 0.2 (the best of some lags), a vowel more than 0.9. Beside them
is the real one, the corpus's own codes. Means over speakers with 95 % intervals (Student's t).
--figure draws a sentence that all have spoken, up to 4 kHz, below the real one.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from meta_shrink.intervals import mean_and_ci95
from meta_shrink.pitch import FRAMES_PER_SECOND, hertz
from meta_shrink.reporting.spectrogram import show_levels
from meta_shrink.speech.corpus import Speaker, Utterance, read_speakers

_AROUND = 0.05  # Of a period.
Corpus = dict[tuple[str, str], tuple[Speaker, Utterance]]


def main() -> None:
    """Two lines of the table for each folder: what was spoken, and the real recordings of it."""
    given = arguments()
    corpus = {
        (speaker.name, utterance.name): (speaker, utterance)
        for speaker in read_speakers(given.corpus)
        for utterance in speaker.utterances
    }
    print("| | speakers | utterances | harmonicity | less real |\n|---|---|---|---|---|")
    for name, folder in given.spoken:
        made, real, sounds = measured(folder, corpus)
        counts = f"{len(made)} | {sounds}"
        print(f"| {name} | {counts} | {shown(made)} | {shown(made - real)} |")
        print(f"| {name}, real | {counts} | {shown(real)} | |", flush=True)
    if given.figure:
        draw(given.spoken, corpus, given.figure)


def arguments() -> argparse.Namespace:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", required=True, help="folder that launch.prepare_data wrote")
    parser.add_argument("--spoken", type=named, action="append", required=True, help="NAME=DIR")
    parser.add_argument("--figure", default="", help="PNG of one sentence")
    return parser.parse_args()


def named(text: str) -> tuple[str, str]:
    """NAME=DIR."""
    name, _, folder = text.partition("=")
    if not (name and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, folder


def measured(folder: str, corpus: Corpus) -> tuple[np.ndarray, np.ndarray, int]:
    """(harmonicity of each speaker's sounds [S], of the real ones [S], how many sounds)."""
    sounds = sorted(Path(folder).glob("*/*.wav"))
    keys = [(path.parent.name, path.stem) for path in sounds]
    unknown = [f"{who}/{what}" for who, what in keys if (who, what) not in corpus]
    if unknown or not sounds:
        raise SystemExit(f"{folder} has {unknown[:3] or 'no sounds'} that the corpus lacks.")
    made, real = defaultdict(list), defaultdict(list)
    for path, (speaker, what) in zip(sounds, keys, strict=True):
        own, utterance = corpus[speaker, what]
        samples, found = soundfile.read(path)
        if found != own.sample_rate:
            raise SystemExit(f"{path} has {found} samples a second, the corpus {own.sample_rate}.")
        asked = pitch_of(utterance)
        made[speaker].append(harmonicity(samples, asked, found))
        real[speaker].append(harmonicity(own.sound(utterance), asked, found))
    of_made, of_real = (
        np.array([np.nanmean(own) for own in side.values()]) for side in (made, real)
    )
    return of_made, of_real, len(sounds)


def draw(spoken: list[tuple[str, str]], corpus: Corpus, path: str) -> None:
    """The first sentence that is in all folders, the real one first."""
    folders = [Path(folder) for _, folder in spoken]
    names = [{path.relative_to(one) for path in one.glob("*/*.wav")} for one in folders]
    sentence = min(set.intersection(*names))
    own, utterance = corpus[sentence.parent.name, sentence.stem]
    rows = [("real", own.sound(utterance))]
    rows += [(name, soundfile.read(Path(one) / sentence)[0]) for name, one in spoken]
    figure = Figure(figsize=(8.0, 1.9 * len(rows)), layout="constrained")
    places = figure.subplots(len(rows), sharex=True, squeeze=False)[:, 0]
    for place, (name, samples) in zip(places, rows, strict=True):
        show_levels(place, samples, own.sample_rate)
        place.set(title=name, ylabel="kHz", ylim=(0, 4))
    places[-1].set_xlabel(f"time (s) of {sentence.parent.name}/{sentence.stem}")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def pitch_of(utterance: Utterance) -> np.ndarray:
    """In Hz of each frame [F]; 0 where there is none."""
    numbers = utterance.features.numbers
    return np.where(numbers[:, 4] > 0, hertz(numbers[:, 5]), 0.0)


def harmonicity(samples: np.ndarray, pitch: np.ndarray, rate: int) -> float:
    """The mean over voiced frames; NaN without any.

    Args:
      samples: [T] of a sound. pitch: [F] in Hz of each 5 ms frame, 0 where unvoiced.
    """
    hop, found = rate // FRAMES_PER_SECOND, []
    wave = np.asarray(samples, np.float64)
    for frame in np.flatnonzero(pitch):
        period, start = rate / pitch[frame], frame * hop
        length = round(2 * period)
        lags = np.arange(int(period * (1 - _AROUND)), int(np.ceil(period * (1 + _AROUND))) + 1)
        if start < lags[-1] or start + length > len(wave):
            continue
        now = wave[start : start + length]
        before = np.stack([wave[start - lag : start - lag + length] for lag in lags])
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(now)
        products = np.divide(before @ now, norms, out=np.zeros(len(lags)), where=norms > 0)
        found.append(products.max())
    return float(np.mean(found)) if found else float("nan")


def shown(values: np.ndarray) -> str:
    """Mean ± half of the interval."""
    mean, half = mean_and_ci95(values)
    return f"{mean:.3f} ± {half:.3f}"


if __name__ == "__main__":
    main()
