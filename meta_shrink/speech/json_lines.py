"""Files with a JSON object in each line."""

from __future__ import annotations

import json

from meta_shrink.errors import DataError
from meta_shrink.speech.tables import LINE_ENDS


def json_lines(content: bytes, where: str) -> list[dict]:
    """The objects of a file with a JSON object in each line.

    Raises:
      DataError: it is none; the line is told.
    """
    try:
        lines = LINE_ENDS.split(content.decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{where} is no UTF-8 text ({error}).") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            one = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            why = getattr(error, "msg", error)  # Its text has a line too, of this one line.
            raise DataError(
                f"{where} is not one JSON object a line: line {number} is {line[:100]!r} ({why})."
            ) from error
        if not isinstance(one, dict):
            raise DataError(f"{where} has a line that is no JSON object: line {number}.")
        found += [one] if line.strip() else []
    return found
