"""How the library opens files that others made (rule 9 of CONTRIBUTING.md)."""

from __future__ import annotations

import ast

from tests.test_house import LIBRARY, nodes, report, where

# Of this program itself, of a package, and a log that compare has just written.
OWN = ("programs/streams.py", "speech/spelling.py", "programs/comparison/runs.py")


def test_files_are_opened_as_regular_ones():
    """A pipe or a device in place of a file hangs open(): durable_files.open_file refuses it."""
    found = [
        f"{where(path, node)}: {ast.unparse(node)}"
        for path, node in nodes(LIBRARY, ast.Call)
        if ast.unparse(node.func) in ("open", "gzip.open", "tarfile.open")
        and "open_file" not in ast.unparse(node)
        and "fileobj" not in ast.unparse(node)
        and not str(path).endswith(OWN)
    ]
    report("Opened otherwise than by open_file or open_regular:", found)
