"""The predict API of TensorFlow Serving, as JSON, with adapters: requests to rows and back.

Rows:     {"instances": [ROW, ...]}; a ROW is {"<input>": ..., "adapter": NAME}, or the array itself
          where the network has one input. Answer: {"predictions": [...]}.
Columns:  {"inputs": {"<input>": [...], ...}}, or the array itself. Answer: {"outputs": ...}.
Adapters: "adapter" beside "instances" or "inputs" is for all rows that have none of their own; with
          "inputs" it may be a list, one for each row. A NAME is an id, an alias, or null (phi).
Failures: of a part of the rows: their predictions (or outputs) are null, and the answer, 200, has
          "errors": [{"row": 3, "code": "not_found", "error": "..."}]. Of all: the status of the
          first, and {"error": "...", "code": "..."}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.errors import AdapterError, Overloaded, Stopping, UsageError
from meta_shrink.serving.rows import as_row

SIGNATURE = "serving_default"
_KEYS = {"instances", "inputs", "adapter", "signature_name"}


class RowRequest(NamedTuple):
    """Checked inputs of one row and the adapter it names, which may be anything."""

    inputs: dict[str, np.ndarray]
    adapter: Any


class PredictRequest(NamedTuple):
    """The rows of a request; columnar: how it was written, and is to be answered."""

    rows: list[RowRequest]
    columnar: bool


class Problem(NamedTuple):
    """An HTTP status, a stable code for programs, and one sentence without paths of the server."""

    status: int
    code: str
    error: str

    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"error": self.error, "code": self.code}


def parse_predict(body: bytes, backbone: BackboneInfo, *, max_rows: int) -> PredictRequest:
    """The rows of a request.

    Raises:
      UsageError: it is not as this module's docstring says, or has the wrong inputs.
    """
    request = _parse_json(body)
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise UsageError('The request has to be an object with either "instances" or "inputs".')
    if unknown := sorted(set(request) - _KEYS):
        raise UsageError(f"The request has the unknown key {unknown[0][:64]!r}.")
    if request.get("signature_name", SIGNATURE) != SIGNATURE:
        raise UsageError(f'"signature_name" can only be "{SIGNATURE}".')
    columnar = "inputs" in request
    rows = (_columns if columnar else _instances)(request, backbone)
    if not 1 <= len(rows) <= max_rows:
        raise UsageError(f"The request has {len(rows)} rows; expected 1 to {max_rows}.")
    return PredictRequest([_checked(backbone, *row) for row in enumerate(rows)], columnar)


def answer(
    request: PredictRequest, outcomes: Sequence[Mapping[str, np.ndarray] | BaseException]
) -> tuple[int, bytes, list[str]]:
    """(status, body, code of each row that failed) from the outputs or the error of each row."""
    results = [_result(outcome) for outcome in outcomes]
    problems = {row: r for row, r in enumerate(results) if isinstance(r, Problem)}
    codes = [problem.code for problem in problems.values()]
    if len(problems) == len(results):
        first = problems[0]
        return first.status, json.dumps(first.body()).encode(), codes
    values = [None if isinstance(result, Problem) else result for result in results]
    whole = {"outputs": _by_output(values)} if request.columnar else {"predictions": _bare(values)}
    if problems:
        whole["errors"] = [{"row": row, **problems[row].body()} for row in problems]
    return 200, json.dumps(whole, allow_nan=False).encode(), codes


def problem(error: BaseException) -> Problem:
    """What a client may know of an error. Messages of files stay here: they hold paths."""
    if isinstance(error, Overloaded):
        return Problem(429, "overloaded", str(error))
    if isinstance(error, Stopping):
        return Problem(503, "stopping", str(error))
    if isinstance(error, AdapterError):
        return _adapter_problem(error)
    if isinstance(error, UsageError):
        return Problem(400, "request", str(error))
    return Problem(500, "internal", "The network failed on this row; the server's log says more.")


def _adapter_problem(error: AdapterError) -> Problem:
    if error.code == "id":
        return Problem(400, error.code, str(error))
    if error.code == "not_found":
        return Problem(404, error.code, "There is no adapter of this id or alias.")
    sentence = f"The file of this adapter must not be used ({error.code}): it has to be replaced."
    return Problem(503, error.code, sentence)


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except UsageError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise UsageError(f"The request is not JSON ({reason}).") from None


def _no_constant(name: str) -> NoReturn:
    raise UsageError(f"The request holds {name}; numbers have to be finite.")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; two adapters in one would leave open which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError("The request has an object with the same key twice.")
    return found


def _instances(request: Mapping[str, Any], backbone: BackboneInfo) -> list[tuple[Any, Any]]:
    """(inputs, adapter) of each row of the row form."""
    instances = request["instances"]
    if not isinstance(instances, list):
        raise UsageError('"instances" has to be a list with one entry for each row.')
    rows = []
    for instance in instances:
        inputs = dict(instance) if isinstance(instance, dict) else _only(backbone, instance)
        rows.append((inputs, inputs.pop("adapter", request.get("adapter"))))
    return rows


def _columns(request: Mapping[str, Any], backbone: BackboneInfo) -> list[tuple[Any, Any]]:
    """(inputs, adapter) of each row of the columnar form."""
    columns, adapter = request["inputs"], request.get("adapter")
    columns = columns if isinstance(columns, dict) else _only(backbone, columns)
    if not columns or not all(isinstance(column, list) for column in columns.values()):
        raise UsageError('"inputs" has to hold a list for each input, one entry for each row.')
    count = len(next(iter(columns.values())))
    adapters = adapter if isinstance(adapter, list) else [adapter] * count
    if any(len(column) != count for column in (*columns.values(), adapters)):
        raise UsageError('"inputs" and "adapter" have lists of different lengths.')
    rows = [{name: column[row] for name, column in columns.items()} for row in range(count)]
    return list(zip(rows, adapters, strict=True))


def _only(backbone: BackboneInfo, value: Any) -> dict[str, Any]:
    """The inputs of a network with one input that is not named."""
    if len(backbone.inputs) != 1:
        names = ", ".join(spec.name for spec in backbone.inputs)
        raise UsageError(f"The inputs have to be an object with the keys {names}.")
    return {backbone.inputs[0].name: value}


def _checked(backbone: BackboneInfo, number: int, row: tuple[Any, Any]) -> RowRequest:
    inputs, adapter = row
    try:
        return RowRequest(as_row(backbone, inputs), adapter)
    except UsageError as error:
        raise UsageError(f"Row {number}: {error}") from None


def _result(outcome: Mapping[str, np.ndarray] | BaseException) -> dict[str, Any] | Problem:
    """Outputs as lists."""
    if isinstance(outcome, BaseException):
        return problem(outcome)
    if not all(np.isfinite(value).all() for value in outcome.values()):
        return Problem(500, "not_finite", "The network's answer to this row is not finite.")
    return {name: np.asarray(value).tolist() for name, value in outcome.items()}


def _bare(rows: Sequence[dict[str, Any] | None]) -> list[Any]:
    """Rows of a network with one output are that output."""
    return [next(iter(row.values())) if row is not None and len(row) == 1 else row for row in rows]


def _by_output(rows: Sequence[dict[str, Any] | None]) -> Any:
    names = next(row for row in rows if row is not None)
    columns = {name: [None if row is None else row[name] for row in rows] for name in names}
    return columns if len(columns) > 1 else next(iter(columns.values()))
