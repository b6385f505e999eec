"""N-way K-shot episodes: what is drawn, from which split, and what the data cannot give."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, UsageError
from meta_shrink.images.classes import ImageClasses
from meta_shrink.rng import fold_in
from meta_shrink.tasks.few_shot import episodes

SIZE = 4


def pool(first_class: int, counts: list[int]) -> ImageClasses:
    """Classes whose images say who they are: pixel (0, 0) the class, pixel (0, 1) the image."""
    images = np.zeros([sum(counts), SIZE, SIZE, 1], np.uint8)
    starts = np.cumsum([0, *counts[:-1]])
    for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
        images[start : start + count, 0, 0, 0] = first_class + number
        images[start : start + count, 0, 1, 0] = np.arange(count)
    return ImageClasses(
        images,
        tuple(f"class {first_class + number}" for number in range(len(counts))),
        starts.astype(np.int32),
        np.array(counts, np.int32),
        ("",) * len(counts),
    )


POOLS = {"train": pool(0, [5, 9, 5, 7]), "val": pool(50, [8] * 3), "test": pool(100, [6] * 5)}


def source(**options):
    given = {"seed": 1, "ways": 3, "shots": 2, "queries": 3, **options}
    return episodes(POOLS, **given)


def identities(batch) -> list[tuple[int, int]]:
    images = batch[0].numpy()
    return list(zip(images[:, 0, 0, 0].tolist(), images[:, 0, 1, 0].tolist(), strict=True))


def some_keys(count: int):
    return [fold_in(tf.constant([5, 6]), "test", number) for number in range(count)]


def test_an_episode_has_different_classes_and_no_image_twice():
    draw = source().sample
    for key in some_keys(30):
        task = draw(key)
        assert task.train[0].shape == (6, SIZE, SIZE, 1) and task.val[0].shape[0] == 9
        assert task.train[0].dtype == tf.uint8
        seen = identities(task.train) + identities(task.val)
        assert len(set(seen)) == 15
        for (images, labels), each in ((task.train, 2), (task.val, 3)):
            classes = images.numpy()[:, 0, 0, 0].reshape(3, each)
            assert (classes == classes[:, :1]).all() and len(set(classes[:, 0])) == 3
            np.testing.assert_array_equal(labels, np.repeat(np.arange(3), each))
        np.testing.assert_array_equal(task.train[0][::2, 0, 0, 0], task.val[0][::3, 0, 0, 0])


def test_every_class_and_image_is_drawn_in_the_end_and_none_beyond_a_class():
    seen = {i for key in some_keys(200) for i in identities(source().sample(key).train)}
    assert seen == {(c, i) for c, count in enumerate([5, 9, 5, 7]) for i in range(count)}


def test_each_split_has_its_own_classes():
    tasks = source(heldout_queries=4)
    for index in range(20):
        index = tf.constant(index)
        key = fold_in(some_keys(1)[0], "test", index)
        assert {c // 50 for c, _ in identities(tasks.sample(key).val)} == {0}
        assert tasks.validation is not None
        assert {c // 50 for c, _ in identities(tasks.validation(index).val)} == {1}
        assert {c // 50 for c, _ in identities(tasks.heldout(index).val)} == {2}
    assert tasks.heldout(tf.constant(0)).val[0].shape[0] == 12


def test_held_out_episodes_depend_on_seed_and_index_alone():
    first, again = (identities(source().heldout(tf.constant(3)).train) for _ in range(2))
    assert first == again
    assert first != identities(source(seed=2).heldout(tf.constant(3)).train)
    assert first != identities(source().heldout(tf.constant(4)).train)


def test_rotations_turn_whole_classes_by_quarters():
    pixels = np.arange(SIZE * SIZE, dtype=np.uint8).reshape(SIZE, SIZE, 1)
    same = ImageClasses(
        np.repeat(pixels[np.newaxis], 20, axis=0),
        ("a", "b"),
        np.array([0, 10], np.int32),
        np.array([10, 10], np.int32),
        ("", ""),
    )
    turned = {np.rot90(pixels, k).tobytes(): k for k in range(4)}
    pools = {"train": same, "val": same, "test": same}
    draw = episodes(pools, seed=0, ways=2, shots=2, queries=1, rotations=True).sample
    quarters = []
    for key in some_keys(40):
        task = draw(key)
        each = [turned[image.tobytes()] for image in task.train[0].numpy()]
        assert each[0] == each[1] and each[2] == each[3]
        assert [turned[image.tobytes()] for image in task.val[0].numpy()] == each[::2]
        quarters.append(tuple(each[::2]))
    assert {q for pair in quarters for q in pair} == {0, 1, 2, 3}
    assert any(a != b for a, b in quarters)


def test_the_same_episode_in_a_graph_and_under_xla():
    draw, key = source(rotations=True).sample, some_keys(1)[0]
    for jit in (False, True):
        compiled = tf.function(draw, jit_compile=jit)(key)
        for ours, expected in zip(
            tf.nest.flatten(compiled), tf.nest.flatten(draw(key)), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("options", [{"ways": 1}, {"shots": 0}, {"queries": 0}])
def test_counts_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="task got ways"):
        source(**options)


@pytest.mark.parametrize("options", [{"ways": 4}, {"shots": 4}, {"heldout_queries": 5}])
def test_what_the_data_cannot_give_is_refused(options):
    with pytest.raises(DataError, match=r"(class|split)"):
        source(**options)


@pytest.mark.parametrize("rotations", [False, True])
def test_a_warm_start_classifies_the_training_classes_alone(rotations):
    labelled = source(rotations=rotations).labelled
    turns = 4 if rotations else 1
    assert labelled is not None and labelled.num_classes == 4 * turns
    images, labels = labelled.draw(some_keys(1)[0], 300)
    # The pixel that names the class is at one of the corners once the image is turned.
    corners = images.numpy()[:, [0, 0, -1, -1], [0, -1, 0, -1], 0].max(axis=1)
    np.testing.assert_array_equal(corners, labels.numpy() // turns)
    assert set(labels.numpy().tolist()) == set(range(4 * turns))
    if rotations:
        turned = [np.rot90(image, -k) for image, k in zip(images.numpy(), labels % 4, strict=True)]
        np.testing.assert_array_equal(np.stack(turned)[:, 0, 0, 0], corners)
