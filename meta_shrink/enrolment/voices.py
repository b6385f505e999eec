"""Recordings of new speakers as the tasks of a backbone: from sound files to adapters.

Nothing of a recording is kept but in the adapters themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.backbones.voices import recordings_of
from meta_shrink.enrolment.adapt_tasks import check_task_names
from meta_shrink.errors import DataError, one_line
from meta_shrink.images.classes import hash_order
from meta_shrink.runs.progress import Progress
from meta_shrink.speech.audio_files import decode
from meta_shrink.speech.corpus import Utterance
from meta_shrink.speech.crops import Window, all_pieces, padded
from meta_shrink.speech.features import FRAMES_PER_SECOND, NUMBERS
from meta_shrink.speech.layouts import find_recordings
from meta_shrink.speech.prepare import prepare_utterance
from meta_shrink.speech.quality import check_recording
from meta_shrink.speech.signal import hop_of
from meta_shrink.tasks.example_arrays import HELDOUT, Arrays
from meta_shrink.tasks.prosody import phone_arrays

LEAST_VOICED_SECONDS = 2.0
_VOICED = NUMBERS.index("voiced")


def recorded_voices(
    source: str, info: BackboneInfo, *, log: Callable[[str], Any] = print
) -> dict[str, list[Utterance]]:
    """{speaker: their utterances} of a folder or a tar of recordings with their texts.

    A recording that cannot be read or aligned, or that is silent, clipped or noisy
    (speech.quality), is named and left out.

    Args:
      source: of find_recordings.
      info: of the backbone that will adapt them.

    Raises:
      DataError: nothing to read, or a speaker whose name no adapter can have.
      UsageError: a backbone of something else.
    """
    rate, corpus = recordings_of(info).sample_rate, find_recordings(source, log=log)
    check_task_names(recording.speaker for recording in corpus.recordings)
    spoken: dict[str, list[Utterance]] = {}
    with Progress(len(corpus.recordings), label="recordings") as progress:
        for number, recording in enumerate(corpus.recordings):
            own = spoken.setdefault(recording.speaker, [])
            try:
                check_recording(*decode(recording.place.read(), recording.place.path))
                own.append(prepare_utterance(recording, rate, corpus.lexicon))
            except DataError as error:
                log(one_line(f"left out: {recording.speaker}/{recording.utterance}: {error}"))
            progress.update(number + 1)
    return spoken


def voice_tasks(
    spoken: Mapping[str, Sequence[Utterance]], info: BackboneInfo, *, heldout: int = 0
) -> dict[str, Arrays]:
    """{speaker: arrays of their task} of a backbone of voices.

    Args:
      spoken: of recorded_voices.
      info: of the backbone that will adapt them.
      heldout: utterances of each speaker, the first by hash, kept for the held-out metric.

    Raises:
      DataError: too little speech of a speaker.
      UsageError: a backbone of something else.
    """
    told = recordings_of(info)
    new = told.speaker
    window = Window(told.frames, told.context, hop_of(told.sample_rate), told=new is not None)
    inputs = [spec.name for spec in info.inputs]
    return _tasks(spoken, heldout, lambda own: _arrays(own, window, inputs, new or 0))


def prosody_tasks(
    spoken: Mapping[str, Sequence[Utterance]], *, heldout: int = 0
) -> dict[str, Arrays]:
    """As voice_tasks, of a backbone of prosody; the same utterances are held out."""
    return _tasks(spoken, heldout, phone_arrays)


def _tasks(
    spoken: Mapping[str, Sequence[Utterance]],
    heldout: int,
    arrays: Callable[[Sequence[Utterance]], Arrays],
) -> dict[str, Arrays]:
    tasks = {}
    for speaker, utterances in spoken.items():
        order = hash_order({u.name: u for u in utterances}, f"enrol/{speaker}")
        kept = [u for u in utterances if u.name in order[heldout:]]
        apart = [u for u in utterances if u.name in order[:heldout]]
        _check_length(speaker, kept)
        held = arrays(apart) if apart else {}
        tasks[speaker] = arrays(kept) | {f"{HELDOUT}{name}": x for name, x in held.items()}
    return tasks


def _check_length(speaker: str, utterances: Sequence[Utterance]) -> None:
    frames = sum(float(u.features.numbers[:, _VOICED].sum()) for u in utterances)
    if (voiced := frames / FRAMES_PER_SECOND) < LEAST_VOICED_SECONDS:
        raise DataError(
            f"Speaker {speaker} has {voiced:.1f} s of voiced speech in {len(utterances)} "
            f"recordings; expected {LEAST_VOICED_SECONDS:g} s or more: give longer or better ones, "
            "or hold fewer out."
        )


def _arrays(
    utterances: Sequence[Utterance], window: Window, names: Sequence[str], speaker: int
) -> Arrays:
    longest = max(len(u.features.phones) for u in utterances)
    stack = padded(utterances, window, rows=len(utterances), longest=longest, speaker=speaker)
    inputs, codes, weights = all_pieces(stack, window)
    arrays = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True)}
    return {**arrays, TARGETS: np.asarray(codes), TARGET_WEIGHTS: np.asarray(weights)}
