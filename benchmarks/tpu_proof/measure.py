"""Lowers and compiles a row in processes of their own; what became of each is kept in a file."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# Without the first libtpu asks Google's metadata server for minutes; a TPU VM has one.
ENVIRONMENT = {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
TIME_OUT, FAILED = "time-out", "failed"
# The line in which a compiler that aborts, or Python, says why; "E0000 00:00:1.2  34 file.cc:5] ".
REASON = re.compile(r"^(?:F\d{4} .*?\] |Check failed|[\w.]*(?:Error|Exception)\b)")
LOGGED = re.compile(r"^[A-Z]\d{4} .*?\] ")


class Named(Protocol):
    """What is measured, by a name of its own: a row of rows.py, a part of parts.py."""

    @property
    def name(self) -> str:
        """The name, of its file too."""
        ...


class Found(NamedTuple):
    """What became of a row.

    commit: of the tree. outcome: "compiled", or where it ended and why. seconds: lowering,
    compiling, of a busy machine. figures: of compile.py.
    """

    commit: str
    outcome: str
    seconds: list[float]
    figures: dict[str, Any]


class State:
    """What was found, a line of JSON a row: a row that is there need not be compiled again.

    The file is kept beside the page (docs/results), so that another machine goes on.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        text = self._path.read_text("utf-8") if self._path.exists() else ""
        rows = [json.loads(line) for line in text.splitlines()]
        self._found = {row.pop("name"): Found(**row) for row in rows}

    def load(self, row: Named) -> Found | None:
        """What was found of a row, or None."""
        return self._found.get(row.name)

    def save(self, row: Named, found: Found) -> None:
        """Keep it, whole or not at all."""
        self._found[row.name] = found
        lines = [json.dumps({"name": name, **one._asdict()}) for name, one in self._found.items()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.with_suffix(".tmp").write_text("\n".join(lines) + "\n", "utf-8")
        os.replace(self._path.with_suffix(".tmp"), self._path)


def programs(row: Any, module: str) -> dict[str, list[str]]:
    """The commands that lower and compile a row, one after the other."""
    how = row.topology, str(row.replicas), str(row.effort)
    arguments = {"lower": [row.name, module], "compile": [module, *how]}
    start = [sys.executable, "-m"]
    return {name: [*start, f"{__package__}.{name}", *given] for name, given in arguments.items()}


def measure(row: Named, commit: str, timeout: float, make_programs: Any = programs) -> Found:
    """Run a row's programs, one after another; the first that fails ends it.

    Args:
      timeout: seconds for each of them.
    """
    seconds: list[float] = []
    printed = ""
    with tempfile.TemporaryDirectory() as folder:
        for step, command in make_programs(row, os.path.join(folder, "module")).items():
            started = time.monotonic()
            outcome, printed = _run(step, command, timeout)
            seconds.append(round(time.monotonic() - started, 1))
            if outcome:
                return Found(commit, outcome, seconds, {})
    return Found(commit, "compiled", seconds, json.loads(printed.splitlines()[-1]))


def _run(step: str, command: Sequence[str], timeout: float) -> tuple[str, str]:
    """("" or how it failed, what it printed)."""
    try:
        done = subprocess.run(
            command,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return f"{TIME_OUT} ({step}, {timeout:.0f} s)", ""
    if done.returncode == 0:
        return "", done.stdout
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
    return f"{FAILED} ({step}, {how}): {reason(done.stderr)}", ""


def reason(text: str) -> str:
    """The line of a program's last words that says why it ended, at most 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if REASON.match(line)] or lines or ["it said nothing"]
    return LOGGED.sub("", telling[-1])[:200]
