"""Plain data and arrays out of a pickle, which is parsed and never run.

miniImageNet is kept in pickles, and unpickling runs whatever code a file names. Even an unpickler
that admits numpy's constructors alone hands them states that a file made up: arrays of invented
pointers, shapes of terabytes. So nothing here unpickles. The table of `pickletools`, the standard
library's disassembler, splits the file into instructions; the few that build lists, dicts, numbers
and strings are carried out on plain Python values. The names of numpy's constructors are words to
look for: what they "return" is a record of type, shape and bytes, checked before an array is made.
Any other instruction or name ends with a DataError.
"""

from __future__ import annotations

import codecs
import mmap
import pickletools
from collections.abc import Callable
from typing import Any

from meta_shrink.durable_files import open_file
from meta_shrink.errors import DataError
from meta_shrink.images.pickle_records import Array, Dtype, Refused, call, fill, name_of, require

_MARK = object()
# What instructions on made-up or cut off bytes raise.
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OSError, MemoryError)
_DAMAGE += (OverflowError, RecursionError, SyntaxError, AssertionError)
# Instructions that push their argument. Strings of Python 2 (BINSTRING ...) arrive as str, each
# byte the character of its number (Latin-1).
_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_VALUES |= {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_VALUES |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_VALUES |= {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_INSTRUCTIONS = {one.code.encode("latin-1"): one for one in pickletools.opcodes}


def load_plain_pickle(path: str) -> Any:
    """The value of a pickle of dicts, lists, tuples, numbers, strings and numpy arrays.

    Raises:
      DataError: it cannot be read, is damaged, or holds anything else.
    """
    try:
        with open_file(path) as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with content:
                return _Machine().run(content)
    except Refused as error:
        raise DataError(
            f"{path} holds {error}, which is not plain data: nothing was run."
        ) from error
    except _DAMAGE as error:
        raise DataError(f"{path} is not a whole pickle file ({str(error)[:200]}).") from error


class _Machine:
    """A stack and a memo, and what the instructions do to them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: Any) -> Any:
        """The value that the instructions of a readable leave on the stack."""
        while code := content.read(1):
            instruction = _INSTRUCTIONS[code]
            argument = None
            if instruction.name == "STRING":
                argument = _quoted(content.readline())
            elif instruction.arg is not None:
                argument = instruction.arg.reader(content)
            if instruction.name == "STOP":
                return self.pop()
            self.step(instruction.name, argument)
        raise ValueError("it is cut off")

    def step(self, name: str, argument: Any) -> None:
        """Carries out one instruction."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"the instruction {name}")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        """The topmost value, which is no mark."""
        if self.stack[-1] is _MARK:
            raise ValueError("a mark without a list")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """The values above the topmost mark, which goes too."""
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise ValueError("a list without a mark")
        values = self.stack[start + 1 :]
        del self.stack[start:]
        return values

    def put(self, index: int | None) -> None:
        """Remembers the topmost value."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        value = self.memo[index]
        self.push(value.value if isinstance(value, Array) else value)

    def extend(self, values: list[Any]) -> None:
        require(self.stack[-1], list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        fill(require(self.stack[-1], dict), values[::2], values[1::2])

    def reduce(self) -> None:
        """Calls a known name."""
        arguments, name = self.pop(), self.pop()
        self.push(call(name, arguments))

    def build(self) -> None:
        """Gives the topmost record its state; an array then takes its place."""
        state, record = self.pop(), self.pop()
        if not isinstance(record, Array | Dtype):
            raise Refused("a state for something else than an array")
        record.build(state)
        self.push(record.value if isinstance(record, Array) else record)


def _dict(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.push(fill({}, values[::2], values[1::2]))


def _stack_name(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(name_of(f"{require(module, str)} {require(name, str)}"))


def _quoted(line: bytes) -> str:
    """A string of protocol 0, as Python 2 wrote them."""
    body = line.removesuffix(b"\n")
    if len(body) < 2 or body[:1] not in (b"'", b'"') or body[-1:] != body[:1]:
        raise ValueError("a string without quotes")
    return codecs.escape_decode(body[1:-1])[0].decode("latin-1")


_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "MARK": lambda m, _: m.push(_MARK),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push((m.pop(),)),
    "TUPLE2": lambda m, _: m.push((m.pop(), m.pop())[::-1]),
    "TUPLE3": lambda m, _: m.push((m.pop(), m.pop(), m.pop())[::-1]),
    "DICT": lambda m, _: _dict(m),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda m, text: m.push(name_of(text)),
    "STACK_GLOBAL": lambda m, _: _stack_name(m),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}
