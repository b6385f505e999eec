"""`meta-shrink PROGRAM ...`: which programs there are, and how one starts.

Importing this module is quick and imports no TensorFlow; a program's own imports come when it runs.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from meta_shrink import __version__, stopping
from meta_shrink.errors import EXIT_OK, EXIT_USAGE
from meta_shrink.programs.streams import open_standard_streams

# Title -> program -> what it does. A program is the module of its name in this folder.
PROGRAMS = {
    "Experiments": {
        "train": "meta-train an experiment, or go on with one",
        "evaluate": "adapt a trained run to held-out tasks and say which modules are task-specific",
        "report": "write the page of a run, or compare several",
        "compare": "train and evaluate several methods with several seeds",
        "sweep": "search for the settings of an experiment",
    },
    "Data and configs": {
        "prepare-data": "bring pictures or recordings into the form that the configs read",
        "configs": "list the configs that are installed, or copy them",
    },
    "Production": {
        "export-backbone": "write the network of a run, which takes adapters as inputs",
        "export-tasks": "write held-out tasks of a run as files",
        "export-litert": "write the network of a run for phones and boards",
        "adapt": "make an adapter for each new task",
        "enroll": "make an adapter for each new speaker from recordings",
        "synthesize": "say a text, or a recording's words, in an enrolled voice",
        "score-speech": "say how good voices are, beside real recordings",
        "serve": "answer over HTTP",
    },
}
# Those of adapters/command_line.py, which needs no TensorFlow at all.
OF_ADAPTERS = {
    "inspect": "show what an adapter holds",
    "verify": "check adapters, one line for each",
    "sign": "write the signature of an adapter",
}
HELP = ("-h", "-help", "--help", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line (default: that of the process); the exit code, unless it exits."""
    open_standard_streams()  # Here too, as not all of them start by `cli.run`.
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in OF_ADAPTERS:
        return importlib.import_module("meta_shrink.adapters.command_line").main([name, *rest])
    if any(name in programs for programs in PROGRAMS.values()):
        start(name, f"meta-shrink {name}", rest)
    elif name in HELP:
        print(overview())
    elif name == "--version":
        print(f"meta_shrink {__version__}")
    else:
        print(f"error: {unknown(name)}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


def start(name: str, typed: str, arguments: Sequence[str] | None = None) -> None:
    """Runs a program and exits.

    Args:
      name: in PROGRAMS. typed: how the user calls it, for what is printed and recorded.
      arguments: default: those of the process.
    """
    stopping.end_at_once()
    # TensorFlow's own start-up chatter hides what the user should read.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.argv = [typed, *(sys.argv[1:] if arguments is None else arguments)]
    program = importlib.import_module(f"meta_shrink.programs.{name.replace('-', '_')}")
    program.cli.run(program.main)


def overview() -> str:
    """All programs in groups, a line each."""
    lines = ["meta-shrink PROGRAM ...        meta-shrink PROGRAM --help"]
    for title, programs in (*PROGRAMS.items(), ("Adapter files", OF_ADAPTERS)):
        lines += ["", f"{title}:", *(f"  {name:<16} {does}" for name, does in programs.items())]
    return "\n".join(lines)


def unknown(name: str) -> str:
    """What to say about a program that there is not."""
    names = [name for programs in PROGRAMS.values() for name in programs] + [*OF_ADAPTERS]
    near = difflib.get_close_matches(name.replace("_", "-"), names, 1)
    advice = f"Did you mean {near[0]}?" if near else "meta-shrink --help lists them."
    return f"there is no program {name!r}. {advice}"
