"""How every program starts and ends: absl flags, one clear sentence per error, its exit code."""

from __future__ import annotations

import logging as std_logging
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from absl import app, flags, logging

from meta_shrink.errors import (
    EXIT_ARTEFACT,
    EXIT_OK,
    EXIT_PREEMPTED,
    EXIT_USAGE,
    DiskError,
    MetaShrinkError,
    UsageError,
    one_line,
    unwritable,
)
from meta_shrink.programs.flag_sentences import flag_sentence
from meta_shrink.programs.list_settings import allow_list_settings
from meta_shrink.programs.places import check_places, local_places
from meta_shrink.programs.shipped import find_configs
from meta_shrink.programs.streams import open_standard_streams
from meta_shrink.stopping import STOPPED, Interrupted, StopSignal

# What a wrong flag raises; the ones after flags.Error come from --config files and their keys.
FLAG_ERRORS = (flags.Error, MetaShrinkError, AttributeError, ImportError, KeyError, OSError)
FLAG_ERRORS += (SyntaxError,)
MOST_LISTED = 12  # modules
HELP = {"-h", "-help", "--help", "--helpshort"}
# The extra of setup.py that brings a package.
EXTRAS = {
    "tensorflow": "cpu",
    "keras": "cpu",
    "optuna": "search",
    "aiohttp": "serve",
    "prometheus_client": "serve",
    "jinja2": "report",
    "matplotlib": "report",
}

allow_list_settings()  # Before a program defines the flag of its config.

IMPORTS = flags.DEFINE_multi_string(
    "imports",
    [],
    "Module with your own models, tasks, losses or algorithms in its value COMPONENTS, by its "
    "dotted name; executes it. Repeatable.",
)


def run(main: Callable[[list[str]], Any]) -> None:
    """Parses the flags, calls main([program, remaining arguments ...]) and exits.

    The exit code is what `main` returns, or that of the MetaShrinkError it raises, which becomes
    one line on stderr. Wrong flags end with 2, a signal with 42 (stopping.py). Any other exception
    is a bug: with its traceback.
    """
    open_standard_streams()
    if HELP & set(sys.argv[1:]):
        print(help_text(sys.modules[main.__module__]))
        sys.exit(EXIT_OK)
    app.run(lambda argv: exit_code(main, argv), flags_parser=parse_flags)


def exit_code(main: Callable[[list[str]], Any], argv: list[str]) -> int:
    """Runs `main`; its exit code."""
    logging.set_verbosity(logging.WARNING)
    # Evaluation traces a function for each scheme on purpose; TensorFlow warns of each.
    std_logging.getLogger("tensorflow").setLevel(std_logging.ERROR)
    try:
        with StopSignal() as stop, stop.abandonable(), local_places():
            return main(argv) or EXIT_OK
    except MetaShrinkError as error:
        print(one_line(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = f"pip install 'meta_shrink[{EXTRAS[package]}]'"
        print(
            f"error: this program needs {package}, which is not installed: {extra}.",
            file=sys.stderr,
        )
        return EXIT_ARTEFACT
    except OSError as error:
        told = unwritable(error.filename or "A file", error)
        if not isinstance(told, DiskError):
            raise
        print(one_line(f"error: {told}"), file=sys.stderr)
        return told.exit_code
    except (Interrupted, KeyboardInterrupt):  # A second Ctrl-C.
        print(f"error: {STOPPED}", file=sys.stderr)
        return EXIT_PREEMPTED


def no_arguments(argv: Sequence[str]) -> None:
    """Refuses what stands on the command line beside flags.

    Raises:
      UsageError: there is something.
    """
    if argv[1:]:
        raise UsageError(f"unexpected argument {argv[1]!r}; settings are flags, --name=value.")


def parse_flags(argv: Sequence[str]) -> list[str]:
    """The arguments that are not flags; exits with 2 where a flag is wrong, with 0 after --help."""
    try:
        _check_backend()
        rest = flags.FLAGS(find_configs(argv))
        for name in flags.FLAGS:
            # A --config file that could not be read raises only when it is used.
            getattr(flags.FLAGS[name].value, "to_dict", None)
        check_places()
    except FLAG_ERRORS as error:
        print(f"error: {flag_sentence(error, argv)}", file=sys.stderr)
        print(f"Flags of this program: {argv[0]} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except SystemExit:  # Only absl's help flags end a program while flags are read, with 1.
        sys.exit(EXIT_OK)
    return rest


def _check_backend() -> None:
    """Before a config, which is Python, imports Keras."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise UsageError(
            f"KERAS_BACKEND is {backend!r}, and 'tensorflow' is expected: unset it here."
        )


def help_text(program: ModuleType) -> str:
    """What a program does, and its flags: its own and those that it shares with others."""
    lines = [(program.__doc__ or "").strip(), "", "Flags:"]
    modules = flags.FLAGS.flags_by_module_dict()
    ours = [name for name in modules if name.startswith(__package__ or "") or name == sys.argv[0]]
    for flag in sorted((flag for name in ours for flag in modules[name]), key=lambda f: f.name):
        about = (flag.help or "").partition(";   ")[0]  # absl adds "repeat this option ...".
        text = f"--{'[no]' * flag.boolean}{flag.name}: {about}"
        text += "" if flag.default in (None, "", [], ()) else f" Default: {flag.default_as_str}."
        lines.append(textwrap.fill(text, 98, initial_indent="  ", subsequent_indent="      "))
    return "\n".join(lines)


def print_table(table: Any) -> None:
    """Prints a reporting.summary.Table with aligned columns."""
    rows = [table.columns, *([str(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    print()


def modules_in_words(names: Sequence[str], total: int) -> str:
    """Names of modules for people: all of many are not listed."""
    return f"all {total} modules" if len(names) == total > MOST_LISTED else ", ".join(names)
