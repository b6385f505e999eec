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
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.errors import AdapterError, Overloaded, Stopping, UsageError
from meta_shrink.serving.predict_request import PredictRequest
from meta_shrink.serving.request_body import SlowBody


class Problem(NamedTuple):
    """An HTTP status, a stable code for programs, and one sentence without paths of the server."""

    status: int
    code: str
    error: str

    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"error": self.error, "code": self.code}


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
    if isinstance(error, SlowBody):
        return Problem(408, "slow", str(error))
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
