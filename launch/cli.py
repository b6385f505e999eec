"""How every program starts and ends: absl flags, one clear sentence per error, its exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from meta_shrink.errors import EXIT_OK, EXIT_USAGE, MetaShrinkError, UsageError


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, calls `main()` and exits with its value or with its error's exit code.

    A MetaShrinkError becomes `error: <its sentence>` on stderr; any other exception is a bug and
    keeps its traceback.
    """
    app.run(lambda _: main_or_error(main), flags_parser=parse_flags)


def main_or_error(main: Callable[[], int | None]) -> int:
    """The exit code of `main()`."""
    try:
        return main() or EXIT_OK
    except MetaShrinkError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parse_flags(argv: Sequence[str]) -> list[str]:
    """absl's flags from the command line; exits with 2 where one is wrong, with 0 after --help."""
    try:
        rest = flags.FLAGS(argv)
        if rest[1:]:
            raise UsageError(f"unexpected argument {rest[1]!r}; settings are flags, --name=value.")
    except (flags.Error, MetaShrinkError) as error:
        print(f"error: {error}", file=sys.stderr)
        print(f"Flags of this program: {argv[0]} --help", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", EXIT_USAGE))
    except SystemExit:  # Only absl's help flags end a program while flags are read, with 1.
        sys.exit(EXIT_OK)
    return rest
