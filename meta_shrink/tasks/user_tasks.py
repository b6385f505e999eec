"""A user's tasks in the forms that people keep them: arrays, data sets, a table with a column of
groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError, UsageError
from meta_shrink.tasks.example_arrays import (
    HELDOUT,
    INPUTS,
    TARGETS,
    Arrays,
    TaskExamples,
    divided,
)

Columns = str | Sequence[str]


def task_examples(tasks: Mapping[Any, Any], inputs: Sequence[str]) -> dict[str, TaskExamples]:
    """The examples of each task by name, not yet checked against a model.

    Args:
      tasks: {id: data}. Data are (inputs, targets), inputs being an array, a tuple in the order of
        the model's inputs or a dict by their names; or a dict of arrays as an NPZ file has them
        (example_arrays); or a tf.data.Dataset of such examples, not of batches.
      inputs: names of the model's inputs.

    Raises:
      DataError: no task, one name twice, or data in no such form.
    """
    if not isinstance(tasks, Mapping) or not tasks:
        raise DataError(
            f"tasks is {type(tasks).__name__ if not isinstance(tasks, Mapping) else 'empty'}; "
            "expected a mapping {name: (inputs, targets)}."
        )
    found: dict[str, TaskExamples] = {}
    for identity, data in tasks.items():
        name = str(identity)
        if name in found:
            raise DataError(f"Two tasks are called {name!r}; give them different names.")
        found[name] = divided(_named(data, inputs, f"Task {name!r}"))
    return found


def _named(data: Any, inputs: Sequence[str], where: str) -> Arrays:
    """Arrays by name, "heldout_" included."""
    if isinstance(data, tf.data.Dataset):
        data = _collected(data, where)
    if isinstance(data, Mapping):
        return {str(name): _array(value, where) for name, value in data.items()}
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(
            f"{where} is {type(data).__name__}; expected (inputs, targets), a dict of arrays, or a "
            "tf.data.Dataset of examples."
        )
    given, targets = data
    if isinstance(given, Mapping) and TARGETS in given:
        raise DataError(
            f"{where} has an input called {TARGETS!r} beside the targets; expected them once, "
            "(inputs, targets) or one dict of arrays."
        )
    return {**named_inputs(given, inputs, where), TARGETS: _array(targets, where)}


def named_inputs(given: Any, names: Sequence[str], where: str) -> Arrays:
    """Inputs by name, from one array, a tuple in the order of the names, or a dict.

    Raises:
      DataError: not as many as there are names.
    """
    if isinstance(given, Mapping):
        alone = len(names) == 1 and list(given) == [INPUTS]
        return {names[0] if alone else str(k): _array(v, where) for k, v in given.items()}
    if len(names) == 1:
        return {names[0]: _array(given, where)}
    if not isinstance(given, (tuple, list)) or len(given) != len(names):
        raise DataError(
            f"{where}: the model takes {len(names)} inputs; expected a tuple of them or a dict "
            f"with the names {', '.join(names)}."
        )
    return {name: _array(value, where) for name, value in zip(names, given, strict=True)}


def _array(value: Any, where: str) -> np.ndarray:
    if np.ma.is_masked(value):
        raise DataError(f"{where} has masked numbers; leave such examples out, or fill them in.")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"{where} has examples of different shapes ({error}); pad them to one."
        ) from error
    if array.dtype == object and not array.shape:
        raise DataError(
            f"{where} has a {type(value).__name__}; expected an array of numbers: pad a ragged "
            "tensor (.to_tensor()), and give a sparse one whole (tf.sparse.to_dense)."
        )
    return array


def _collected(examples: tf.data.Dataset, where: str) -> Any:
    """All examples of a data set, stacked."""
    if int(examples.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{where} is a data set without end; expected .take(number) of it.")
    rows = list(examples.as_numpy_iterator())
    if not rows:
        raise DataError(f"{where} is an empty data set.")
    try:
        return tf.nest.map_structure(lambda *values: np.stack(values), *rows)
    except ValueError as error:
        raise DataError(
            f"{where} is a data set whose elements differ in shape ({error}); expected single "
            "examples of one shape: .unbatch() batches, pad sequences."
        ) from error


def tasks_from_table(
    table: Any, *, group: str, inputs: Columns | Mapping[str, Columns], targets: Columns
) -> dict[str, tuple[Arrays, np.ndarray]]:
    """The tasks of a table, one for each value of its column `group`: {value: (inputs, targets)}.

    Args:
      table: columns by name: a pandas or polars DataFrame, a dict of arrays, a structured array.
      group: the column that says whose row it is.
      inputs: a column, or several that become [N, columns]; for a model of several inputs
        {its name: columns}.
      targets: a column, or several.

    Raises:
      UsageError: a column that there is not.
      DataError: columns of different lengths, or a row without a group.
    """
    by_name = inputs if isinstance(inputs, Mapping) else {INPUTS: inputs}
    if clash := [n for n in by_name if n == TARGETS or n.startswith(HELDOUT)]:
        raise UsageError(f"An input cannot be called {clash[0]!r}; rename the model's input.")
    arrays = {name: _columns(table, columns) for name, columns in by_name.items()}
    arrays[TARGETS] = _columns(table, targets)
    groups = _column(table, group)
    if groups.ndim != 1:
        raise UsageError(f"The column {group!r} has shape {list(groups.shape)}; expected [N].")
    owners = _group_names(groups)
    for name, array in arrays.items():
        if len(array) != len(owners):
            raise DataError(
                f"The columns of {name} have {len(array)} rows, {group!r} has {len(owners)}."
            )
    rows: dict[str, list[int]] = {}
    for row, owner in enumerate(owners):
        rows.setdefault(owner, []).append(row)
    return {
        owner: ({name: arrays[name][own] for name in by_name}, arrays[TARGETS][own])
        for owner, own in rows.items()
    }


def _group_names(groups: np.ndarray) -> list[str]:
    """The name of each row's group [N], one for each value."""
    values = groups.tolist()
    if groups.dtype.kind in "mM":  # In nanoseconds .tolist() has a number for what is missing, too.
        values = [None if no else value for no, value in zip(np.isnat(groups), values, strict=True)]
    owners = [_group_name(value, row) for row, value in enumerate(values)]
    meant: dict[str, Any] = {}
    for owner, value in zip(owners, values, strict=True):
        if meant.setdefault(owner, value) != value:
            raise DataError(
                f"The groups {meant[owner]!r} and {value!r} of the table would both be called "
                f"{owner!r}; give them different names."
            )
    return owners


def _group_name(value: Any, row: int) -> str:
    if value is None or type(value).__name__ == "NAType" or value != value:
        raise DataError(f"Row {row} of the table has no group ({value}); leave such rows out.")
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _columns(table: Any, names: Columns) -> np.ndarray:
    """One column as it is, [N, ...]; several as [N, columns]."""
    if isinstance(names, str):
        return _column(table, names)
    columns = [_column(table, name) for name in names]
    if not columns or any(column.ndim != 1 for column in columns):
        raise UsageError(f"Columns {list(names)}; expected one or more, one number a row each.")
    try:
        return np.stack(columns, axis=1)
    except ValueError as error:
        raise DataError(f"The columns {list(names)} have different lengths.") from error


def _column(table: Any, name: str) -> np.ndarray:
    names: Sequence[Any] = list(getattr(table, "columns", ()))
    if names.count(name) > 1:
        raise UsageError(f"The table has two columns called {name!r}: rename one.")
    try:
        return _array(table[name], f"Column {name!r}")
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"The table has no column {name!r} ({error!r}).") from error
