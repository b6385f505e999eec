"""How every program starts and ends: absl flags, one clear sentence per error, its exit code."""

from __future__ import annotations

import io
import logging as std_logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from meta_shrink.errors import EXIT_OK, EXIT_USAGE, MetaShrinkError, UsageError, one_line

# What a wrong flag raises; the ones after flags.Error come from --config files and their keys.
FLAG_ERRORS = (flags.Error, MetaShrinkError, AttributeError, ImportError, KeyError, OSError)
FLAG_ERRORS += (SyntaxError,)


def run(main: Callable[[list[str]], Any]) -> None:
    """Parses the flags, calls main([program, remaining arguments ...]) and exits.

    The exit code is what `main` returns, or that of the MetaShrinkError it raises, which becomes
    one line on stderr. Wrong flags end with 2. Any other exception is a bug: with its traceback.
    """
    app.run(lambda argv: exit_code(main, argv), flags_parser=parse_flags)


def exit_code(main: Callable[[list[str]], Any], argv: list[str]) -> int:
    """Runs `main`; its exit code."""
    logging.set_verbosity(logging.WARNING)
    # Evaluation traces a function for each scheme on purpose; TensorFlow warns of each.
    std_logging.getLogger("tensorflow").setLevel(std_logging.ERROR)
    if isinstance(sys.stdout, io.TextIOWrapper):  # Lines in order with those of the progress.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        return main(argv) or EXIT_OK
    except MetaShrinkError as error:
        print(one_line(f"error: {error}"), file=sys.stderr)
        return error.exit_code


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
        rest = flags.FLAGS(argv)
        for name in flags.FLAGS:
            # A --config file that could not be read raises only when it is used.
            getattr(flags.FLAGS[name].value, "to_dict", None)
    except FLAG_ERRORS as error:
        print(f"error: {flag_sentence(error)}", file=sys.stderr)
        print(f"Flags of this program: {argv[0]} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except SystemExit:  # Only absl's help flags end a program while flags are read, with 1.
        sys.exit(EXIT_OK)
    return rest


def flag_sentence(error: BaseException) -> str:
    """What is wrong with a flag, in one line.

    An error inside a config file arrives wrapped, with a traceback as its text: then its origin
    says it better.
    """
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


def print_table(table: Any) -> None:
    """Prints a reporting.summary.Table with aligned columns."""
    rows = [table.columns, *([str(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.columns))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
    print()
