"""The configs that come with the package: beside it in a checkout, in it where it is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meta_shrink.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent


def shipped_root() -> Path:
    """The folder that holds `configs/`; setup.py puts it into the wheel."""
    inside = PACKAGE / "shipped"
    return inside if inside.is_dir() else PACKAGE.parent


def find_configs(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the path of a shipped config where a user's path names no file.

    So --config=configs/sinusoid.py:demo works in every folder. The user's own files may import
    from the present folder, where a console script does not look, and shipped ones from `configs`.
    """
    found, before = [], ""
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if before in ("--config", "--set"):
            argument = find_config(argument)
        elif flag in ("--config", "--set") and equals:
            argument = f"{flag}={find_config(value)}"
        elif flag == "--imports":
            look_in(os.getcwd())
        found.append(argument)
        before = argument
    return found


def find_config(value: str) -> str:
    """FILE or FILE:ARGUMENT, the user's own or else the shipped one of that name."""
    path, colon, argument = value.partition(":")
    shipped = shipped_root() / path
    if os.path.exists(path) or Path(path).parts[:1] != ("configs",) or not shipped.is_file():
        look_in(os.getcwd())
        return value
    look_in(str(shipped_root()))
    return f"{shipped}{colon}{argument}"


def as_dict(what: str, value: Any) -> dict[str, Any]:
    """What the get_config() of a file returned, as a dict.

    Args:
      what: the flag that names the file.

    Raises:
      UsageError: it is no ConfigDict, which flags could change.
    """
    to_dict = getattr(value, "to_dict", None)
    if to_dict is None:
        raise UsageError(
            f"The {what}'s get_config() returns {type(value).__name__}, not ConfigDict: return "
            "ml_collections.ConfigDict of it."
        )
    return to_dict()


def look_in(folder: str) -> None:
    """Import from this folder too, last of all, so that it hides no installed module."""
    if folder not in sys.path:
        sys.path.append(folder)
