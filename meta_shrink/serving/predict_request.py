"""The rows of a predict request (`rest`), read so that no more than may come are ever built."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.errors import UsageError
from meta_shrink.serving.json_cursor import JsonCursor, json_told
from meta_shrink.serving.rows import as_row

SIGNATURE = "serving_default"
_UNNAMED = object()  # The adapter of a row that names none.


class RowRequest(NamedTuple):
    """Checked inputs of one row and the adapter it names, which may be anything."""

    inputs: dict[str, np.ndarray]
    adapter: Any


class PredictRequest(NamedTuple):
    """The rows of a request; columnar: how it was written, and is to be answered."""

    rows: list[RowRequest]
    columnar: bool


def parse_predict(
    body: bytes | bytearray, backbone: BackboneInfo, *, max_rows: int
) -> PredictRequest:
    """The rows of a request. No more than `max_rows` of them are built.

    Raises:
      UsageError: it is not as the docstring of `rest` says, or has the wrong inputs.
    """
    with json_told():
        cursor = JsonCursor(body)
        _check_amount(body, backbone, max_rows)
        return _parse(cursor, backbone, max_rows)


def _check_amount(body: bytes | bytearray, backbone: BackboneInfo, max_rows: int) -> None:
    """Refuses, unread, more commas or brackets than `max_rows` rows of a fixed size can have."""
    shapes = [spec.shape for spec in backbone.inputs]
    if any(size is None for shape in shapes for size in shape):
        return
    sizes = [[size or 0 for size in shape] for shape in shapes]
    lists = sum(math.prod(size[:axis]) for size in sizes for axis in range(len(size)))
    numbers = sum(math.prod(size) for size in sizes)
    names = 2 * len(sizes) + 4
    for mark, each in ((b",", numbers + names), (b"[", lists + names), (b"{", names)):
        if body.count(mark) > each * (max_rows + 2):
            raise UsageError(f"The request has more numbers or lists than {max_rows} rows have.")


def _parse(cursor: JsonCursor, backbone: BackboneInfo, max_rows: int) -> PredictRequest:
    if not cursor.peek():
        raise ValueError("it is empty")
    if cursor.peek() != "{":
        raise _no_form()
    found: dict[str, Any] = {}
    for key in cursor.names():
        if key not in _READERS:
            raise UsageError(f"The request has the unknown key {key[:64]!r}.")
        found[key] = _READERS[key](cursor, backbone, max_rows)
        if {"instances", "inputs"} <= found.keys():
            raise _no_form()
    cursor.expect_end()
    if found.get("signature_name", SIGNATURE) != SIGNATURE:
        raise UsageError(f'"signature_name" can only be "{SIGNATURE}".')
    adapter = found.get("adapter")
    if "instances" in found:
        rows = [
            row if row.adapter is not _UNNAMED else row._replace(adapter=adapter)
            for row in found["instances"]
        ]
    elif "inputs" in found:
        rows = _rows_of_columns(found["inputs"], adapter, backbone)
    else:
        raise _no_form()
    if not rows:
        raise UsageError(f"The request has 0 rows; expected 1 to {max_rows}.")
    return PredictRequest(rows, "inputs" in found)


def _no_form() -> UsageError:
    return UsageError('The request has to be an object with either "instances" or "inputs".')


def _instances(cursor: JsonCursor, backbone: BackboneInfo, max_rows: int) -> list[RowRequest]:
    """The rows of the row form; each is checked before the next one is built."""
    if cursor.peek() != "[":
        raise UsageError('"instances" has to be a list with one entry for each row.')
    rows = []
    for number, instance in _bounded(cursor, max_rows):
        inputs = dict(instance) if isinstance(instance, dict) else _only(backbone, instance)
        adapter = inputs.pop("adapter", _UNNAMED)
        rows.append(_checked(backbone, number, inputs, adapter))
    return rows


def _columns(cursor: JsonCursor, backbone: BackboneInfo, max_rows: int) -> dict[str, list[Any]]:
    """The lists of the columnar form, by input."""
    if cursor.peek() != "{":
        return _only(backbone, _column(cursor, max_rows))
    names = {spec.name for spec in backbone.inputs}
    columns = {}
    for name in cursor.names():
        if name not in names:
            raise UsageError(f"The inputs have the unknown name {name[:64]!r}.")
        columns[name] = _column(cursor, max_rows)
    return columns


def _column(cursor: JsonCursor, max_rows: int) -> list[Any]:
    if cursor.peek() != "[":
        raise _no_columns()
    return [value for _, value in _bounded(cursor, max_rows)]


def _no_columns() -> UsageError:
    return UsageError('"inputs" has to hold a list for each input, one entry for each row.')


def _bounded(cursor: JsonCursor, max_rows: int) -> Iterator[tuple[int, Any]]:
    """(number, value) of each element of an array, if there are not too many."""
    for number, value in enumerate(cursor.elements()):
        if number >= max_rows:
            raise UsageError(
                f"The request has at least {number + 1} rows; expected 1 to {max_rows}."
            )
        yield number, value


def _adapters(cursor: JsonCursor, backbone: BackboneInfo, max_rows: int) -> Any:
    """The name of one adapter, or a list of them."""
    del backbone
    return _column(cursor, max_rows) if cursor.peek() == "[" else cursor.value()


def _signature(cursor: JsonCursor, backbone: BackboneInfo, max_rows: int) -> Any:
    del backbone, max_rows
    return cursor.value()


_READERS: dict[str, Callable[[JsonCursor, BackboneInfo, int], Any]] = {
    "instances": _instances,
    "inputs": _columns,
    "adapter": _adapters,
    "signature_name": _signature,
}


def _rows_of_columns(
    columns: Mapping[str, list[Any]], adapter: Any, backbone: BackboneInfo
) -> list[RowRequest]:
    if not columns:
        raise _no_columns()
    count = len(next(iter(columns.values())))
    adapters = adapter if isinstance(adapter, list) else [adapter] * count
    if any(len(column) != count for column in (*columns.values(), adapters)):
        raise UsageError('"inputs" and "adapter" have lists of different lengths.')
    rows = ({name: column[row] for name, column in columns.items()} for row in range(count))
    return [_checked(backbone, row, inputs, adapters[row]) for row, inputs in enumerate(rows)]


def _only(backbone: BackboneInfo, value: Any) -> dict[str, Any]:
    """The inputs of a network with one input that is not named."""
    if len(backbone.inputs) != 1:
        names = ", ".join(spec.name for spec in backbone.inputs)
        raise UsageError(f"The inputs have to be an object with the keys {names}.")
    return {backbone.inputs[0].name: value}


def _checked(
    backbone: BackboneInfo, number: int, inputs: Mapping[str, Any], adapter: Any
) -> RowRequest:
    try:
        return RowRequest(as_row(backbone, inputs), adapter)
    except UsageError as error:
        raise UsageError(f"Row {number}: {error}") from None
