"""What is wrong with a command line, in one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from meta_shrink.errors import MetaShrinkError, UsageError, refuse_url
from meta_shrink.programs.shipped import find_configs
from meta_shrink.sections import check_keys

CONFIG_FILES = ("config", "set")  # Flags that name a Python file.
OVERRIDE = re.compile(rf"--?(?:no)?({'|'.join(CONFIG_FILES)})\.([^=]+)")


def flag_sentence(error: BaseException, argv: Sequence[str]) -> str:
    """What is wrong with a flag, in one line.

    An error inside a config file arrives wrapped, with a traceback as its text: then its origin
    says it better.
    """
    if told := absent_file(argv) or unknown_key(error, argv):
        return told
    origin = error
    while origin.__context__ is not None:
        origin = origin.__context__
    if isinstance(origin, MetaShrinkError):
        return str(origin)
    first, *more = str(error).splitlines() or [""]
    if isinstance(error, flags.Error) and more:
        return f"{first} {type(origin).__name__}: {origin}"
    text = " ".join(str(error).replace("\\n", " ").replace("\\'", "'").split())
    return text if isinstance(error, flags.Error) else f"{type(error).__name__}: {text}"


def absent_file(argv: Sequence[str]) -> str:
    """That the file of a config is none, "" if it is one."""
    for flag, value in _config_files(argv).items():
        try:
            refuse_url(f"--{flag}", value)
        except UsageError as error:
            return str(error)
        path = value.partition(":")[0]
        if not os.path.isfile(path):
            what = "is a folder" if os.path.isdir(path) else "does not exist"
            return f"--{flag}={path}: the file {what}; expected a Python file with get_config()."
    return ""


def _config_files(argv: Sequence[str]) -> dict[str, str]:
    """{flag: FILE or FILE:ARGUMENT}."""
    found, argv = {}, find_configs(argv)
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and flag in CONFIG_FILES:
            found[flag] = value if equals else after
    return found


def unknown_key(error: BaseException, argv: Sequence[str]) -> str:
    """Which --config.section.key there is not, and what there is; "" for another error."""
    overrides = [match for word in argv if (match := OVERRIDE.match(word))]
    if not overrides or not isinstance(error, AttributeError | KeyError):
        return ""
    files = _config_files(argv)
    for match in overrides:
        flag, path = match[1], match[2]
        if flag not in files:
            continue
        try:
            _look_up(_as_written(flag, files[flag]), path.split("."))
        except UsageError as told:
            return f"--{flag}.{path}: {told}"
    return ""


def _as_written(flag: str, value: str) -> Any:
    """The config of a file, without what the command line changes."""
    word = f"--{flag}={value}"
    alone = flags.FlagValues()
    config_flags.DEFINE_config_file(flag, flag_values=alone, sys_argv=[word])
    alone(["", word])
    return alone[flag].value


def _look_up(place: Any, keys: Sequence[str]) -> None:
    """Raises UsageError at the first key that there is not."""
    where = "The config"
    for key in keys:
        name = key.partition("[")[0]  # An element of a list: key[0].
        if not hasattr(place, "keys"):
            raise UsageError(f"{where} is a value and has no key {name!r}.")
        check_keys(where, [name], (), list(place.keys()))
        place, where = place[name], f"Config section {name!r}"
