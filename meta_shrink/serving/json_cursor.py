"""JSON read piece by piece, so that what is too much is refused before it is built."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from meta_shrink.errors import UsageError

MAX_DEPTH = 100
_BLANKS = re.compile(r"[ \t\n\r]*")


class JsonCursor:
    """A place in a JSON text, which moves on with every call.

    Numbers have to be finite, and keys different. All methods raise ValueError where the text is
    no JSON, and UsageError where it is, but not ours.
    """

    def __init__(self, content: bytes | bytearray) -> None:
        self._text = content.decode("utf-8")
        if "[" * MAX_DEPTH in self._text:
            raise RecursionError
        self._at = 0
        self._decoder = json.JSONDecoder(
            parse_constant=_no_constant, object_pairs_hook=_without_twins
        )

    def peek(self) -> str:
        """The character that the next value starts with, "" at the end."""
        self._skip_blanks()
        return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whole."""
        self._skip_blanks()
        value, self._at = self._decoder.raw_decode(self._text, self._at)
        return value

    def elements(self) -> Iterator[Any]:
        """The elements of an array, each built when it is asked for."""
        self._expect("[")
        if self._accept("]"):
            return
        while True:
            yield self.value()
            if self._accept("]"):
                return
            self._expect(",")

    def names(self) -> Iterator[str]:
        """The names in an object; after each, the caller has to take its value."""
        self._expect("{")
        if self._accept("}"):
            return
        found = set()
        while True:
            if self.peek() != '"':
                raise ValueError(f"expected a key at character {self._at}")
            key = self.value()
            if key in found:
                raise _twins()
            found.add(key)
            self._expect(":")
            yield key
            if self._accept("}"):
                return
            self._expect(",")

    def expect_end(self) -> None:
        """Refuses what stands after the value."""
        if self.peek():
            raise ValueError(f"more after its end, at character {self._at}")

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at

    def _accept(self, character: str) -> bool:
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            raise ValueError(f"expected {character} at character {self._at}")


@contextmanager
def json_told() -> Iterator[None]:
    """What is no JSON within the `with` block is a UsageError of one sentence."""
    try:
        yield
    except UsageError:
        raise
    except UnicodeDecodeError as error:
        raise UsageError(f"The request is not JSON (byte {error.start} is no UTF-8).") from None
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise UsageError(f"The request is not JSON ({reason}).") from None


def _no_constant(name: str) -> NoReturn:
    raise UsageError(f"The request holds {name}; numbers have to be finite.")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; two adapters in one would leave open which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _twins()
    return found


def _twins() -> UsageError:
    return UsageError("The request has an object with the same key twice.")
