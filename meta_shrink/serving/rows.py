"""One row of a batch: the inputs of one example, checked against what the backbone takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import ArraySpec, BackboneInfo
from meta_shrink.errors import UsageError

_TAKES = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}
_IN_WORDS = {"f": "numbers", "i": "integers", "u": "integers", "b": "booleans"}


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
    array = _as_array(spec, value)
    among_numbers = array.dtype.kind != "b" and _holds_boolean(value)  # NumPy makes it 0 or 1.
    if array.dtype.kind not in _TAKES[dtype.kind] or among_numbers:
        raise UsageError(f"input {spec.name!r} has to consist of {_IN_WORDS[dtype.kind]} only.")
    _check_shape(spec, array)
    with np.errstate(over="ignore", invalid="ignore"):  # Said below, in a sentence.
        converted = array.astype(dtype, copy=False)
    if dtype.kind == "f" and not np.isfinite(converted).all():
        raise UsageError(f"input {spec.name!r} has numbers that are not finite as {spec.dtype}.")
    if dtype.kind in "iu" and not np.array_equal(converted, array):
        raise UsageError(f"input {spec.name!r} has numbers that do not fit {spec.dtype}.")
    return converted


def _as_array(spec: ArraySpec, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise UsageError(
            f"input {spec.name!r} is no array: its lists have different lengths or are too deep."
        ) from None


def _holds_boolean(value: Any) -> bool:
    """Whether one stands anywhere in nested lists."""
    if not isinstance(value, list):
        return type(value) is bool
    kinds = set(map(type, value))
    return bool in kinds or (list in kinds and any(map(_holds_boolean, value)))


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
