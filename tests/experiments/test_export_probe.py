"""Exports of networks that do not take every number or length, and of runs with far tasks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from meta_shrink import AdaptOptions, UsageError, adapt_tasks, fit
from meta_shrink.experiments.own_model import Fitted
from tests.tiny_runs import NO_LOG

RNG = np.random.default_rng(0)
SHORT = {"adapt.steps": 3, "train.meta_batch_size": 2}
L: Any = keras.layers


def fitted(folder: Any, model: keras.Model, tasks: dict[str, Any]) -> Fitted:
    how: dict[str, Any] = {"loss": "squared_error", "steps": 2, "changes": SHORT}
    return fit(model, tasks, str(folder), **how, **NO_LOG)


def tasks_of(shape: tuple[int, ...], low: float = 0.5, high: float = 1.5) -> dict[str, Any]:
    return {
        f"t{n}": (RNG.uniform(low, high, (8, *shape)), RNG.normal(size=(8, 1))) for n in range(6)
    }


def network(shape: tuple[int | None, ...], *layers: Any) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers, L.Dense(1, name="last")])


CASES = {
    "a logarithm": (network((8,), L.Lambda(keras.ops.log, name="log")), (8,)),
    "a root": (network((8,), L.Lambda(lambda x: keras.ops.sqrt(x - 0.4), name="root")), (8,)),
    "a filter of 20": (network((None, 1), L.Conv1D(2, 20), L.GlobalAveragePooling1D()), (40, 1)),
    "five poolings": (
        network((None, None, 1), *[L.MaxPooling2D() for _ in range(5)], L.GlobalMaxPooling2D()),
        (40, 40, 1),
    ),
    "both": (
        network((None, 1), L.Lambda(keras.ops.log), L.Conv1D(2, 20), L.GlobalMaxPooling1D()),
        (40, 1),
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        "a logarithm",
        "five poolings",
        *(pytest.param(name, marks=pytest.mark.programs) for name in ("a root", "a filter of 20")),
        pytest.param("both", marks=pytest.mark.programs),
    ],
)
def test_the_fixed_input_is_one_that_the_network_takes(tmp_path, name):
    model, shape = CASES[name]
    run = fitted(tmp_path / "run", model, tasks_of(shape))
    backbone = run.export(str(tmp_path / "backbone"), **NO_LOG)
    adapt_tasks(backbone, tasks_of(shape), tmp_path / "adapters", AdaptOptions(steps=2), **NO_LOG)


def test_a_network_that_takes_none_is_refused_in_a_sentence(tmp_path):
    far = L.Lambda(lambda x: keras.ops.log(x[:, :1] - 50 * abs(x[:, 1:]) - 1), name="log")
    model = network((2,), far)
    tasks = {
        name: (np.stack([x[:, 0] + 80, x[:, 0]], axis=1), y)
        for name, (x, y) in tasks_of((2,)).items()
    }
    run = fitted(tmp_path / "run", model, tasks)
    with pytest.raises(UsageError, match="cannot be exported: its outputs are not finite"):
        run.export(str(tmp_path / "backbone"), **NO_LOG)


def test_usual_networks_keep_the_usual_fixed_input(tmp_path):
    run = fitted(tmp_path / "run", network((None, 2), L.GlobalMaxPooling1D()), tasks_of((5, 2)))
    probe = run.export(str(tmp_path / "backbone"), **NO_LOG).info.probe
    assert (probe.low, probe.high, probe.length, probe.integers) == (-1.0, 1.0, 16, 0)


@pytest.mark.parametrize("far", [1e2, 1e4])  # An infinite metric, and infinite parameters.
def test_held_out_tasks_that_diverge_are_left_out_of_the_metrics(tmp_path, far):
    def task(scale: float) -> tuple[np.ndarray, np.ndarray]:
        x = RNG.normal(size=(10, 1)) * scale
        return x, 3 * x

    tasks = {f"s{n}": task(1.0 if n % 2 else far) for n in range(40)}
    run = fit(
        network((1,)),
        tasks,
        str(tmp_path / "run"),
        loss="squared_error",
        steps=3,
        changes={"adapt.steps": 12},
        **NO_LOG,
    )
    said: list[str] = []
    metrics = run.export(str(tmp_path / "backbone"), log=said.append).info.metrics
    (told,) = (line for line in said if "held-out tasks diverged" in line)
    assert np.isfinite(metrics["mean"]).all()
    assert metrics["num_tasks"] + int(told.split()[0]) == int(told.split()[2])


@pytest.mark.parametrize("padding", [pytest.param(0.0, marks=pytest.mark.programs), 1e3])
def test_held_out_metrics_do_not_count_masked_steps(tmp_path, padding):
    ids = keras.Input((6,), dtype="int32", name="ids")
    hidden = L.Embedding(10, 4, mask_zero=True, name="embedding")(ids)
    model = keras.Model(ids, L.Dense(1, name="out")(hidden))
    tasks = {}
    for number in range(8):
        numbers = RNG.integers(1, 10, (12, 6))
        targets = numbers[..., np.newaxis] / 10 + RNG.normal()
        numbers[:, 3:], targets[:, 3:] = 0, padding
        tasks[f"t{number}"] = (numbers, targets)
    run = fitted(tmp_path / "run", model, tasks)
    found = run.evaluate(kinds=["all"], **NO_LOG)["schemes"][0]
    metrics = run.export(str(tmp_path / "backbone"), **NO_LOG).info.metrics
    shared = [step for step in metrics["steps"] if step in list(found["steps"])]
    assert len(shared) > 1
    for step in shared:
        ours = metrics["mean"][metrics["steps"].index(step)]
        theirs = found["mean"][list(found["steps"]).index(step)]
        assert ours == pytest.approx(theirs, rel=1e-4)
