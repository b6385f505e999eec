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


def centred() -> keras.Model:
    audio = keras.Input((6,), name="audio")
    odd = keras.layers.Lambda(lambda x: x - keras.ops.mean(x, axis=0), name="odd")
    return keras.Model(audio, keras.layers.Dense(1)(odd(keras.layers.Dense(5)(audio))))


# Examples of one task are alike: only those of several tell that they see each other.
ALIKE = {f"task {n}": (np.full([2, 6], n), np.ones(2)) for n in range(8)}
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
    "examples that see each other": (centred, ALIKE, {}, "other examples .* in layer 'odd'"),
    "text": (spoken, labelled(LABELS), CROSS, "takes text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_written(case, tmp_path):
    make, tasks, options, words = REFUSED[case]
    with pytest.raises((ms.UsageError, ms.DataError), match=words):
        fit(tmp_path / "run", tasks, make(), **options)
    assert not (tmp_path / "run").exists()


OF_ARGUMENTS = {
    "model.hidden": [3],
    "model": {"name": "mlp"},
    "task.num_train": 3,
    "task.test": 0.5,
    "loss.name": "cross_entropy",
    "seed": 5,
    "search.num_trials": 3,
    "name": "mine",
    "imports": ["os"],
    "data": "0" * 64,
}


@pytest.mark.parametrize("key", OF_ARGUMENTS)
def test_changes_of_what_the_arguments_say_are_refused(key, tmp_path):
    with pytest.raises(ms.UsageError, match=f"changes has '{key}', which would change nothing"):
        fit(tmp_path / "run", TASKS, two_inputs(), changes={key: OF_ARGUMENTS[key]})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": "3"}, "fit.steps is '3'; expected a whole number"),
        ({"steps": 2.5}, "fit.steps is 2.5; expected a whole number"),
        ({"seed": None}, "fit.seed is None; expected a whole number"),
        ({"shares": 0.3}, "Shares are 0.3; expected Shares"),
        ({"shares": ms.Shares(test="a")}, "Shares are test=a"),  # type: ignore[arg-type]
        ({"changes": ["adapt.steps"]}, "changes is .*; expected settings by their dotted names"),
        ({"changes": {3: 4}}, "changes is .*; expected settings by their dotted names"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, words, tmp_path):
    with pytest.raises(ms.UsageError, match=words):
        fit(tmp_path / "run", TASKS, two_inputs(), **options)
    with pytest.raises(ms.UsageError, match=r"The model is of str; expected a keras\.Model"):
        fit(tmp_path / "run", TASKS, "mlp")
    assert not (tmp_path / "run").exists()
