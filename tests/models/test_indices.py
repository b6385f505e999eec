"""Rows of tables that examples ask for and that are not there, refused before training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from meta_shrink import DataError
from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.models.indices import check_indices
from meta_shrink.tasks.arrays import Shares, array_source
from meta_shrink.tasks.user_tasks import task_examples

SPECS = [ArraySpec("words", (3,), "int32"), ArraySpec("targets", (1,), "float32")]


def network(*before) -> keras.Model:
    x = words = keras.Input((3,), dtype="int32", name="words")
    for layer in before:
        x = layer(x)
    inner = keras.Sequential([keras.Input((3,)), layers.Embedding(5, 2, name="table")])
    return keras.Model(words, layers.Dense(1)(layers.Flatten()(inner(x))))


def examples(word: int, place: int):
    """Tasks of which the one at this place holds this word, once."""
    tasks = {}
    for number in range(5):
        words = np.tile([0, 4, 2], [4, 1])
        if number == place:
            words[3, 1] = word
        tasks[f"t{number}"] = (words, np.ones(4))
    found = array_source(task_examples(tasks, ["words"]), SPECS, Shares(), seed=0)
    assert found.every is not None
    return found.every()


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("word", [5, -6, 1000])
def test_each_task_is_looked_at(word, place):
    row = word if word > 0 else word + 5  # Keras counts from the end below 0.
    with pytest.raises(DataError, match=rf"'t{place}': Layer 'table' has 5 rows.* row {row};"):
        check_indices(network(), examples(word, place))


def test_what_is_there_is_taken():
    check_indices(network(), examples(-1, 0))
    check_indices(network(layers.Hashing(5)), examples(1000, 0))
    check_indices(keras.Sequential([keras.Input((3,)), layers.Dense(1)]), examples(9, 0))


def test_what_layers_make_of_the_examples_counts():
    with pytest.raises(DataError, match="'table' has 5 rows"):
        check_indices(network(layers.Hashing(500)), examples(1000, 0))
