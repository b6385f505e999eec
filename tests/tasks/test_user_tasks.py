"""Tasks in the forms that users have them: the same arrays come out of each, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DataError, MetaShrinkError, UsageError, tasks_from_table
from meta_shrink.tasks.user_tasks import named_inputs, task_examples

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6)
TWO = {"a": X, "b": Y}
FORMS = {
    "tuple": (["x"], (X, Y), {"x": X}),
    "list of lists": (["x"], (X.tolist(), Y.tolist()), {"x": X}),
    "tensors": (["x"], (tf.constant(X), tf.constant(Y)), {"x": X}),
    "dict of inputs": (["a", "b"], (TWO, Y), TWO),
    "tuple of inputs": (["a", "b"], ((X, Y), Y), TWO),
    "as a file": (["a", "b"], {**TWO, "targets": Y}, TWO),
    "data set": (["x"], tf.data.Dataset.from_tensor_slices((X, Y)), {"x": X}),
    "data set of dicts": (["a", "b"], tf.data.Dataset.from_tensor_slices((TWO, Y)), TWO),
    "data set as a file": (
        ["a", "b"],
        tf.data.Dataset.from_tensor_slices({**TWO, "targets": Y}),
        TWO,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_task(form):
    names, data, expected = FORMS[form]
    found = task_examples({"t": data}, names)["t"]
    assert found.heldout == {} and set(found.train) == {*expected, "targets"}
    for name, value in {**expected, "targets": Y}.items():
        np.testing.assert_array_equal(found.train[name], value)


def test_what_is_held_out_by_the_user():
    given = {"inputs": X, "targets": Y, "heldout_inputs": X[:1], "heldout_targets": Y[:1]}
    found = task_examples({7: given}, ["x"])
    np.testing.assert_array_equal(found["7"].heldout["targets"], Y[:1])


BAD = {
    "no mapping": ([(X, Y)], "list; expected a mapping"),
    "no task": ({}, "empty; expected a mapping"),
    "one name twice": ({1: (X, Y), "1": (X, Y)}, "called '1'"),
    "an array alone": ({"t": X}, "'t' is ndarray; expected"),
    "three parts": ({"t": (X, Y, Y)}, "'t' is tuple; expected"),
    "uneven rows": ({"t": ([[1, 2], [1]], Y)}, "'t' has examples of different shapes"),
    "targets twice": ({"t": ({"x": X, "targets": Y}, Y)}, "'t' has an input called 'targets'"),
    "masked": ({"t": (np.ma.masked_equal(X, 1.0), Y)}, "'t' has masked numbers"),
    "without end": ({"t": tf.data.Dataset.from_tensors((X[0], 1)).repeat()}, "without end"),
    "empty data set": ({"t": tf.data.Dataset.from_tensors((X, 1)).take(0)}, "empty data set"),
    "uneven batches": (
        {"t": tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)},
        r"\.unbatch\(\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tasks_are_named(case):
    tasks, words = BAD[case]
    with pytest.raises(DataError, match=words):
        task_examples(tasks, ["x"])


@pytest.mark.parametrize("given", [X, (X,), (X, Y, Y)])
def test_not_as_many_inputs_as_the_model_takes(given):
    with pytest.raises(DataError, match="takes 2 inputs"):
        named_inputs(given, ["a", "b"], "Task 't'")


def columns() -> dict[str, np.ndarray]:
    group = np.array(["q", "p", "q", "q", "p", "r"])
    return {"who": group, "u": X[:, 0], "v": X[:, 1], "n": Y, "wide": X}


def structured() -> np.ndarray:
    table = np.zeros(6, [("who", "S1"), ("u", float), ("v", float), ("n", int), ("wide", float, 2)])
    for name, column in columns().items():
        table[name] = column
    return table


TABLES = {"dict": columns, "structured array": structured}
TABLES["dict of lists"] = lambda: {name: list(column) for name, column in columns().items()}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("inputs", [["u", "v"], "wide"])
def test_a_table(kind, inputs):
    tasks = tasks_from_table(TABLES[kind](), group="who", inputs=inputs, targets="n")
    assert {name: y.tolist() for name, (_, y) in tasks.items()} == {
        "q": [0, 2, 3],
        "p": [1, 4],
        "r": [5],
    }
    np.testing.assert_array_equal(task_examples(tasks, ["x"])["p"].train["x"], X[[1, 4]])


def test_a_table_for_several_inputs_and_targets():
    inputs = {"a": ["v", "u"], "b": "n"}
    tasks = tasks_from_table(columns(), group="who", inputs=inputs, targets=["u", "v"])
    given, targets = tasks["q"]
    np.testing.assert_array_equal(given["a"], X[[0, 2, 3]][:, ::-1])
    assert given["b"].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(targets, X[[0, 2, 3]])


def test_a_pandas_table():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: c for name, c in columns().items() if name != "wide"})
    tasks = tasks_from_table(frame[::-1], group="who", inputs=["u"], targets="n")
    assert tasks["p"][1].tolist() == [4, 1]
    twice = pandas.concat([frame, frame[["u"]]], axis=1)
    with pytest.raises(UsageError, match="two columns called 'u'"):
        tasks_from_table(twice, group="who", inputs="u", targets="n")
    frame["who"] = frame["who"].where(frame["who"] != "r")
    with pytest.raises(DataError, match="Row 5 of the table has no group"):
        tasks_from_table(frame, group="who", inputs="u", targets="n")


def with_group(values) -> dict:
    return {**columns(), "who": values}


BAD_TABLES = {
    "no column": (columns(), {"inputs": "w"}, "no column 'w'"),
    "no columns": (columns(), {"inputs": []}, "one or more"),
    "wide among others": (columns(), {"inputs": ["u", "wide"]}, "one number a row"),
    "no group": (columns(), {"group": "whom"}, "no column 'whom'"),
    "a row without": (with_group([1.0, 2.0, float("nan"), 1, 1, 1]), {}, "Row 2 .* no group"),
    "None": (with_group(["a", None, "a", "a", "a", "a"]), {}, "Row 1 .* no group"),
    "a wide group": (with_group(X), {}, r"'who' has shape \[6, 2\]"),
    "lengths": ({**columns(), "u": [1.0]}, {"inputs": ["u"]}, "have 1 rows, 'who' has 6"),
    "lengths of columns": ({**columns(), "u": [1.0]}, {"inputs": ["u", "v"]}, "different lengths"),
    "no time": (
        with_group(np.array(["2020", "NaT", "2020", "2021", "2021", "2020"], "datetime64[ns]")),
        {},
        "Row 1 .* no group",
    ),
    "1 and its text": (
        with_group(np.array([1, "1", 2, 2, 3, 3], object)),
        {},
        "1 and '1' .* both be called '1'",
    ),
    "a clash": (columns(), {"inputs": {"targets": "u"}}, "cannot be called 'targets'"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(case):
    table, options, words = BAD_TABLES[case]
    options = {"group": "who", "inputs": ["u"], "targets": "n"} | options
    with pytest.raises((DataError, UsageError), match=words) as error:
        tasks_from_table(table, **options)
    assert isinstance(error.value, MetaShrinkError)
