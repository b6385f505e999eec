"""The examples of a task as arrays by name, from a user or from an NPZ file. NumPy only.

A task is {"targets": [N, ...], name of an input: [N, ...]}, and optionally the same with
"heldout_" in front: what it is validated on. "inputs" will do for the input where there is one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.durable_files import open_regular
from meta_shrink.errors import DataError, first_names
from meta_shrink.images.file_tree import folder_tree, is_hidden
from meta_shrink.images.npz_file import ArrayHeader, read_arrays
from meta_shrink.tasks.precision import is_fine

NPZ = ".npz"
MAX_TASK_BYTES = 2**30
HELDOUT, INPUTS, TARGETS, WEIGHTS = "heldout_", "inputs", "targets", "weights"
Arrays = dict[str, np.ndarray]


class TaskExamples(NamedTuple):
    """What one task is adapted to, and what it is validated on: {} where nothing is set apart."""

    train: Arrays
    heldout: Arrays


def read_folder(data_dir: str) -> dict[str, TaskExamples]:
    """{name: examples} of the NPZ files in a folder, in the order of names.

    Raises:
      DataError: none, some in folders inside, one that is damaged, or two of one name.
    """
    entries = sorted(os.listdir(data_dir)) if os.path.isdir(data_dir) else []
    names = [n for n in entries if n.lower().endswith(NPZ) and not is_hidden(n)]
    if not names:
        raise DataError(
            f"task.data_dir={data_dir!r} holds no NPZ file; expected one for each task, with the "
            "arrays 'inputs' and 'targets'."
        )
    if inside := [n for n in folder_tree(data_dir).names if "/" in n and n.lower().endswith(NPZ)]:
        raise DataError(
            f"task.data_dir={data_dir!r} has tasks in folders, {first_names(inside)}: move them up."
        )
    owner: dict[str, str] = {}
    for name in names:
        if (other := owner.setdefault(name[: -len(NPZ)], name)) != name:
            raise DataError(
                f"task.data_dir={data_dir!r} holds {other} and {name}, two files of one task: "
                "rename one, or leave it out."
            )
    return {task: read_npz(os.path.join(data_dir, name)) for task, name in owner.items()}


def read_npz(path: str, specs: Sequence[ArraySpec] = ()) -> TaskExamples:
    """The arrays of a task's NPZ file.

    specs: of the inputs and targets, if they are known: what does not fit is not unpacked.

    Raises:
      DataError: it is damaged or no NPZ file, too large, or does not fit.
    """

    def check(headers: Mapping[str, ArrayHeader]) -> None:
        size = sum(math.prod(h.shape) * h.dtype.itemsize for h in headers.values())
        if size > MAX_TASK_BYTES:
            raise DataError(
                f"{path} has {size} bytes of arrays; expected {MAX_TASK_BYTES} at most."
            )
        for part in _parts(headers) if specs else ():
            if part:
                check_forms(part, specs, path)

    try:
        with os.fdopen(open_regular(path, os.O_RDONLY, links=True), "rb") as file:
            return divided(read_arrays(file, path, check))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def divided(arrays: Mapping[str, Any]) -> TaskExamples:
    """Arrays with and without "heldout_" in front of their names."""
    return TaskExamples(*_parts({name: np.asarray(value) for name, value in arrays.items()}))


def _parts(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    train = {name: value for name, value in arrays.items() if not name.startswith(HELDOUT)}
    heldout = {name.removeprefix(HELDOUT): arrays[name] for name in arrays if name not in train}
    return train, heldout


def specs_of(train: Arrays, *, labels: bool) -> tuple[ArraySpec, ...]:
    """What an array of each name looks like in every task, from those of the first task.

    Args:
      labels: the targets are numbers of classes; otherwise numbers, [N] being [N, 1].

    Raises:
      DataError: no targets, nothing else, or weights.
    """
    if TARGETS not in train or len(train) < 2:
        raise DataError(
            f"A task has the arrays {', '.join(train) or '(none)'}; expected {TARGETS!r} and the "
            "inputs of the model."
        )
    if WEIGHTS in train:
        raise DataError(
            f"A task has an array {WEIGHTS!r}, but examples of files count alike, and an input of "
            "that name would be mistaken for weights: leave it out, or call the input otherwise."
        )
    specs = []
    for name, array in train.items():
        whole = labels if name == TARGETS else np.issubdtype(array.dtype, np.integer)
        shape = array.shape[1:]
        if name == TARGETS and not labels and not shape:
            shape = (1,)
        kept = name != TARGETS and array.dtype == np.uint8
        specs.append(ArraySpec(name, shape, "uint8" if kept else "int32" if whole else "float32"))
    return tuple(specs)


def fitted(arrays: Arrays, specs: Sequence[ArraySpec], where: str, *, classes: int = 0) -> Arrays:
    """The arrays as a network takes them, in the order and the types of the specs.

    One number for each example, [N], is also taken for [N, 1].

    Args:
      specs: of the inputs and of the targets; None in a shape is an axis of any length.
      where: which task, for the message.
      classes: that there are, where the targets are labels.

    Raises:
      DataError: an array is missing, unknown, of another shape or kind, or holds NaN.
    """
    arrays = check_forms(arrays, specs, where)
    result = {spec.name: _fitted(arrays[spec.name], spec, where) for spec in specs}
    lengths = {name: len(array) for name, array in result.items()}
    if len(set(lengths.values())) > 1 or not min(lengths.values()):
        listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise DataError(f"{where} has {listed}; their shapes begin with one number, 1 or more.")
    if classes:
        _check_labels(result[TARGETS], classes, where)
    return result


def fitted_inputs(arrays: Arrays, specs: Sequence[ArraySpec], where: str) -> Arrays:
    """Inputs alone, as a network takes them; the numbers of those in its own types are not read.

    Raises:
      DataError: as `fitted`, or they differ in length.
    """
    arrays = check_forms(arrays, specs, where)
    result = {}
    for spec in specs:
        own = arrays[spec.name]
        as_is = own.dtype == spec.dtype and own.ndim == len(spec.shape) + 1
        result[spec.name] = own if as_is else _fitted(own, spec, where)
    lengths = {name: len(array) for name, array in result.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{where} got inputs of different lengths, {lengths}.")
    return result


def _is_of_targets(name: str) -> bool:
    """Whether an array is of targets: all, or those of one output of several."""
    return name == TARGETS or name.startswith(f"{TARGETS}_")


def check_forms(
    arrays: Mapping[str, Any], specs: Sequence[ArraySpec], where: str
) -> dict[str, Any]:
    """Arrays, or their headers, by the names of the specs, once names, shapes and types fit.

    Raises:
      DataError: as `fitted`.
    """
    inputs = [spec.name for spec in specs if not _is_of_targets(spec.name)]
    if len(inputs) == 1 and INPUTS in arrays:
        if inputs[0] != INPUTS and inputs[0] in arrays:
            raise DataError(
                f"{where} has {INPUTS} and {inputs[0]}, which both mean the input {inputs[0]!r} of "
                "the model: leave one out."
            )
        arrays = {inputs[0] if name == INPUTS else name: a for name, a in arrays.items()}
    if arrays.keys() != {spec.name for spec in specs}:
        raise DataError(
            f"{where} has {', '.join(sorted(map(str, arrays))) or 'no array'}; expected "
            f"{', '.join(sorted(spec.name for spec in specs))}."
        )
    for spec in specs:
        _check_form(arrays[spec.name], spec, where)
    return dict(arrays)


def _check_form(array: Any, spec: ArraySpec, where: str) -> None:
    shape = (*array.shape, 1) if spec.shape == (1,) and len(array.shape) == 1 else array.shape
    fits = len(shape) == len(spec.shape) + 1 and all(
        size in (None, given) for size, given in zip(spec.shape, shape[1:], strict=True)
    )
    if not fits:
        expected = ", ".join(["N", *(str(size or "any") for size in spec.shape)])
        raise DataError(
            f"{where}: {spec.name} has shape {list(array.shape)}; expected [{expected}], N "
            "examples, all of one size."
        )
    if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise DataError(
            f"{where}: {spec.name} holds {array.dtype}, which does not become {spec.dtype}; "
            "convert it first, labels to whole numbers."
        )


def _fitted(array: np.ndarray, spec: ArraySpec, where: str) -> np.ndarray:
    """Of a right form, also its values, as the network takes them."""
    if spec.shape == (1,) and array.ndim == 1:
        array = array[:, np.newaxis]
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(
            f"{where}: {spec.name} is not finite in example {row}; leave such examples out, "
            "or fill them in."
        )
    if array.dtype == np.uint8 and spec.dtype != "int8" and not _is_of_targets(spec.name):
        return array  # Pictures: a quarter of the memory, and Keras casts to what holds them.
    with np.errstate(over="ignore"):
        cast = array.astype(spec.dtype)
    if not np.isfinite(cast).all() or (cast.dtype.kind in "iu" and (cast != array).any()):
        raise DataError(f"{where}: {spec.name} holds numbers too large for {spec.dtype}.")
    if not is_fine(array, cast):
        raise DataError(
            f"{where}: {spec.name} differs by less than {spec.dtype} can tell beside numbers so "
            "large (or so small): subtract their mean first, and divide by their deviation."
        )
    return cast


def _check_labels(targets: np.ndarray, classes: int, where: str) -> None:
    if not 0 <= targets.min() <= targets.max() < classes:
        raise DataError(
            f"{where}: targets are from {targets.min()} to {targets.max()}; expected {classes} "
            f"classes, 0 to {classes - 1}."
        )
