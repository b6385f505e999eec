"""A speaker is a task: predict each sample of a voice from those before and the text (App. E.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError, UsageError, first_names
from meta_shrink.images.classes import hash_order
from meta_shrink.rng import fold_in, root_key, uniform
from meta_shrink.speech.corpus import Speaker, Utterance, read_speakers
from meta_shrink.speech.crops import (
    Utterances,
    Window,
    all_pieces,
    mixed,
    pieces,
    random_pieces,
    rows_of,
    tiles,
)
from meta_shrink.speech.features import FEATURES_VERSION
from meta_shrink.speech.signal import CODES, hop_of
from meta_shrink.tasks.data_digest import of_speakers
from meta_shrink.types import Mixed, Recordings, Task, TaskSource

HELDOUT_SPEAKERS = 10  # where the data do not say who


def speech(
    *,
    seed: int,
    data_dir: str,
    crop_frames: int = 200,
    context_frames: int = 39,
    validation_share: float = 0.2,
    validation_pieces: int = 0,
    train_share: float = 1.0,
    heldout_speakers: int = HELDOUT_SPEAKERS,
    speaker_numbers: bool = False,
    split: str = "0",
) -> TaskSource:
    """Tasks of a folder that meta-shrink prepare-data speech filled.

    Held-out speakers are those that the corpus calls test; where it calls none, the first
    `heldout_speakers` by hash. Held-out task i is held-out speaker i. Validation tasks are training
    speakers on their validation utterances, which no training sees.

    Args:
      seed: of the pieces that tasks are validated on.
      data_dir: the prepared folder.
      crop_frames: scored frames (5 ms) of a piece.
      context_frames: frames ahead of them that are heard and not scored; the receptive field of
        the network: 39 for its 3,070 samples of 80 a frame.
      validation_share: of a speaker's utterances, chosen by hash; at least one.
      validation_pieces: that a task is validated on; 0: all of its validation utterances.
      train_share: of the training utterances, the first by hash, that a held-out speaker has.
      speaker_numbers: inputs have a third part, the number of the speaker; a held-out speaker has
        the number behind the last training speaker.
      split: salt of the order by hash.

    Raises:
      UsageError: a number out of range.
      DataError: nothing prepared, or a speaker with too few utterances.
    """
    _check(crop_frames, context_frames, validation_pieces)
    speakers = read_speakers(data_dir)
    hop = hop_of(speakers[0].sample_rate)
    window = Window(crop_frames, context_frames, hop, told=speaker_numbers)
    train, test = split_speakers(speakers, heldout_speakers, split)
    own = [split_utterances(s, validation_share, split) for s in train]
    other = [split_utterances(s, validation_share, split, train_share) for s in test]
    source = _source(
        _stacked(own, window, list(range(len(train)))),
        _stacked(other, window, [len(train)] * len(test)),
        *(window, validation_pieces, seed),
    )
    return source._replace(**_facts(window, speakers[0], len(train)), data=of_speakers(speakers))


def _facts(window: Window, one: Speaker, new: int) -> dict[str, Any]:
    """Fields of the source; new: the number of a new speaker."""
    sizes, speaker = (window.frames, window.context), (new if window.told else None)
    told = Recordings(one.sample_rate, *sizes, FEATURES_VERSION, speaker, one.pre_emphasis)
    return {"recordings": told, "classes": CODES, "check_model": partial(_check_model, window, new)}


def _check_model(window: Window, new: int, model: Mapping[str, Any]) -> None:
    """The model is of these pieces, and has the number of the new speaker, the highest: TensorFlow
    may take another's."""
    frames = window.context + window.frames
    wanted = {"frames": frames, "samples": frames * window.hop}
    if odd := [f"model.{k}={v}" for k, v in wanted.items() if model.get(k, v) != v]:
        raise UsageError(
            f"The data have {window.hop} samples a frame, and the task's pieces {frames} frames: "
            f"set {' and '.join(odd)}."
        )
    speakers = model.get("speakers")
    if window.told and speakers and speakers <= new:
        raise UsageError(
            f"model.speakers is {speakers}, and there are {new} training speakers and a new one: "
            f"set it to {new + 1} or more."
        )


def split_speakers(
    speakers: Sequence[Speaker], heldout: int, salt: str
) -> tuple[list[Speaker], list[Speaker]]:
    """(training speakers, held-out speakers) as `speech` says, each in the order of names.

    Raises:
      UsageError: heldout is below 0.
      DataError: one of them would be empty, or a speaker has fewer than two utterances.
    """
    if heldout < 0:
        raise UsageError(f"task got heldout_speakers={heldout}; expected 1 or more.")
    if few := [speaker.name for speaker in speakers if len(speaker.utterances) < 2]:
        raise DataError(
            f"{len(few)} of {len(speakers)} speakers have fewer than two utterances, and one is "
            f"for validation: {first_names(few)}; remove their files."
        )
    test = {speaker.name for speaker in speakers if speaker.split == "test"}
    if test and heldout != HELDOUT_SPEAKERS:
        raise UsageError(
            f"task got heldout_speakers={heldout}, but the data say themselves who is held out, "
            f"{len(test)} speakers: leave it out."
        )
    if not test:
        test = set(hash_order([speaker.name for speaker in speakers], salt)[:heldout])
    parts = [s for s in speakers if s.name not in test], [s for s in speakers if s.name in test]
    if not all(parts):
        raise DataError(
            f"{len(speakers)} speakers, {len(test)} of them held out: expected at least one to "
            "train on and one held out; lower task.heldout_speakers or prepare more speakers."
        )
    return parts


