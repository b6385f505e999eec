"""How the tensors of an adapter are stored, and back. Moments are float32 in every encoding.

f32          variables as they are
f16, bf16    variables rounded to nearest: half the bytes
int8_delta   variables as (theta - phi) / scale, rounded, in [-127, 127], with a float32
             "<name>:scale" per last axis (one for a vector or a scalar): a quarter
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from meta_shrink.adapters.backbone_info import AdapterTensor, BackboneInfo
from meta_shrink.adapters.header import DTYPES, Entry, only_entries
from meta_shrink.errors import AdapterError

SCALE = ":scale"
INT8_STEPS = 127
MAX_MAGNITUDE = 1e30  # Far above any weight, far below where products of float32 overflow.
# The float32 of every float16: looking them up takes half the time of NumPy's conversion.
_FLOAT16 = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
_STORED = {"f32": "F32", "f16": "F16", "bf16": "BF16", "int8_delta": "I8"}

Arrays = Mapping[str, np.ndarray]
Layout = dict[str, tuple[str, tuple[int, ...]]]


def stored_layout(backbone: BackboneInfo, encoding: str) -> Layout:
    """{name: (dtype, shape)} of what is stored, in the order of backbone.tensors; not to be
    changed."""
    return _layout(backbone.tensors, encoding)


@lru_cache  # A server loads thousands of adapters of one backbone.
def _layout(tensors: tuple[AdapterTensor, ...], encoding: str) -> Layout:
    layout: Layout = {}
    for spec in tensors:
        layout[spec.name] = (_stored_dtype(spec, encoding), spec.shape)
        if _stored_dtype(spec, encoding) == "I8":
            layout[spec.name + SCALE] = ("F32", _scale_shape(spec))
    return layout


def stored_entries(backbone: BackboneInfo, encoding: str) -> tuple[Entry, ...]:
    """The table of tensors that every whole file has."""
    return _entries(backbone.tensors, encoding)


@lru_cache
def _entries(tensors: tuple[AdapterTensor, ...], encoding: str) -> tuple[Entry, ...]:
    return only_entries(_layout(tensors, encoding))


@lru_cache
def max_payload_bytes(tensors: tuple[AdapterTensor, ...]) -> int:
    """Bytes of the largest encoding of these tensors."""
    tables = [_entries(tensors, encoding) for encoding in _STORED]
    return max((entry.end for entries in tables for entry in entries), default=0)


def check_layout(entries: Sequence[Entry], layout: Layout, where: str) -> None:
    """Refuses whatever does not hold exactly the tensors of a layout.

    Raises:
      AdapterError: "missing", "extra", "dtype" or "shape".
    """
    found = {entry.name: (entry.dtype, entry.shape) for entry in entries}
    check_names(found, layout, where)
    for name, (dtype, shape) in layout.items():
        if found[name][0] != dtype:
            raise AdapterError(
                "dtype", f"{where}: {name} is {found[name][0]}, expected {dtype}: export it again."
            )
        check_shape(name, found[name][1], shape, where)


def check_names(found: Mapping[str, object], expected: Mapping[str, object], where: str) -> None:
    """Refuses other names than the expected ones.

    Raises:
      AdapterError: "missing" or "extra".
    """
    for code, names in (("missing", expected.keys() - found), ("extra", found.keys() - expected)):
        if names:
            raise AdapterError(
                code,
                f"{where}: {len(names)} tensors are {code}, {min(names)!r} for one; use an adapter "
                "that was exported for this backbone.",
            )


def check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...], where: str) -> None:
    """Refuses another shape.

    Raises:
      AdapterError: "shape".
    """
    if found != expected:
        raise AdapterError(
            "shape",
            f"{where}: {name} has the shape {list(found)}, expected {list(expected)}; use an "
            "adapter that was exported for this backbone.",
        )


def encode(
    tensors: Arrays, backbone: BackboneInfo, encoding: str, default: Arrays | None, where: str
) -> dict[str, np.ndarray]:
    """What is stored for these tensors, which must be those of backbone.tensors.

    Raises:
      AdapterError: "missing", "extra", "shape", "value" or "default".
    """
    check_names(tensors, {spec.name: spec for spec in backbone.tensors}, where)
    stored: dict[str, np.ndarray] = {}
    for spec in backbone.tensors:
        value = np.asarray(tensors[spec.name], np.float32, order="C")
        check_shape(spec.name, value.shape, spec.shape, where)
        check_values(spec.name, value, where)
        if _stored_dtype(spec, encoding) == "I8":
            stored |= _quantise(spec, value, _phi(spec, default, where))
        else:
            stored[spec.name] = _rounded(spec, value, encoding, where)
    return stored


def decode(
    stored: Arrays,
    backbone: BackboneInfo,
    encoding: str,
    default: Arrays | None,
    where: str,
    *,
    known: bool = False,
) -> dict[str, np.ndarray]:
    """float32 tensors of `stored`, whose layout is checked; read-only, in backbone order.

    known: the values are checked too, as the same ones were decoded before.

    Raises:
      AdapterError: "value", "scale" or "default".
    """
    tensors = {}
    for spec in backbone.tensors:
        value = stored[spec.name]
        if value.dtype == np.int8:
            value = _dequantise(spec, stored, _phi(spec, default, where), where)
        tensors[spec.name] = _float32(value)
        if encoding != "f32" and value.dtype == np.float32 and spec.kind == "moment":
            # A view of these few tensors would keep the whole file alive.
            tensors[spec.name] = value.copy()
        if not known:
            check_values(spec.name, tensors[spec.name], where)
        tensors[spec.name].flags.writeable = False
    return tensors


def check_stored(stored: Arrays, where: str) -> None:
    """The checks of values that need no backbone.

    Raises:
      AdapterError: "value" or "scale".
    """
    for name, value in stored.items():
        if name.endswith(SCALE):
            check_scale(name, value, where)
        elif value.dtype != np.int8:
            check_values(name, _float32(value), where)


def check_values(name: str, value: np.ndarray, where: str) -> None:
    """Refuses NaN, infinite and huge numbers.

    Raises:
      AdapterError: "value".
    """
    # Two passes without a temporary; a NaN makes both comparisons false.
    if not (value.min() >= -MAX_MAGNITUDE and value.max() <= MAX_MAGNITUDE):
        raise AdapterError(
            "value",
            f"{where}: {name} holds numbers that are not finite or beyond {MAX_MAGNITUDE:g}; "
            "adapt the task again.",
        )


def check_scale(name: str, scale: np.ndarray, where: str) -> None:
    """Refuses a scale that is not positive and finite.

    Raises:
      AdapterError: "scale".
    """
    if not (scale.min() > 0 and scale.max() <= MAX_MAGNITUDE):
        raise AdapterError(
            "scale", f"{where}: {name} is not positive and finite; export the adapter again."
        )


def _float32(value: np.ndarray) -> np.ndarray:
    if value.dtype == np.float16:
        return np.asarray(_FLOAT16.take(value.view(np.uint16)))
    return value.astype(np.float32, copy=False)


def _stored_dtype(spec: AdapterTensor, encoding: str) -> str:
    return "F32" if spec.kind == "moment" else _STORED[encoding]


def _scale_shape(spec: AdapterTensor) -> tuple[int, ...]:
    return spec.shape[-1:] if len(spec.shape) > 1 else ()


def _phi(spec: AdapterTensor, default: Arrays | None, where: str) -> np.ndarray:
    if default is None:
        raise AdapterError(
            "default",
            f"{where}: {spec.name} is stored as a difference to the backbone's own weights; load "
            "it with the backbone.",
        )
    return default[spec.name]


def _rounded(spec: AdapterTensor, value: np.ndarray, encoding: str, where: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # Refused below.
        stored = value.astype(DTYPES[_stored_dtype(spec, encoding)], copy=False)
    if not np.isfinite(_float32(stored)).all():
        raise AdapterError(
            "value", f"{where}: {spec.name} has numbers beyond the range of {encoding}: use f32."
        )
    return stored


def _quantise(spec: AdapterTensor, value: np.ndarray, phi: np.ndarray) -> dict[str, np.ndarray]:
    delta = value - phi
    axes = tuple(range(delta.ndim - 1)) if delta.ndim > 1 else None
    scale = np.asarray(np.abs(delta).max(axis=axes) / np.float32(INT8_STEPS), np.float32)
    # A scale too small to divide by belongs to a difference that is nothing.
    scale = np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale)
    steps = np.clip(np.rint(delta / scale), -INT8_STEPS, INT8_STEPS)
    return {spec.name: np.asarray(steps, np.int8, order="C"), spec.name + SCALE: scale}


def _dequantise(spec: AdapterTensor, stored: Arrays, phi: np.ndarray, where: str) -> np.ndarray:
    scale = stored[spec.name + SCALE]
    check_scale(spec.name + SCALE, scale, where)
    with np.errstate(over="ignore"):  # Refused by whoever checks the values.
        return np.asarray(phi + stored[spec.name].astype(np.float32) * scale)
