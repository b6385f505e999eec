"""Values of JSON as the types of a dataclass say, so that an odd field is found when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


def typed(kind: Any, value: Any, name: str) -> Any:
    """The value as a dataclass, tuple[...], Mapping[str, ...], X | None, str, bool, int or float.

    Raises:
      ValueError: it is none; the text says which field, by `name`.
    """
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, name)
    if origin is UnionType:
        (other,) = (arg for arg in args if arg is not NoneType)
        return None if value is None else typed(other, value, name)
    if origin is tuple:
        return _tuple(args, value, name)
    if origin is Mapping:
        _check(isinstance(value, dict), name, "an object", value)
        return {key: typed(args[1], item, f"{name}.{key}") for key, item in value.items()}
    if kind is float:
        _check(
            isinstance(value, int | float) and not isinstance(value, bool), name, "a number", value
        )
        _check(math.isfinite(value), name, "a finite number", value)
        return value
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    _check(fits, name, kind.__name__, value)
    return value


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    _check(isinstance(value, dict), name, "an object", value)
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(value.keys() - known.keys()):
        raise ValueError(f"{name} has the unknown field {unknown[0]!r}")
    for field in known.values():
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in value and not optional:
            raise ValueError(f"{name} lacks the field {field.name!r}")
    return kind(**{key: typed(hints[key], item, f"{name}.{key}") for key, item in value.items()})


def _tuple(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    _check(isinstance(value, list), name, "a list", value)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    _check(len(kinds) == len(value), name, f"{len(kinds)} values", value)
    return tuple(
        typed(k, v, f"{name}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )


def _check(fits: bool, name: str, expected: str, value: Any) -> None:
    if not fits:
        raise ValueError(f"{name} is {repr(value)[:60]}, expected {expected}")