def split_utterances(
    speaker: Speaker, validation_share: float, salt: str, train_share: float = 1.0
) -> tuple[list[Utterance], list[Utterance]]:
    """(training utterances, validation utterances) of a speaker, by hash.

    Raises:
      UsageError: a share that is none.
      DataError: nothing would be left to train on.
    """
    if not (0 < validation_share < 1 and 0 < train_share <= 1):
        raise UsageError(
            f"task got validation_share={validation_share}, train_share={train_share}; expected "
            "shares between 0 and 1."
        )
    by_name = {utterance.name: utterance for utterance in speaker.utterances}
    order = hash_order(by_name, f"{salt}/{speaker.name}")
    count = max(1, round(validation_share * len(order)))
    if len(order) <= count:
        raise DataError(
            f"Speaker {speaker.name} has {len(order)} utterances, of which {count} would be for "
            "validation; expected at least one more: lower task.validation_share."
        )
    kept = order[count : count + max(1, round(train_share * (len(order) - count)))]
    return [by_name[name] for name in kept], [by_name[name] for name in order[:count]]


class _Stack(NamedTuple):
    """S speakers, on the device: training and validation utterances, leaves [S, U, ...].

    tiles: int32 [S, K, 2], the pieces that cover the validation utterances.
    """

    train: Utterances
    val: Utterances
    tiles: tf.Tensor


def _source(
    own: _Stack, other: _Stack, window: Window, validation_pieces: int, seed: int
) -> TaskSource:
    """The source of the training speakers and the held-out ones."""
    draw, count = _task_drawer(window, validation_pieces), len(own.tiles)

    def sample(key: tf.Tensor) -> Task:
        return draw(own, uniform(key, "speaker", [], 0, count, tf.int32), key)

    return TaskSource(
        sample=sample,
        heldout=lambda index: draw(other, index, root_key(seed, "heldout_tasks", index)),
        validation=lambda index: draw(own, index, root_key(seed, "validation_tasks", index)),
        draw=lambda key, utterances, size: random_pieces(utterances, key, size, window),
        pieces=lambda utterances: all_pieces(utterances, window),
        mixed=_mixed(own, window, root_key(seed, "validation_tasks")),
        num_heldout=len(other.tiles),
        num_validation=count,
    )


def _stacked(
    speakers: Sequence[tuple[list[Utterance], list[Utterance]]],
    window: Window,
    numbers: Sequence[int],
) -> _Stack:
    parts = ([part[which] for part in speakers] for which in (0, 1))
    train, val = (Utterances(*map(tf.constant, rows_of(part, window, numbers))) for part in parts)
    covers = [tiles([len(u.features.phones) for u in own], window) for _, own in speakers]
    # What is missing to the longest list scores frames behind the end, which weigh nothing.
    end = [[0, 1 + max(len(u.features.phones) for _, own in speakers for u in own)]]
    most = max(map(len, covers))
    filled = [np.concatenate([c, np.repeat(end, most - len(c), axis=0)]) for c in covers]
    return _Stack(train, val, tf.constant(np.stack(filled), tf.int32))


def _task_drawer(window: Window, validation_pieces: int) -> Callable[..., Task]:
    """(stack, number, key) -> the Task of a speaker; numbers wrap around."""

    def task(stack: _Stack, number: tf.Tensor, key: tf.Tensor) -> Task:
        index = number % len(stack.tiles)
        # Gathered, not sliced: XLA compiles a slice anew for each number.
        train, val, cover = tf.nest.map_structure(lambda x: tf.gather(x, index), stack)
        if validation_pieces:
            scored = random_pieces(
                val, fold_in(key, "validation_pieces"), validation_pieces, window
            )
        else:
            scored = pieces(val, cover[:, 0], cover[:, 1], window)
        return Task(train, scored, key)

    return task


def _mixed(stack: _Stack, window: Window, key: tf.Tensor) -> Mixed:
    """Pieces of all training speakers; validation pieces of their validation utterances."""
    train, val = mixed(stack.train), mixed(stack.val)

    def draw(key: tf.Tensor, size: int) -> Any:
        return random_pieces(train, key, size, window)

    return Mixed(draw, lambda size: random_pieces(val, key, size, window))


def _check(crop_frames, context_frames, validation_pieces):
    if crop_frames < 1 or min(context_frames, validation_pieces) < 0:
        raise UsageError(
            f"task got crop_frames={crop_frames}, context_frames={context_frames}, "
            f"validation_pieces={validation_pieces}; expected at least 1 frame, and counts >= 0."
        )
