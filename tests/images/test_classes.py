"""Classes of images and their portable order."""

from __future__ import annotations

import random

import numpy as np
import pytest

from meta_shrink import DataError
from meta_shrink.images.classes import from_counts, from_lists, hash_order, require_images, subset


def some(count: int, value: int) -> np.ndarray:
    return np.full([count, 2, 2, 1], value, np.uint8)


CLASSES = from_lists([some(2, 10), some(1, 20), some(3, 30)], ["a", "b", "c"], ["x", "y", "x"])


def test_the_images_of_a_class_are_neighbours():
    assert CLASSES.first.tolist() == [0, 2, 3] and CLASSES.count.tolist() == [2, 1, 3]
    assert CLASSES.first.dtype == CLASSES.count.dtype == np.int32
    assert [set(CLASSES.rows(i).flat) for i in range(3)] == [{10}, {20}, {30}]


def test_subset_is_in_the_order_asked_for():
    chosen = subset(CLASSES, ["c", "a"])
    assert chosen.names == ("c", "a") and chosen.groups == ("x", "x")
    assert chosen.images[:, 0, 0, 0].tolist() == [30, 30, 30, 10, 10]


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: subset(CLASSES, ["a", "z"]), "class z is not one of the 3"),
        (lambda: subset(CLASSES, []), "none named"),
        (lambda: subset(CLASSES, ["a", "a"]), "class a stands twice"),
        (lambda: from_lists([some(1, 0), np.zeros([1, 3, 3, 1], np.uint8)], "ab"), "shapes"),
        (lambda: from_lists([np.zeros([1, 2, 2, 1])], "a"), "float64"),
        (lambda: from_lists([np.zeros([1, 2, 3, 1], np.uint8)], "a"), r"\[1, 2, 3, 1\]"),
        (lambda: from_lists([], []), "one for all classes"),
        (lambda: from_counts(some(3, 0), "ab", [1, 1]), "do not belong together"),
        (lambda: require_images(CLASSES, 2), "class b of data set has 1 images, task needs 2"),
        (lambda: require_images(CLASSES, 1, what="split", classes=4), "split has 3 classes"),
    ],
)
def test_what_does_not_fit_is_refused(make, part):
    with pytest.raises(DataError, match=part):
        make()


def test_enough_images_pass():
    require_images(CLASSES, 1, classes=3)


def test_hash_order_is_the_same_everywhere():
    """Known names in the order of SHA-256: it must never change, or every split changes."""
    names = ["Greek", "Latin", "Korean", "Angelic", "Sanskrit"]
    expected = ["Greek", "Korean", "Angelic", "Latin", "Sanskrit"]
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))
        assert hash_order(shuffled) == hash_order(set(shuffled)) == expected
    assert hash_order(names, salt="1") != expected
    assert sorted(hash_order(names, salt="1")) == sorted(names)


def test_more_names_do_not_reorder_the_others():
    names = [str(number) for number in range(100)]
    order = hash_order(names)
    assert hash_order(names[:60]) == [name for name in order if int(name) < 60]
