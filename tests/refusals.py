"""Command lines that a program refuses, in one process: TensorFlow takes 4 s to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

CODE = """
import contextlib, importlib, io, json, sys
from absl import flags
from meta_shrink.programs import cli

name, *command_lines = json.loads(sys.argv[1])
program, found = importlib.import_module(f"meta_shrink.programs.{name}"), []
for arguments in command_lines:
    for flag in flags.FLAGS:
        flags.FLAGS[flag].unparse()
    sys.argv, told = [name, *arguments], io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            cli.run(program.main)
        except SystemExit as end:
            found.append([end.code, told.getvalue()])
print(json.dumps(found))
"""


def refusals(program: str, *command_lines: Sequence[str]) -> list[tuple[int, str]]:
    """(exit code, what it said) of each command line of a program, none of which ends with a
    signal."""
    command = [sys.executable, "-c", CODE, json.dumps([program, *command_lines])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [(code, told) for code, told in json.loads(done.stdout.splitlines()[-1])]
    assert len(found) == len(command_lines)
    return found
