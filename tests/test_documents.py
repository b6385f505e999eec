"""Code blocks of the documents: Python runs as it stands, commands name flags that there are."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink.programs.command_line import OF_ADAPTERS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
COMMAND = re.compile(
    r"(?:python -m (?:launch\.|(?=export\.))|\bmeta-shrink )([a-z][\w.-]*)((?:\s+(?:--\S+))*)"
)
BUILT_IN = {"help"}


def blocks(*documents: Path, language: str) -> list[str]:
    found = [BLOCK.findall(path.read_text()) for path in documents]
    return [code for file in found for kind, code in file if kind == language]


def run_in(folder: Path, code: str) -> str:
    (folder / "block.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "block.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.programs
def test_the_library_example_and_how_it_is_served(tmp_path):
    """README.md, then production.md in the same folder."""
    (example,) = blocks(ROOT / "README.md", language="python")
    out = run_in(tmp_path, example)
    assert "first" in out and "last" in out
    for block in blocks(ROOT / "docs" / "production.md", language="python"):
        run_in(tmp_path, block)


@pytest.mark.slow
def test_your_own(tmp_path):
    """The blocks follow one another; then the folder that they wrote is trained on by a program."""
    pytest.importorskip("vega_datasets")
    run_in(tmp_path, "\n".join(blocks(ROOT / "docs" / "your_own.md", language="python")))
    command = [sys.executable, "-m", "launch.train", "--config=configs/arrays.py:sigma_maml"]
    command += [f"--config.task.data_dir={tmp_path / 'data' / 'barley'}", "--config.train.steps=3"]
    command += [f"--workdir={tmp_path / 'workdir'}", "--config.adapt.steps=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_no_python_block_is_left_out():
    tested = {"README.md", "production.md", "your_own.md", "voices.md"}
    others = [path for path in DOCUMENTS if path.name not in tested]
    assert blocks(*others, language="python") == []


def flags_of(module: str, seen: set[str] | None = None) -> set[str]:
    """Names of the flags that a program and the programs' modules it imports define."""
    seen = set() if seen is None else seen
    path = ROOT / f"{module.replace('.', '/')}.py"
    if module in seen or not path.is_file():
        return set()
    seen.add(module)
    found = set(BUILT_IN)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and "DEFINE" in ast.unparse(node.func):
            name = node.args[0]
            found |= {str(name.value)} if isinstance(name, ast.Constant) else set()
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for inner in modules:
                found |= flags_of(inner, seen)
    return found


@functools.cache
def flags_of_program(program: str) -> set[str]:
    return flags_of(f"meta_shrink.programs.{program}")


def commands() -> list[tuple[str, str]]:
    """Those of the documents, and those that messages and docstrings name."""
    found = []
    folders = ("meta_shrink", "configs", "launch", "export")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    scripts = [path for path in (ROOT / "launch").rglob("*") if path.suffix in (".sh", ".yaml")]
    for path in [*DOCUMENTS, *code, *scripts, ROOT / "launch" / "Dockerfile"]:
        text = path.read_text().replace("\\\n", " ")
        found += [(path.name, match[0]) for match in COMMAND.finditer(text)]
    return found


@pytest.mark.parametrize(("document", "command"), sorted(set(commands())))
def test_commands_name_programs_and_flags_that_there_are(document, command):
    match = COMMAND.match(command)
    assert match is not None
    program = match[1].rstrip(".").replace("-", "_").replace(".", "_")
    if program in OF_ADAPTERS:  # Their flags are argparse's, and have tests of their own.
        return
    known = flags_of_program(program)
    assert known, f"{document}: no program {match[1]}"
    for word in match[2].split():
        name = word.removeprefix("--").split("=")[0].split(".")[0].strip("`,;:)")
        assert name in known or name.removeprefix("no") in known, f"{document}: {word}"
