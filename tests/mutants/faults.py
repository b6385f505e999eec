"""The list of small faults: what one is, how the list is read and checked, how one is put in.

A fault is one edit of one line. The list is the *.toml beside this file, one file an area:

    [[fault]]
    name = "the regulariser is subtracted"
    file = "meta_shrink/training/meta_step.py"
    line = "the line as it stands, without its indentation"
    fault = "what stands there instead"
    tests = ["tests/training/test_meta_step.py::test_that_should_feel_it"]

Two more keys where they are needed: `after`, a text of an earlier line, for a line that the file
has more than once; `equivalent`, the reason why no test can feel this fault.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

LISTS = Path(__file__).resolve().parent


class Fault(NamedTuple):
    """One edit of one line, and the tests that should feel it."""

    area: str
    name: str
    file: str
    line: str
    fault: str
    tests: tuple[str, ...]
    after: str = ""
    equivalent: str = ""


class ListError(Exception):
    """The list does not fit the code; one line for each thing that is wrong."""


def read_faults(folder: Path = LISTS) -> list[Fault]:
    """All faults of a folder's lists, file after file.

    Raises:
      ListError: a fault with a missing or an unknown key, or a name that is used twice.
    """
    faults, wrong = [], []
    for path in sorted(folder.glob("*.toml")):
        for row in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]:
            try:
                faults.append(Fault(path.stem, **{**row, "tests": tuple(row.get("tests", ()))}))
            except TypeError as error:
                wrong.append(f"{path.name}, {row.get('name', row)}: {error}")
    names = Counter(fault.name for fault in faults)
    wrong += [f"The name {name!r} is used {n} times." for name, n in names.items() if n > 1]
    _refuse(wrong)
    return faults


def check(faults: list[Fault], root: Path) -> None:
    """Every fault can be put in, changes the code, and has tests that exist.

    Raises:
      ListError: one cannot.
    """
    wrong = []
    for fault in faults:
        try:
            before, after = source(fault, root), with_fault(fault, root)
            if _meaning(before) == _meaning(after):
                raise ListError("the code is the same with it")
            _check_tests(fault, root)
        except (ListError, SyntaxError, OSError) as error:
            wrong.append(f"{fault.area}.toml, {fault.name!r}: {error}.")
    _refuse(wrong)


def source(fault: Fault, root: Path) -> str:
    """The file of a fault as it stands."""
    return (root / fault.file).read_text(encoding="utf-8")


def with_fault(fault: Fault, root: Path) -> str:
    """The file of a fault with the fault in it.

    Raises:
      ListError: the line is not there, or there more than once.
    """
    lines = source(fault, root).split("\n")
    first = 0
    if fault.after:
        first = next((i for i, text in enumerate(lines) if fault.after in text), len(lines))
    found = [i for i, text in enumerate(lines) if i >= first and text.strip() == fault.line]
    if not found or (len(found) > 1 and not fault.after):
        where = f" after {fault.after!r}" if fault.after else ""
        raise ListError(f"{fault.file} has {len(found)} lines {fault.line!r}{where}, expected one")
    indentation = lines[found[0]][: -len(fault.line)]
    lines[found[0]] = indentation + fault.fault
    return "\n".join(lines)


def _check_tests(fault: Fault, root: Path) -> None:
    if not fault.tests:
        raise ListError("no test is named")
    for test in fault.tests:
        path, _, name = test.partition("::")
        if f"def {name.partition('[')[0]}(" not in _text(root / path):
            raise ListError(f"there is no test {test}")


@cache
def _meaning(code: str) -> str:
    """What is the same for two texts that differ in comments and blanks alone."""
    return ast.dump(ast.parse(code))


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise ListError("\n".join(wrong))
