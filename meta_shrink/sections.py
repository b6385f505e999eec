"""Sections of a config as the keyword arguments of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from meta_shrink.errors import UsageError


def named(section: str, table: Mapping[str, Any], options: Mapping[str, Any], **given: Any) -> Any:
    """Call table[options["name"]] with the other options as keyword arguments."""
    rest = {key: value for key, value in options.items() if key != "name"}
    return call(section, choose(f"{section}.name", table, options.get("name")), rest, **given)


def call(section: str, function: Callable[..., Any], options: Mapping[str, Any], **given: Any):
    """function(**given, **options).

    Raises:
      UsageError: a key of the section that the function does not take, or one that it misses.
    """
    try:
        inspect.signature(function).bind(**given, **options)
    except TypeError as error:
        known = [name for name in inspect.signature(function).parameters if name not in given]
        raise UsageError(
            f"Config section {section!r}: {error}; its keys are {', '.join(known)}."
        ) from error
    return function(**given, **options)


def choose(key: str, table: Mapping[str, Any], name: Any) -> Any:
    """table[name].

    Raises:
      UsageError: there is none of that name.
    """
    if name not in table:
        raise UsageError(f"{key} is {name!r}; expected one of {', '.join(sorted(table))}.")
    return table[name]
