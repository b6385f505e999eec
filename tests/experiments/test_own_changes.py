"""A model that was changed after it was fitted is not used as if it were not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import meta_shrink as ms
from tests.tiny_runs import NO_LOG

RNG = np.random.default_rng(0)
TASKS = {f"t{n}": (RNG.normal(size=[8, 3]), RNG.normal(size=[8, 1])) for n in range(8)}


def other_weights(frozen: Any) -> None:
    frozen.set_weights([value * 0 + 3 for value in frozen.get_weights()])


def thawed(frozen: Any) -> None:
    frozen.trainable = True


def another_activation(frozen: Any) -> None:
    frozen.activation = keras.activations.relu


def untouched(frozen: Any) -> None:
    """Its learned neighbours may start anywhere."""


@pytest.mark.parametrize("change", [other_weights, thawed, another_activation, untouched])
def test_what_was_changed_since_is_told(tmp_path, change):
    frozen: Any = keras.layers.Dense(4, "tanh", name="frozen")
    last: Any = keras.layers.Dense(1, name="last")
    model = keras.Sequential([keras.Input((3,)), frozen, last])
    frozen.trainable = False
    how: dict[str, Any] = {"loss": "squared_error", "steps": 2, "changes": {"adapt.steps": 2}}
    fitted = ms.fit(model, TASKS, tmp_path / "run", **how, **NO_LOG)
    change(frozen)
    last.set_weights([value + 1 for value in last.get_weights()])
    if change is untouched:
        assert fitted.evaluate(**NO_LOG)["meta_step"] == 2
        fitted.export(tmp_path / "out", **NO_LOG)
        return
    for use in (lambda: fitted.evaluate(**NO_LOG), lambda: fitted.export(tmp_path / "out")):
        with pytest.raises(ms.UsageError, match="computes otherwise"):
            use()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["targets", "heldout_x", "heldout_targets"])
def test_an_input_called_as_an_array_of_tasks_is_refused(tmp_path, name):
    other, own = keras.Input((1,), name="other"), keras.Input((2,), name=name)
    hidden = keras.layers.Concatenate(name="both")([other, own])
    model = keras.Model([other, own], keras.layers.Dense(1, name="last")(hidden))
    tasks = {key: ({"other": x[:, :1], name: x[:, 1:]}, y) for key, (x, y) in TASKS.items()}
    with pytest.raises(ms.UsageError, match=f"is called '{name}', as arrays of tasks are; rename"):
        ms.fit(model, tasks, tmp_path / "run", loss="squared_error", steps=1)
    assert not (tmp_path / "run").exists()
