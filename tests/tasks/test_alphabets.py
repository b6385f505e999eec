"""Augmented Omniglot: fixed splits and images, augmentation in the loop, the protocol's traps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError
from meta_shrink.adaptation import random_batch
from meta_shrink.rng import fold_in
from meta_shrink.tasks import alphabets
from meta_shrink.tasks.transforms import augment_validation, train_on_all
from tests.numbered_images import SIZE, numbered_omniglot


@pytest.fixture(autouse=True)
def fake_data(monkeypatch):
    monkeypatch.setattr(alphabets, "read_omniglot", numbered_omniglot)


def source(**options):
    augment = {"scale": [0.8, 1.2], "shift": 0.2, "rotation": 180}
    return alphabets.omniglot_alphabets(seed=0, data_dir="", **{"augment": augment, **options})


def who(images) -> np.ndarray:
    """[N, 3]: alphabet, character, drawing."""
    return images.numpy()[:, 0, :3, 0]


def test_a_task_is_one_alphabet_of_20_characters_with_15_and_5_drawings():
    task = source().heldout(tf.constant(3))
    train, val = who(task.train[0]), who(task.val[0])
    assert len(train) == 300 and len(val) == 100 and task.train[0].dtype == tf.uint8
    assert len(set(train[:, 0]) | set(val[:, 0])) == 1
    for character, labels in ((train[:, 1], task.train[1]), (val[:, 1], task.val[1])):
        assert len(set(zip(character.tolist(), labels.numpy().tolist(), strict=True))) == 20
    assert not {tuple(row) for row in train} & {tuple(row) for row in val}


def test_classes_labels_and_drawings_are_the_same_in_every_draw_and_run():
    first, later = source().heldout(tf.constant(3)), source().heldout(tf.constant(13))
    np.testing.assert_array_equal(who(first.train[0]), who(later.train[0]))
    np.testing.assert_array_equal(first.val[1], later.val[1])
    assert first.key.numpy().tolist() != later.key.numpy().tolist()


def test_an_alphabet_counts_once_in_an_interval():
    drawn = source(num_alphabets=30)
    assert (drawn.num_heldout, drawn.num_validation) == (10, 6)


def alphabets_of(draw, count: int) -> set[int]:
    return {int(who(draw(tf.constant(i)).val[0])[0, 0]) for i in range(count)}


def test_the_test_alphabets_do_not_move_with_the_number_of_training_alphabets():
    """The trap of the public protocol, whose test alphabets depend on it."""
    tests = {n: alphabets_of(source(num_alphabets=n).heldout, 10) for n in (5, 15, 30)}
    assert len(tests[5]) == 10 and tests[5] == tests[15] == tests[30]
    for count in (5, 30):
        tasks = source(num_alphabets=count)
        validation = alphabets_of(tasks.validation, 36 - count)
        keys = [fold_in(tf.constant([0, 1]), "test", n) for n in range(count * 8)]
        trained = {int(who(tasks.sample(key).val[0])[0, 0]) for key in keys}
        assert len(validation) == 36 - count and len(trained) == count
        assert not trained & validation and not (trained | validation) & tests[5]


def test_fewer_instances_are_a_part_of_more_and_validation_images_stay():
    one, all_of = source(num_instances=1), source()
    small, large = one.heldout(tf.constant(2)), all_of.heldout(tf.constant(2))
    assert len(small.train[0]) == 20
    assert {tuple(r) for r in who(small.train[0])} <= {tuple(r) for r in who(large.train[0])}
    np.testing.assert_array_equal(who(small.val[0]), who(large.val[0]))


def test_augmentation_is_fresh_in_training_and_fixed_in_validation():
    tasks = source()
    task = tasks.heldout(tf.constant(1))
    draw = random_batch(size=20, augment=tasks.augment)
    first, second = draw(task, tf.constant(0))[0], draw(task, tf.constant(1))[0]
    assert first.shape == (20, SIZE, SIZE, 1) and first.dtype == tf.float32
    assert np.abs(first.numpy() - second.numpy()).max() > 1
    validation = augment_validation(tasks).heldout(tf.constant(1)).val[0]
    again = augment_validation(source()).heldout(tf.constant(1)).val[0]
    np.testing.assert_array_equal(validation, again)
    assert np.abs(validation.numpy() - task.val[0].numpy()).max() > 1
    plain = augment_validation(source(augment_validation=False)).heldout(tf.constant(1))
    np.testing.assert_array_equal(plain.val[0], task.val[0])


def test_reptile_adapts_on_all_twenty_drawings():
    key = tf.constant([4, 5])
    task = augment_validation(train_on_all(source())).sample(key)
    assert len(task.train[0]) == 400 and task.train[0].dtype == tf.uint8


def test_the_warm_start_sees_the_training_instances_of_the_training_alphabets_only():
    tasks = source(num_alphabets=5, num_instances=2)
    assert tasks.labelled is not None and tasks.labelled.num_classes == 100
    keys = [fold_in(tf.constant([0, 1]), "test", n) for n in range(200)]
    trained = {tuple(row) for key in keys for row in who(tasks.sample(key).train[0]).tolist()}
    images, labels = tasks.labelled.draw(tf.constant([1, 1]), 2000)
    seen = who(images).tolist()
    assert {tuple(row) for row in seen} == trained
    pairs = {(*row[:2], label) for row, label in zip(seen, labels.numpy().tolist(), strict=True)}
    assert len(pairs) == 100


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"num_alphabets": 36}, "num_alphabets=36"),
        ({"num_instances": 16}, "num_instances=16"),
        ({"augment": {"fill": "red"}}, "fill is 'red'"),
        ({"augment": {"shift": 2}}, "shift=2"),
    ],
)
def test_refusals(options, what):
    with pytest.raises(UsageError, match=what):
        source(**options)
