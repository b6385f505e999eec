"""What ms.fit refuses of models and tasks that look right."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

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
from tests.models.test_calls import Cached


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


class Scaled(keras.layers.Layer):
    """A tenth in training mode, without noise."""

    def call(self, x, training=None):
        """Of x."""
        return x * 0.1 if training else x


def inside(structure) -> keras.Model:
    """A model of one output, which stands in a structure."""
    audio = keras.Input((6,), name="audio")
    return keras.Model(audio, structure(keras.layers.Dense(3, name="last")(audio)))


def of_numbers(dtype: str, fill: float) -> keras.Model:
    model = inside(lambda y: keras.layers.Dense(1, dtype=dtype, name="odd")(y))
    model.get_layer("odd").bias.assign([fill])
    return model


def doubles() -> keras.Model:
    audio = keras.Input((6,), name="audio")
    return keras.Model(audio, keras.layers.Dense(1, dtype="float64", name="only")(audio))


SOUNDS = {f"task {n}": (np.ones([4, 6]), np.ones([4, 1])) for n in range(8)}
LABELLED = {f"task {n}": (np.ones([4, 6]), np.arange(4) % 3) for n in range(8)}
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
    "training mode of another kind": (
        lambda: inside(Scaled(name="odd")),
        {name: (x, np.ones([4, 3])) for name, (x, _) in SOUNDS.items()},
        {},
        "something else in training mode than in inference, first in layer 'odd'",
    ),
    "a tensor that is kept": (
        lambda: inside(lambda y: keras.layers.Dense(1)(Cached(name="odd")(y[:, :2]))),
        SOUNDS,
        {},
        "first in layer 'odd': it keeps a tensor of an earlier call",
    ),
    "an output in a dict": (lambda: inside(lambda y: {"y": y}), SOUNDS, {}, "inside of a dict"),
    "logits in a dict": (lambda: inside(lambda y: {"y": y}), LABELLED, CROSS, "inside of a dict"),
    "double numbers": (lambda: of_numbers("float64", 0.0), SOUNDS, {}, "odd/kernel is float64"),
    "a network of doubles": (doubles, SOUNDS, {}, "only/kernel is float64, and all .* float32"),
    "no numbers": (lambda: of_numbers("float32", np.nan), SOUNDS, {}, "odd/bias has 1 of 1"),
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


def test_a_program_that_compiles_nothing_is_told(tmp_path):
    tf.config.run_functions_eagerly(True)
    try:
        with pytest.raises(ms.UsageError, match=r"run_functions_eagerly\(True\) is on"):
            fit(tmp_path / "run", TASKS, two_inputs())
    finally:
        tf.config.run_functions_eagerly(False)
    assert not (tmp_path / "run").exists()


class Trained(keras.Sequential):
    """With a step and a loss of its own."""

    def train_step(self, data):
        """Another one."""
        return super().train_step(data)

    def compute_loss(self, *args, **options):
        """Another one."""
        return super().compute_loss(*args, **options)


@pytest.mark.parametrize(
    ("kind", "compiled", "told"),
    [
        (keras.Sequential, False, ""),
        (keras.Sequential, True, "compiled loss"),
        (Trained, False, "train_step, compute_loss"),
        (Trained, True, "train_step, compute_loss, compiled loss"),
    ],
)
def test_what_keras_would_train_by_is_told_not_to_be_used(kind, compiled, told, tmp_path):
    model, lines = kind([keras.Input((6,), name="audio"), keras.layers.Dense(1, name="last")]), []
    if compiled:
        model.compile(loss="mae")
    fit(tmp_path / "run", SOUNDS, model, steps=1, log=lines.append)
    line = f"Not used: the model's own {told}; it learns by loss='squared_error' alone."
    assert [x for x in lines if "Not used" in x] == ([line] if told else [])
