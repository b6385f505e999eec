"""One row of a batch: the inputs of one example, checked against what the backbone takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import ml_dtypes
import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo
from meta_shrink.errors import UsageError

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_TAKES = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}
_IN_WORDS = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans"}
_OBJECTS = {"f": Real, "i": Integral, "u": Integral}


def as_row(backbone: BackboneInfo, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Inputs {name: array or nested lists, no batch axis} of one example as the network takes them.

    Integers may stand for floats, nothing else is converted.

    Raises:
      UsageError: a missing or unknown input; a wrong shape or kind of number; no finite numbers.
    """
    names = [spec.name for spec in backbone.inputs]
    if sorted(inputs) != sorted(names):
        raise UsageError(f"the inputs are {_listed(inputs)}; expected {_listed(names)}.")
    return {spec.name: as_input(spec, inputs[spec.name]) for spec in backbone.inputs}


def row_shape(row: Mapping[str, np.ndarray]) -> tuple[tuple[int, ...], ...]:
    """What rows must have in common to be stacked into one batch."""
    return tuple(value.shape for value in row.values())


def _listed(names: Any) -> str:
    shown = [repr(str(name)[:64]) for name in sorted(names)[:9]]
    return ", ".join([*shown[:8], *(["..."] if len(shown) > 8 else [])]) or "none"


def as_input(spec: ArraySpec, value: Any) -> np.ndarray:
    """One input (an array or nested lists) as the network takes it; raises as `as_row`."""
    dtype = np.dtype(spec.dtype)
    kind = _kind(dtype)
    array = _as_array(spec, kind, value)
    if not _consists_of(kind, array, value):
        raise UsageError(f"input {spec.name!r} has to consist of {_IN_WORDS[kind]} only.")
    _check_shape(spec, array)
    converted = _converted(array, dtype)
    if kind == "f" and not np.isfinite(converted).all():
        raise UsageError(f"input {spec.name!r} has numbers that are not finite as {spec.dtype}.")
    if kind in "iu" and not np.array_equal(converted, array):
        raise UsageError(f"input {spec.name!r} has numbers that do not fit {spec.dtype}.")
    return converted


def _kind(dtype: np.dtype) -> str:
    """As NumPy's, which calls bfloat16 "V", bytes without a meaning."""
    return "f" if dtype == _BFLOAT16 else dtype.kind


def _as_array(spec: ArraySpec, kind: str, value: Any) -> np.ndarray:
    """Of objects where an integer has more than 64 bits.

    NumPy makes floats of integers with and without a sign bit: for integers they are read anew.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind == "f" and kind in "iu":
            objects = np.asarray(value, dtype=object)
            return objects if _are_all(Integral, objects) else array
        return array
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise UsageError(
            f"input {spec.name!r} is no array: its lists have different lengths or are too deep."
        ) from None


def _consists_of(kind: str, array: np.ndarray, value: Any) -> bool:
    """Whether an input of a kind takes all that stands there."""
    if array.dtype.kind == "O":
        return kind in _OBJECTS and _are_all(_OBJECTS[kind], array)
    found = _kind(array.dtype)
    among_numbers = found != "b" and _holds_boolean(value)  # NumPy makes it 0 or 1.
    return found in _TAKES[kind] and not among_numbers


def _are_all(kind: type, objects: np.ndarray) -> bool:
    """Whether the objects are numbers of a kind; booleans are none."""
    found = {type(number) for number in objects.flat}
    return all(issubclass(each, kind) and each is not bool for each in found)


def _converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """In the type of the input; what does not fit is infinite, or another number."""
    with np.errstate(over="ignore", invalid="ignore"):
        if array.dtype.kind != "O":
            return array.astype(dtype, copy=False)
        if _kind(dtype) == "f":
            return np.vectorize(_as_float, otypes=[np.float64])(array).astype(dtype)
        limits = np.iinfo(dtype)
        return np.asarray(np.clip(array, limits.min, limits.max), dtype)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # An integer.
        return math.inf


def _holds_boolean(value: Any) -> bool:
    """Whether one stands anywhere in nested lists."""
    if not isinstance(value, list | tuple):
        return type(value) in (bool, np.bool_)
    kinds = set(map(type, value))
    return not kinds.isdisjoint((bool, np.bool_)) or (
        not kinds.isdisjoint((list, tuple)) and any(map(_holds_boolean, value))
    )


def _check_shape(spec: ArraySpec, array: np.ndarray) -> None:
    fits = array.ndim == len(spec.shape) and all(
        size == expected if expected is not None else size > 0
        for size, expected in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise UsageError(
            f"input {spec.name!r} has the shape {list(array.shape)}; expected [{expected}]."
        )
