"""Recordings of new speakers as the tasks of a backbone: from sound files to adapters.

Nothing of a recording is kept but in the adapters themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.backbones.voices import recordings_of
from meta_shrink.errors import DataError
from meta_shrink.images.classes import hash_order
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.corpus import Utterance
from meta_shrink.speech.crops import Window, all_pieces, padded
from meta_shrink.speech.features import FRAMES_PER_SECOND, NUMBERS
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.prepare import prepare_utterance
from meta_shrink.speech.signal import hop_of
from meta_shrink.tasks.example_arrays import HELDOUT

LEAST_VOICED_SECONDS = 2.0
_VOICED = NUMBERS.index("voiced")


def voice_tasks(
    source: str, info: BackboneInfo, *, heldout: int = 0, log: Callable[[str], Any] = print
) -> dict[str, dict[str, np.ndarray]]:
    """{speaker: arrays of their task} of a folder or a tar of recordings with their texts.

    A recording that cannot be read or aligned is named and left out.

    Args:
      source: of find_recordings.
      info: of the backbone that will adapt them.
      heldout: utterances of each speaker, the first by hash, kept for the held-out metric.

    Raises:
      DataError: nothing to read, or too little speech of a speaker.
      UsageError: a backbone of something else.
    """
    told, corpus = recordings_of(info), find_recordings(source)
    window = Window(told.frames, told.context, hop_of(told.sample_rate))
    spoken: dict[str, list[Utterance]] = {}
    with Progress(len(corpus.recordings), label="recordings") as progress:
        for number, recording in enumerate(corpus.recordings):
            own = spoken.setdefault(recording.speaker, [])
            try:
                own.append(prepare_utterance(recording, told.sample_rate, corpus.lexicon))
            except DataError as error:
                log(f"left out: {recording.speaker}/{recording.utterance}: {error}")
            progress.update(number + 1)
    inputs = [spec.name for spec in info.inputs]
    return {name: _task(name, own, heldout, window, inputs) for name, own in spoken.items()}


def _task(
    speaker: str,
    utterances: Sequence[Utterance],
    heldout: int,
    window: Window,
    names: Sequence[str],
) -> dict[str, np.ndarray]:
    order = hash_order({u.name: u for u in utterances}, f"enrol/{speaker}")
    kept = [u for u in utterances if u.name in order[heldout:]]
    voiced = sum(float(u.features.numbers[:, _VOICED].sum()) for u in kept) / FRAMES_PER_SECOND
    if voiced < LEAST_VOICED_SECONDS:
        raise DataError(
            f"Speaker {speaker} has {voiced:.1f} s of voiced speech in {len(kept)} recordings; "
            f"expected {LEAST_VOICED_SECONDS:g} s or more: give longer or less noisy ones, or hold "
            "fewer out."
        )
    arrays = _arrays(kept, window, names)
    apart = [u for u in utterances if u.name in order[:heldout]]
    held = _arrays(apart, window, names) if apart else {}
    return arrays | {f"{HELDOUT}{name}": value for name, value in held.items()}


def _arrays(
    utterances: Sequence[Utterance], window: Window, names: Sequence[str]
) -> dict[str, np.ndarray]:
    longest = max(len(u.features.phones) for u in utterances)
    stack = padded(utterances, window, rows=len(utterances), longest=longest, speaker=0)
    inputs, codes, weights = all_pieces(stack, window)
    arrays = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True)}
    return {**arrays, TARGETS: np.asarray(codes), TARGET_WEIGHTS: np.asarray(weights)}
