"""Traps of public pipelines: what is tested on must not depend on what is trained on."""

from __future__ import annotations

import random

import numpy as np
import pytest

from meta_shrink import UsageError
from meta_shrink.images.classes import ImageClasses, from_counts, subset
from meta_shrink.images.omniglot import alphabet_split, character_split, load_omniglot

LARGE, SMALL = 46, 4


def like_omniglot() -> ImageClasses:
    """50 alphabets, 4 of them with fewer than 20 characters; 1 pixel per image."""
    sizes = [20 + number % 20 for number in range(LARGE)] + [14, 14, 16, 17]
    groups = [f"alphabet{number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = [f"{group}/{number}" for number, group in enumerate(groups)]
    images = np.zeros([len(names), 1, 1, 1], np.uint8)
    return from_counts(images, names, [1] * len(names), groups)


CLASSES = like_omniglot()


def shuffled(classes: ImageClasses, seed: int) -> ImageClasses:
    return subset(classes, random.Random(seed).sample(classes.names, len(classes.names)))


def no_name_twice(split: dict[str, list[str]]) -> bool:
    names = [name for part in split.values() for name in part]
    return len(names) == len(set(names))


@pytest.mark.parametrize("salt", ["0", "1", "another"])
def test_test_alphabets_do_not_move_with_the_training_alphabets(salt):
    """Leap's do: its test alphabets are the ten after the T training ones."""
    splits = [alphabet_split(CLASSES, num_train=number, salt=salt) for number in range(1, 37)]
    for number, split in enumerate(splits, 1):
        assert split["test"] == splits[0]["test"]
        assert split["train"] == splits[-1]["train"][:number]
        assert [len(split[name]) for name in ("train", "val", "test")] == [number, 36 - number, 10]
        assert no_name_twice(split)


def test_alphabets_with_fewer_than_20_characters_are_in_no_split():
    split = alphabet_split(CLASSES, num_train=20)
    names = {name for part in split.values() for name in part}
    assert names == {f"alphabet{number}" for number in range(LARGE)}


def test_splits_do_not_depend_on_the_order_of_the_classes():
    """Leap, MAML and others shuffle the order of os.listdir, which each machine has its own of."""
    for seed in range(3):
        other = shuffled(CLASSES, seed)
        assert alphabet_split(other, num_train=20) == alphabet_split(CLASSES, num_train=20)
        assert character_split(other) == character_split(CLASSES)


@pytest.mark.parametrize("salt", ["0", "123", "12345"])
def test_no_test_character_is_a_training_character(salt):
    """imaml_dev: 73 % are, as training and test shuffle all characters with a seed of their own."""
    for number in range(20):
        split = character_split(CLASSES, salt=f"{salt}{number}")
        assert no_name_twice(split)
        assert len(split["test"]) == 423 and len(split["val"]) == 100
        assert sum(map(len, split.values())) == len(CLASSES.names)


def test_test_characters_do_not_move_with_the_validation_characters():
    splits = [character_split(CLASSES, num_val=number) for number in (0, 50, 100)]
    assert all(split["test"] == splits[0]["test"] for split in splits)


def test_another_salt_is_another_split():
    assert character_split(CLASSES, salt="1") != character_split(CLASSES)
    assert alphabet_split(CLASSES, num_train=9, salt="1") != alphabet_split(CLASSES, num_train=9)


@pytest.mark.parametrize("number", [0, 37])
def test_too_few_or_too_many_alphabets_are_refused(number):
    with pytest.raises(UsageError, match="expected 1 to 36"):
        alphabet_split(CLASSES, num_train=number)


@pytest.mark.parametrize("options", [{"num_test": 5000}, {"num_val": -1}])
def test_character_split_leaves_something_to_train_on(options):
    with pytest.raises(UsageError, match="cannot be split"):
        character_split(CLASSES, **options)


def test_the_splits_of_the_real_omniglot(omniglot_dir):
    classes = load_omniglot(omniglot_dir)
    alphabets = alphabet_split(classes, num_train=30)
    assert {name: len(part) for name, part in alphabets.items()} == {
        "train": 30,
        "val": 6,
        "test": 10,
    }
    dropped = set(classes.groups) - {name for part in alphabets.values() for name in part}
    assert {name.split("_")[0] for name in dropped} == {
        "Blackfoot",
        "Inuktitut",
        "Ojibwe",
        "Tagalog",
    }
    characters = character_split(classes)
    assert {name: len(part) for name, part in characters.items()} == {
        "train": 1100,
        "val": 100,
        "test": 423,
    }
    assert no_name_twice(characters)
