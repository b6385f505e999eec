"""Coverage-guided fuzzing of the adapter reader.

python -m tests.adapters.fuzz_atheris -runs=100000
"""

from __future__ import annotations

import sys

import atheris

# atheris has it only on some platforms, says its type.
with atheris.instrument_imports(include=["meta_shrink.adapters"]):  # pyright: ignore
    from tests.adapters import fuzz_target


def main() -> None:
    """Runs until the flags of libFuzzer say stop, or an input must not have passed."""
    atheris.Setup(sys.argv, fuzz_target.check_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
