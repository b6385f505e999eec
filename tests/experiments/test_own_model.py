"""A stranger's model and arrays, by the public names alone, to a served adapter."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import meta_shrink as ms
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.training import loop

RNG = np.random.default_rng(0)
QUICK = {"train.meta_batch_size": 2, "adapt.steps": 3, "eval.horizon": 2, "train.log_every": 2}
SILENT: dict[str, Any] = {"log": lambda message: None}


def two_inputs(outputs: int = 1, **last: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    audio = keras.Input((6,), name="audio")
    speaker = keras.Input((), name="speaker", dtype="int32")
    x = keras.layers.Dense(5, "tanh", name="first")(audio)
    x = keras.layers.Concatenate()([x, keras.layers.Embedding(4, 2, name="table")(speaker)])
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model([audio, speaker], keras.layers.Dense(outputs, name="head", **last)(x))


def data_of(count: int):
    """((audio, speaker), one number each): mixed types, as users have them."""
    inputs = (RNG.normal(size=[count, 6]), RNG.integers(0, 4, count))
    return inputs, RNG.normal(size=count)


TASKS = {f"task {n}": data_of(n + 4) for n in range(8)}


def fit(workdir, tasks=None, model=None, **options) -> ms.Fitted:
    given: dict[str, Any] = {"loss": "squared_error", "steps": 4, "changes": QUICK, **SILENT}
    return ms.fit(model or two_inputs(), tasks or TASKS, str(workdir), **(given | options))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def fitted(place):
    return fit(place / "run")


@pytest.fixture(scope="module")
def backbone(fitted, place):
    return fitted.export(str(place / "backbone"), modules=["head", "norm"], **SILENT)


def test_the_table_of_modules(fitted):
    lines = str(fitted).splitlines()
    assert [line.split()[0] for line in lines] == ["module", "first", "table", "norm", "head"]
    assert [row["size"] for row in fitted.modules] == [35, 8, 14, 8]
    assert {part: len(names) for part, names in fitted.tasks.items()} == {
        "test": 2,
        "validation": 1,
        "train": 5,
    }


def test_the_same_call_returns_what_is_done(fitted, place):
    again = fit(place / "run")
    for value, other in zip(fitted.meta.phi, again.meta.phi, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.usefixtures("fitted")
def test_a_program_that_reads_the_folder_is_told_what_to_do(place):
    with pytest.raises(ms.UsageError, match=r"made by meta_shrink\.fit .*Call fit there again"):
        ms.restore(str(place / "run"))


def test_a_run_that_is_stopped_goes_on(tmp_path, monkeypatch):
    """Two calls, the first of which ends early, give the numbers of one."""
    often = {"train.checkpoint_every": 2}
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, name="head")])
    tasks = {name: (inputs[0], targets) for name, (inputs, targets) in TASKS.items()}
    whole = fit(tmp_path / "whole", tasks, model, changes=QUICK | often)
    rows, once = [], loop.window_row

    def interrupted_later(*given):
        rows.append(once(*given))
        if len(rows) == 2:
            raise KeyboardInterrupt
        return rows[-1]

    monkeypatch.setattr(loop, "window_row", interrupted_later)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "halves", tasks, model, changes=QUICK | often)
    monkeypatch.undo()
    halves = fit(tmp_path / "halves", tasks, model, changes=QUICK | often)
    for value, other in zip(whole.meta.phi, halves.meta.phi, strict=True):
        np.testing.assert_array_equal(value, other)


def test_evaluation_counts_each_test_task_once(fitted):
    evaluation = fitted.evaluate(kinds=["all"], **SILENT)
    assert evaluation["num_tasks"] == 2
    with pytest.raises(ms.UsageError, match="there are 2 test tasks"):
        fitted.evaluate(num_tasks=3, **SILENT)


def test_what_is_served_is_the_adapted_network(fitted, backbone, place):
    """By the adapter's file, and by the engine in memory: the same outputs for a test task."""
    index, out = 1, str(place / "adapters")
    task, theta = fitted.experiment.held_out(["head", "norm"]).adapted(
        fitted.meta, index=index, steps=3
    )
    inputs, targets, weights = task.train
    real = np.asarray(weights) > 0
    train = {name: np.asarray(value)[real] for name, value in inputs.items()}
    ms.adapt_tasks(backbone, {"new": (train, np.asarray(targets)[real])}, out, **SILENT)
    with ms.AdapterBank(backbone, out).pinned("new") as adapter:
        for path, value in zip(fitted.experiment.registry.paths, theta, strict=True):
            if path in adapter.tensors:
                np.testing.assert_allclose(adapter.tensors[path], value, atol=1e-5, err_msg=path)
        named = backbone.predict(train, adapter)["outputs"]
        in_order = backbone.predict((train["audio"], train["speaker"]), adapter)["outputs"]
    np.testing.assert_array_equal(named, in_order)
    state = [
        adapter.tensors.get(v.path.removeprefix(f"{fitted.experiment.model.name}/"), v.numpy())
        for v in fitted.experiment.model.non_trainable_variables
    ]
    memory = fitted.experiment.model.stateless_call(theta, state, train, training=False)[0]
    np.testing.assert_allclose(named, memory, atol=1e-5)


