"""Speakers as tasks: who is held out, what trains, what validates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, UsageError
from meta_shrink.evaluation import require_tasks
from meta_shrink.tasks.prosody import prosody
from meta_shrink.tasks.speech import speech, split_speakers, split_utterances
from tests.speech.samples import prepared_folder, speaker

TRAIN = [speaker(f"t{n}", [20 + n, 30, 9, 14, 12], "train", 10 * n) for n in range(3)]
TEST = [speaker(f"v{n}", [25, 31, 18, 16], "test", 100 + 10 * n) for n in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return prepared_folder(tmp_path_factory.mktemp("speech"), TRAIN + TEST)


def source(folder: str, **options) -> Any:
    return speech(seed=0, data_dir=folder, crop_frames=6, context_frames=2, **options)


def words(utterances) -> set[bytes]:
    return {u.codes.tobytes() for u in utterances}


def rows(data) -> set[bytes]:
    """The utterances of a task's training data, without their padding."""
    codes, firsts = data.codes.numpy()[0], 80 * data.start.numpy() + 160
    return {
        codes[first : first + 80 * frames].tobytes()
        for first, frames in zip(firsts, data.frames.numpy(), strict=True)
        if frames
    }


def test_held_out_tasks_are_the_held_out_speakers_in_turn(folder):
    drawn = source(folder)
    for index in range(4):
        own, _ = split_utterances(TEST[index % 2], 0.2, "0")
        assert rows(drawn.heldout(tf.constant(index)).train) == words(own)


def test_a_speaker_counts_once_in_an_interval(folder):
    """Two held-out speakers asked for as ten tasks would be ten values of an interval."""
    drawn = source(folder)
    assert (drawn.num_heldout, drawn.num_validation) == (2, 3)
    require_tasks(drawn, 2)
    with pytest.raises(UsageError, match="asks for 3 tasks, but there are 2 test tasks"):
        require_tasks(drawn, 3)
    with pytest.raises(UsageError, match="asks for 4 tasks, but there are 3 validation tasks"):
        require_tasks(drawn, 4, validation=True)


def test_meta_training_sees_every_training_speaker_and_no_other(folder):
    drawn = source(folder)
    seen = {frozenset(rows(drawn.sample(tf.constant([1, number])).train)) for number in range(40)}
    assert seen == {frozenset(words(split_utterances(s, 0.2, "0")[0])) for s in TRAIN}


def test_all_validation_samples_are_scored_once_by_default(folder):
    _, codes, weights = source(folder).heldout(tf.constant(1)).val
    _, own = split_utterances(TEST[1], 0.2, "0")
    scored = codes.numpy()[weights.numpy() > 0]
    assert (scored == np.concatenate([u.codes for u in own])).all()


def test_a_number_of_validation_pieces_may_be_asked_for(folder):
    _, codes, weights = source(folder, validation_pieces=3).heldout(tf.constant(0)).val
    assert codes.shape == weights.shape == (3, 8 * 80)


def test_half_of_the_utterances_are_some_of_all(folder):
    halved = rows(source(folder, train_share=0.5).heldout(tf.constant(0)).train)
    everything = rows(source(folder).heldout(tf.constant(0)).train)
    assert halved < everything and (len(halved), len(everything)) == (2, 3)
    # It is the held-out speakers' share alone.
    assert len(rows(source(folder, train_share=0.5).sample(tf.constant([0, 0])).train)) == 4


def test_mixed_pieces_come_from_all_training_speakers(folder):
    drawn = source(folder)
    _, codes, weights = drawn.mixed.draw(tf.constant([5, 6]), 200)
    own = {
        s.name: np.concatenate([u.codes for u in split_utterances(s, 0.2, "0")[0]]) for s in TRAIN
    }
    texts = {name: codes.tobytes() for name, codes in own.items()}
    found = [
        name
        for piece, weight in zip(codes.numpy().astype(np.uint8), weights.numpy(), strict=True)
        for name, text in texts.items()
        if piece[weight > 0].tobytes() in text
    ]
    assert len(found) == 200 and set(found) == set(own)


