"""What the names in a pickle of arrays stand for: records that are checked, nothing that is called.

Used by `plain_pickle`, which says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,4})")
_ROLES = {
    r"numpy\.(core|_core)\.multiarray _reconstruct": "array",
    r"numpy\.(core|_core)\.numeric _frombuffer": "buffer",
    r"numpy\.(core|_core)\.multiarray scalar": "scalar",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    "(__builtin__|builtins) bytes": "nothing",
    "collections OrderedDict": "dict",
}


class Refused(ValueError):
    """The pickle asks for something that is not plain data."""


class Name(NamedTuple):
    """A name that a pickle of arrays may use, by what it stands for."""

    role: str


class Dtype:
    """What a pickle says of an element type; `text` as "<u1"."""

    def __init__(self, text: Any) -> None:
        self.text = require(text, str)

    def build(self, state: Any) -> None:
        """Takes over the byte order; structured types are refused."""
        if type(state) is not tuple or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise Refused("an array of structures")
        self.text = require(state[1], str) + self.text.lstrip("<>|=")

    def numpy(self) -> np.dtype:
        """The type, a number, a truth value or a string of fixed length."""
        if not _DTYPE.fullmatch(self.text):
            raise Refused(f"an array of type {self.text[:20]!r}")
        return np.dtype(self.text)


class Array:
    """An array to come: its state (version, shape, dtype, is Fortran, bytes) follows."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Makes the array."""
        if type(state) is not tuple or len(state) != 5:
            raise Refused("an array without a state")
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran is True else "C")


def require(value: Any, kind: type) -> Any:
    """The value.

    Raises:
      ValueError: it is not of exactly this type.
    """
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}")
    return value


def fill(into: dict[Any, Any], keys: Sequence[Any], values: Sequence[Any]) -> dict[Any, Any]:
    """Adds items whose keys are words or numbers: hashing deep tuples could end the process."""
    if any(type(key) not in (str, bytes, int, bool, float) for key in keys):
        raise Refused("a dict with keys that are neither words nor numbers")
    count = len(into) + len(keys)
    into.update(zip(keys, values, strict=True))
    if len(into) != count:
        raise ValueError("a dict has a key twice")
    return into


def name_of(text: str) -> Name:
    """What "module name" stands for.

    Raises:
      Refused: nothing that arrays need.
    """
    for pattern, role in _ROLES.items():
        if re.fullmatch(pattern, text):
            return Name(role)
    raise Refused(f"the name {text[:60]!r}")


def call(name: Any, arguments: Any) -> Any:
    """The record or value that a name stands for with these arguments.

    Raises:
      Refused: it is no constructor of arrays and their like.
      ValueError, TypeError: the arguments are not its own.
    """
    if type(name) is not Name or name.role not in _CALLS:
        raise Refused("a call of something else than a constructor of arrays")
    return _CALLS[name.role](*require(arguments, tuple))


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of bytes that are there: the shape cannot ask for more."""
    if type(dtype) is not Dtype or type(shape) is not tuple:
        raise Refused("an array without type or shape")
    if any(type(length) is not int or length < 0 for length in shape):
        raise Refused("an array of an impossible shape")
    content = data.encode("latin-1") if type(data) is str else data
    if type(content) not in (bytes, bytearray):
        raise Refused("an array of Python objects")
    return np.frombuffer(content, dtype.numpy()).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (), "C").item()


def _encoded(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if require(encoding, str) not in ("latin1", "latin-1"):
        raise Refused("an unknown encoding")
    return require(text, str).encode("latin-1")


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    keys, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return fill({}, keys, values)


_CALLS: Mapping[str, Callable[..., Any]] = {
    "array": lambda *_: Array(),
    "buffer": _array,
    "scalar": _scalar,
    "dtype": lambda text, *_: Dtype(text),
    "encode": _encoded,
    "nothing": lambda: b"",  # How Python 3 writes b"" for Python 2.
    "dict": _ordered,
}