def test_the_metric_of_a_model_that_does_nothing(tmp_path):
    """Zero weights give zero outputs: the squared error without adaptation is the mean of y^2."""
    model = two_inputs(kernel_initializer="zeros")
    tasks = {f"t{n}": (x, np.full(len(y), n)) for n, (x, y) in enumerate(TASKS.values())}
    changes = QUICK | {f"meta_optimizer.{c}.learning_rate": 1e-30 for c in ("phi", "log_sigma2")}
    found = fit(tmp_path, tasks, model, changes=changes)
    rows = found.evaluate(kinds=["all"], **SILENT)["schemes"]
    none = next(row for row in rows if row["kind"] == "none")
    squares = np.array([[float(name[1:]) ** 2] for name in found.tasks["test"]])
    np.testing.assert_allclose(none["mean"][0], mean_and_ci95(squares)[0][0], rtol=1e-6)


def classifier(**last: Any) -> keras.Model:
    x = keras.Input((2,))
    return keras.Model(x, keras.layers.Dense(3, name="head", **last)(x))


def labelled(labels) -> dict[str, Any]:
    return {f"t{n}": (np.ones([6, 2]), np.array(labels)) for n in range(4)}


def two_outputs() -> keras.Model:
    x = keras.Input((2,))
    return keras.Model(x, [keras.layers.Dense(1, name=name)(x) for name in ("one", "two")])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(3)

    def call(self, inputs):
        return self.head(inputs)


def called(model: keras.Model) -> keras.Model:
    model(np.zeros([1, 2], np.float32))
    return model


LABELS = [0, 1, 2, 0, 1, 2]
CROSS: dict[str, Any] = {"loss": "cross_entropy"}
REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "not built": (lambda: keras.Sequential([keras.layers.Dense(1)]), None, {}, "not built"),
    "subclassed": (lambda: called(Subclassed()), labelled(LABELS), CROSS, "wrap it"),
    "two outputs": (two_outputs, labelled(LABELS), {}, "2 outputs; the loss takes one"),
    "softmax": (lambda: classifier(activation="softmax"), labelled(LABELS), CROSS, "takes logits"),
    "float labels": (classifier, labelled(np.arange(6) / 2), CROSS, "labels to whole numbers"),
    "labels too large": (classifier, labelled(np.arange(6)), CROSS, "3 classes, 0 to 2"),
    "one output": (two_inputs, TASKS, CROSS, "at least 2 classes"),
    "unknown loss": (classifier, labelled(LABELS), {"loss": "mse"}, "loss is 'mse'"),
    "unknown algorithm": (
        two_inputs,
        TASKS,
        {"algorithm": "prototype"},
        "algorithm is 'prototype'",
    ),
    "unknown section": (two_inputs, TASKS, {"changes": {"adpt.steps": 3}}, "'adpt.steps'"),
    "unknown key": (two_inputs, TASKS, {"changes": {"train.stepz": 3}}, "stepz"),
    "one task": (two_inputs, {"only": data_of(9)}, {}, "There are 1 tasks"),
    "one example": (two_inputs, {**TASKS, "small": data_of(1)}, {}, "'small' has one example"),
    "lengths": (two_inputs, {**TASKS, "bad": (data_of(4)[0], np.ones(3))}, {}, "'bad' has"),
    "targets of two": (two_inputs, {"t": (data_of(4)[0], np.ones([4, 2]))}, {}, r"\[N, 1\]"),
    "inputs swapped": (
        two_inputs,
        {**TASKS, "bad": (data_of(4)[0][::-1], np.ones(4))},
        {},
        "'bad': audio has shape",
    ),
    "inputs of another name": (
        two_inputs,
        {**TASKS, "bad": ({"sound": np.ones([4, 6])}, np.ones(4))},
        {},
        "expected audio, speaker, targets",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_written(case, tmp_path):
    make, tasks, options, words = REFUSED[case]
    with pytest.raises((ms.UsageError, ms.DataError), match=words):
        fit(tmp_path / "run", tasks or TASKS, make(), **options)
    assert not (tmp_path / "run").exists()


def test_a_workdir_of_another_model_or_other_data(fitted, place):
    with pytest.raises(ms.UsageError, match="another model"):
        fit(place / "run", model=two_inputs(outputs=1, use_bias=False))
    with pytest.raises(ms.UsageError, match="computes otherwise"):
        fit(place / "run", model=two_inputs(activation="relu"))
    with pytest.raises(ms.UsageError, match="other data"):
        fit(place / "run", {**TASKS, "more": data_of(5)})
    with pytest.raises(ms.UsageError, match="another config"):
        fit(place / "run", seed=3)


def test_tasks_that_do_not_fit_a_backbone(backbone, tmp_path):
    for tasks, words in (
        ({"new": (np.ones([3, 6]), np.ones(3))}, "takes 2 inputs"),
        ({"odd name!": data_of(3)}, "needs another name"),
        ({"new": (data_of(3)[0], np.full(3, np.nan))}, "not finite in example 0"),
    ):
        with pytest.raises(ms.DataError, match=words):
            ms.adapt_tasks(backbone, tasks, str(tmp_path / "out"), **SILENT)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ms.UsageError, match="expected audio, speaker"):
        backbone.predict({"audio": np.ones([1, 6])})