def test_the_mixed_validation_batch_is_of_validation_utterances(folder):
    drawn = source(folder)
    _, codes, weights = drawn.mixed.validation(20)
    own = b"".join(u.codes.tobytes() for s in TRAIN for u in split_utterances(s, 0.2, "0")[1])
    for piece, weight in zip(codes.numpy().astype(np.uint8), weights.numpy(), strict=True):
        assert piece[weight > 0].tobytes() in own
    assert (drawn.mixed.validation(20)[1].numpy() == codes.numpy()).all()


def test_mini_batches_of_a_task_are_pieces_of_its_training_utterances(folder):
    drawn = source(folder)
    task = drawn.heldout(tf.constant(0))
    _, codes, weights = drawn.draw(tf.constant([1, 1]), task.train, 30)
    own = b"".join(u.codes.tobytes() for u in split_utterances(TEST[0], 0.2, "0")[0])
    for piece, weight in zip(codes.numpy().astype(np.uint8), weights.numpy(), strict=True):
        assert weight.sum() > 0 and piece[weight > 0].tobytes() in own


def test_speakers_have_numbers_and_a_new_one_the_last(folder):
    drawn = source(folder, speaker_numbers=True)
    (_, _, told), _, _ = drawn.heldout(tf.constant(1)).val
    assert set(told.numpy()) == {3}
    (_, _, told), _, _ = drawn.mixed.draw(tf.constant([0, 1]), 60)
    assert set(told.numpy()) == {0, 1, 2}


@pytest.mark.parametrize("share", [-1.0, 0.0, 1.0, 7.0, float("nan")])
def test_shares_of_prosody_are_those_of_speech(folder, share):
    with pytest.raises(UsageError, match="expected shares between 0 and 1"):
        prosody(seed=0, data_dir=folder, validation_share=share)


def test_fewer_than_no_speakers_cannot_be_held_out():
    with pytest.raises(UsageError, match="heldout_speakers=-1"):
        split_speakers([speaker(f"s{n}", [5, 5]) for n in range(3)], -1, "0")


def test_a_number_of_held_out_speakers_is_not_ignored_where_the_data_name_them():
    speakers = [speaker(f"s{n}", [5, 5], split) for n, split in enumerate(("train", "test"))]
    assert [[s.name for s in part] for part in split_speakers(speakers, 10, "0")] == [
        ["s0"],
        ["s1"],
    ]
    with pytest.raises(UsageError, match="heldout_speakers=1, but the data say themselves"):
        split_speakers(speakers, 1, "0")


def test_without_splits_speakers_are_held_out_by_hash():
    speakers = [speaker(f"s{n}", [5, 5]) for n in range(8)]
    train, test = split_speakers(speakers, 3, "0")
    assert (len(train), len(test)) == (5, 3)
    assert split_speakers(speakers[::-1], 3, "0")[1] == test[::-1]
    assert split_speakers(speakers, 3, "1")[1] != test


@pytest.mark.parametrize("heldout", [0, 2])
def test_no_speaker_to_train_on_or_to_hold_out_is_refused(heldout):
    with pytest.raises(DataError, match="held out"):
        split_speakers([speaker("a", [5, 5]), speaker("b", [5, 5])], heldout, "0")


def test_a_speaker_of_one_utterance_is_refused():
    with pytest.raises(DataError, match="Speaker a has 1 utterance"):
        split_utterances(speaker("a", [5]), 0.2, "0")


@pytest.mark.parametrize(
    "options",
    [
        {"crop_frames": 0},
        {"context_frames": -1},
        {"validation_share": 0.0},
        {"validation_share": 1.0},
        {"train_share": 0.0},
        {"train_share": 1.5},
        {"validation_pieces": -1},
    ],
)
def test_numbers_out_of_range_are_refused(folder, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        speech(**{"seed": 0, "data_dir": folder, **options})
