"""What ms.fit refuses of models and tasks that look right."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import meta_shrink as ms
from tests.experiments.test_own_model import (
    CROSS,
    LABELS,
    TASKS,
    classifier,
    fit,
    labelled,
    two_inputs,
)


def nameless() -> keras.Model:
    given = [keras.Input((6,)), keras.Input((1,))]
    return keras.Model(given, keras.layers.Dense(1)(keras.layers.Concatenate()(given)))


def nested() -> keras.Model:
    audio, speaker = keras.Input((6,)), keras.Input((1,))
    both = keras.layers.Concatenate()([audio, speaker])
    return keras.Model({"of": {"a": audio, "b": speaker}}, keras.layers.Dense(1)(both))


def spoken() -> keras.Model:
    words = keras.Input((2,), dtype="string")
    numbers = keras.layers.Hashing(9)(words)
    return keras.Model(words, keras.layers.Dense(3)(keras.layers.Embedding(9, 1)(numbers)[..., 0]))


REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "softmax inside": (
        lambda: keras.Sequential([keras.Input((2,)), classifier(activation="softmax")]),
        labelled(LABELS),
        CROSS,
        "takes logits",
    ),
    "a speaker too many": (
        two_inputs,
        {**TASKS, "bad": ((np.ones([4, 6]), [0, 1, 4, 0]), np.ones(4))},
        {},
        "'bad': Layer 'table' has 4 rows",
    ),
    "inputs without names": (nameless, TASKS, {}, "give each keras.Input a name"),
    "inputs inside of inputs": (nested, TASKS, {}, "inputs inside of inputs"),
    "text": (spoken, labelled(LABELS), CROSS, "takes text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_written(case, tmp_path):
    make, tasks, options, words = REFUSED[case]
    with pytest.raises((ms.UsageError, ms.DataError), match=words):
        fit(tmp_path / "run", tasks, make(), **options)
    assert not (tmp_path / "run").exists()
