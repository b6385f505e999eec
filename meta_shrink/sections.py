"""Sections of a config as the keyword arguments of functions."""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from meta_shrink.errors import UsageError

# What a parameter's annotation asks of a config's value, and how people call it.
KINDS = {
    "int": (numbers.Integral, "a whole number"),
    "float": (numbers.Real, "a number"),
    "bool": ((bool, np.bool_), "True or False"),
    "str": (str, "text"),
    "None": (type(None), "None"),
}
MOST = 2**31 - 1  # TensorFlow counts, and draws by seeds, in 32 bits.
DICT = re.compile(r"(?:collections\.abc\.)?Mapping\[.*\]( \| None)?")
LIST = re.compile(r"(?:collections\.abc\.)?Sequence\[(.*)\]")


def section_of(config: Any, dotted: str) -> tuple[Any, str]:
    """The section in which a setting like "train.steps" is, None if there is none, and its name."""
    *sections, name = dotted.split(".")
    for section in sections:
        config = config.get(section) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else None, name


def named(section: str, table: Mapping[str, Any], options: Mapping[str, Any], **given: Any) -> Any:
    """Call table[options["name"]] with the other options as keyword arguments."""
    rest = {key: value for key, value in options.items() if key != "name"}
    function = choose(f"{section}.name", table, options.get("name"))
    return call(section, function, rest, also=("name",), **given)


def call(
    section: str,
    function: Callable[..., Any],
    options: Mapping[str, Any],
    also: Iterable[str] = (),
    **given: Any,
) -> Any:
    """function(**given, **options).

    Args:
      also: further keys of the section, which others take.

    Raises:
      UsageError: no dict, a key of the section that the function does not take, one that it
        misses, or a value of another kind than it is annotated with.
    """
    if not isinstance(options, Mapping):
        raise UsageError(f"Config section {section!r} is {options!r}; expected a dict.")
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    takes = [p for p in parameters if p.kind is not p.VAR_KEYWORD and p.name not in given]
    needed = [p.name for p in takes if p.default is p.empty]
    optional = [p.name for p in takes if p.default is not p.empty]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        optional += [key for key in options if key not in needed]
    check_keys(f"Config section {section!r}", options, needed, dict.fromkeys((*optional, *also)))
    check_kinds(section, function, options)
    try:
        signature.bind(**given, **options)
    except TypeError as error:  # It does not take what every function of that kind is given.
        raise UsageError(f"Config section {section!r}: {function!r}: {error}.") from error
    return function(**given, **options)


def check_kinds(section: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse text, a fraction or more than MOST where the function's annotation counts, and NaN
    everywhere.

    Only annotations made of KINDS, lists of them, and Mapping are looked at.

    Raises:
      UsageError: it begins with the setting's dotted name.
    """
    parameters = inspect.signature(function).parameters
    for name, value in options.items():
        text = _written(parameters[name].annotation) if name in parameters else ""
        if mapping := DICT.fullmatch(text):
            if not isinstance(value, Mapping) and not (value is None and mapping[1]):
                raise UsageError(f"{section}.{name} is {value!r}; expected a dict.")
            continue
        inner = LIST.fullmatch(text)
        kinds = _kinds(inner[1] if inner else text)
        told = " or ".join(KINDS[kind][1] for kind in kinds) or "a number"
        if kinds and inner:
            whole = isinstance(value, (list, tuple)) and all(_fits(kinds, one) for one in value)
            told = f"a list, each of it {told}"
        else:
            whole = _fits(kinds, value)
        if not whole:
            raise UsageError(f"{section}.{name} is {value!r}; expected {told}.")
        counted: Any = value if inner else [value]
        if "int" in kinds and any(
            isinstance(x, numbers.Integral) and abs(int(x)) > MOST for x in counted
        ):
            raise UsageError(f"{section}.{name} is {value!r}; expected at most {MOST:,}.")


def _written(annotation: Any) -> str:
    text = getattr(annotation, "__forward_arg__", None) or getattr(annotation, "__name__", None)
    return text or str(annotation)


def _kinds(text: str) -> list[str]:
    """The names of an annotation such as "int | None"; none if one is not of KINDS."""
    names = text.split(" | ")
    return names if set(names) <= set(KINDS) else []


def _fits(kinds: list[str], value: Any) -> bool:
    """Whether a value is of one of these kinds (of any, for none) and no NaN."""
    if isinstance(value, numbers.Real) and math.isnan(value):
        return False
    return not kinds or any(_is_a(kind, value) for kind in kinds)


def _is_a(kind: str, value: Any) -> bool:
    is_bool = isinstance(value, KINDS["bool"][0])
    return isinstance(value, KINDS[kind][0]) and (kind == "bool" or not is_bool)


def check_keys(
    what: str, given: Iterable[str], needed: Iterable[str], optional: Iterable[str] = ()
) -> None:
    """Refuse keys that are unknown, with the nearest known one, and the lack of needed ones.

    Raises:
      UsageError: it begins with `what`.
    """
    given, known = list(given), [*needed, *optional]
    keys = f"its keys are {', '.join(known)}." if known else "it has no keys."
    if unknown := [name for name in given if name not in known]:
        raise UsageError(f"{what} has no key {unknown[0]!r}{nearest(unknown[0], known)}; {keys}")
    if missing := [name for name in needed if name not in given]:
        raise UsageError(f"{what} lacks {', '.join(missing)}; {keys}")


def choose(key: str, table: Mapping[str, Any], name: Any) -> Any:
    """table[name].

    Raises:
      UsageError: there is none of that name.
    """
    if name not in table:
        raise UsageError(
            f"{key} is {name!r}; expected one of {', '.join(sorted(table))}{nearest(name, table)}."
        )
    return table[name]


def nearest(name: Any, known: Iterable[str]) -> str:
    """ " (nearest: 'known')" of a misspelt name, "" where none is near."""
    found = difflib.get_close_matches(str(name), [str(other) for other in known], 1)
    return f" (nearest: {found[0]!r})" if found else ""
