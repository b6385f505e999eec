"""What the server says about failures: once, and nothing of what clients sent."""

from __future__ import annotations

import logging as std_logging
import traceback
from typing import Any

from absl import logging
from aiohttp import web_response

from meta_shrink.errors import AdapterError

MAX_REMEMBERED = 10_000


class RepeatedLines:
    """Lines to the log, each about something; the same one again is not said twice."""

    def __init__(self) -> None:
        self._said: dict[Any, str] = {}

    def say(self, about: Any, line: str) -> None:
        """Log a line, unless it was the last one about the same."""
        if self._said.get(about) == line:
            return
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
        self._said[about] = line
        logging.error("%s", line)

    def refused(self, adapter: Any, error: AdapterError) -> None:
        """Log that an adapter was refused, unless it is the client's fault."""
        if error.code not in ("id", "not_found"):
            self.say(adapter, f"adapter refused, {error.code}: {error}")

    def forget(self, about: Any) -> None:
        """That is over: should it come again, it is said again."""
        self._said.pop(about, None)


def origin(error: BaseException) -> str:
    """The type of an error and the lines of code it comes from, without its message.

    Messages hold what a client sent: "indices[0] = 4711 is not in [0, 10)".
    """
    places = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{places}".rstrip()


def keep_to_ourselves() -> None:
    """aiohttp names its version to clients, and bytes of broken requests to the log: not here."""
    web_response.__dict__["SERVER_SOFTWARE"] = "meta_shrink"
    logger = std_logging.getLogger("aiohttp.server")
    if _without_data not in logger.filters:
        logger.addFilter(_without_data)


def _without_data(record: std_logging.LogRecord) -> bool:
    """Only the kind of an error stays of it."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None:
        record.msg, record.args = "%s: a request could not be handled", (kind.__name__,)
    record.exc_info = record.exc_text = None
    return True
