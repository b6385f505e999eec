"""A speaker is a task: how long each phone lasts, whether it is voiced, how high it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError
from meta_shrink.pitch import FRAMES_PER_SECOND, hertz
from meta_shrink.rng import root_key, uniform
from meta_shrink.speech.corpus import Speaker, Utterance, read_speakers
from meta_shrink.speech.features import FEATURES_VERSION, PHONES
from meta_shrink.speech.prosody import PROSODY_VERSION, network_inputs, of_frames
from meta_shrink.tasks.arrays import drawing
from meta_shrink.tasks.data_digest import of_speakers
from meta_shrink.tasks.example_arrays import INPUTS, TARGETS, Arrays, TaskExamples
from meta_shrink.tasks.speech import HELDOUT_SPEAKERS, split_speakers, split_utterances
from meta_shrink.types import Batch, Mixed, Prosody, Task, TaskSource


def prosody(
    *,
    seed: int,
    data_dir: str,
    validation_share: float = 0.2,
    heldout_speakers: int = HELDOUT_SPEAKERS,
    split: str = "0",
) -> TaskSource:
    """Tasks of a folder that meta-shrink prepare-data speech filled; speakers and utterances are
    divided as those of `speech`.

    A batch is (inputs [N, FEATURES], targets [N, TARGETS], weights [N]) of speech.prosody; an
    example is a phone, and speakers with fewer of them are padded with weight 0.

    Args:
      seed: of mini-batches of held-out speakers.
      data_dir: the prepared folder.
      validation_share: of a speaker's utterances, chosen by hash; at least one.
      heldout_speakers: how many, where the corpus does not say who.
      split: salt of the order by hash.

    Raises:
      UsageError: a share out of range.
      DataError: nothing prepared, a speaker with too few utterances, no voiced phone at all.
    """
    train, test = split_speakers(speakers := read_speakers(data_dir), heldout_speakers, split)
    own = [examples_of(speaker, validation_share, split) for speaker in train]
    draw = drawing(own, padded=True)
    other = drawing([examples_of(s, validation_share, split) for s in test], padded=True)

    def sample(key: tf.Tensor) -> Task:
        return draw(uniform(key, "prosody_speaker", [], 0, len(own), tf.int32), key)

    return TaskSource(
        sample=sample,
        heldout=lambda index: other(index, root_key(seed, "heldout_tasks", index)),
        validation=lambda index: draw(index, root_key(seed, "validation_tasks", index)),
        mixed=_mixed(own, root_key(seed, "validation_tasks")),
        prosody=_heard(own),
        num_heldout=len(test),
        num_validation=len(train),
        data=of_speakers(speakers),
    )


def examples_of(speaker: Speaker, validation_share: float, split: str) -> TaskExamples:
    """The phones of a speaker's training utterances, and of those to validate on.

    Raises:
      UsageError, DataError: of split_utterances.
    """
    train, val = split_utterances(speaker, validation_share, split)
    return TaskExamples(phone_arrays(train), phone_arrays(val))


def phone_arrays(utterances: Sequence[Utterance]) -> Arrays:
    """The phones of utterances: {"inputs": [N, FEATURES], "targets": [N, TARGETS]}."""
    told = [of_frames(utterance.features) for utterance in utterances]
    return {
        INPUTS: np.concatenate([network_inputs(phones) for phones, _ in told]),
        TARGETS: np.concatenate([targets for _, targets in told]),
    }


def _heard(speakers: Sequence[TaskExamples]) -> Prosody:
    """What the training speakers span."""
    targets = np.concatenate([speaker.train[TARGETS] for speaker in speakers]).astype(np.float64)
    voiced, log_f0 = np.split(targets[:, 1:], 2, axis=1)
    if not voiced.any():
        raise DataError("The training speakers have no voiced phone; prepare other recordings.")
    low, high = (float(hertz(f(log_f0[voiced > 0]))) for f in (np.min, np.max))
    longest = round(float(np.exp(targets[:, 0].max())))
    told = PROSODY_VERSION, FEATURES_VERSION, FRAMES_PER_SECOND, list(PHONES)
    return Prosody(*told, low, high, longest)


def _mixed(speakers: Sequence[TaskExamples], key: tf.Tensor) -> Mixed:
    """Phones of all training speakers, and of their validation utterances."""
    draw = _drawn([speaker.train for speaker in speakers])
    validate = _drawn([speaker.heldout for speaker in speakers])
    return Mixed(draw, lambda size: validate(key, size))


def _drawn(parts: Sequence[Arrays]) -> Callable[[tf.Tensor, int], Batch]:
    """(key, size) -> batch of that many phones, each drawn from all."""
    inputs, targets = (
        tf.constant(np.concatenate([part[name] for part in parts])) for name in (INPUTS, TARGETS)
    )

    def draw(key: tf.Tensor, size: int) -> Batch:
        rows = uniform(key, "prosody_phones", [size], 0, len(inputs), tf.int32)
        return tf.gather(inputs, rows), tf.gather(targets, rows), tf.ones([size])

    return draw
