"""--config.SECTION.KEY=[1, 2] where a config has a list, for which ml_collections has no parser."""

from __future__ import annotations

import ast
from typing import Any

from absl import flags
from ml_collections import config_flags

SPECIAL = "[](){}'\""


class _ListParser(flags.ArgumentParser):
    """Reads "[8, 8]", "8,8" and "all,single" as lists."""

    def parse(self, argument: Any) -> list[Any]:
        """The list that a text stands for.

        Raises:
          ValueError: it stands for none.
        """
        if isinstance(argument, list):  # What the config has itself.
            return argument
        try:
            value = ast.literal_eval(argument)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
        if isinstance(value, (list, tuple)):
            return list(value)
        if value is None and not any(character in SPECIAL for character in argument):
            return [word.strip() for word in argument.split(",")] if argument.strip() else []
        raise ValueError("expected a list, such as [8, 8] or all,single.")

    def flag_type(self) -> str:
        """The word for it in a program's help."""
        return "list"


def allow_list_settings() -> None:
    """From now on, flags of configs read lists."""
    config_flags.register_flag_parser_for_type(list, _ListParser())
