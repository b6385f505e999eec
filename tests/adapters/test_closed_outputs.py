"""`meta-shrink inspect|verify|sign` into a closed pipe, a full disk or nothing: it works on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink.adapters.writing import write_adapter
from tests.adapters import samples

ROOT = Path(__file__).resolve().parents[2]
GOOD = samples.encoded(samples.backbone())
# What the shell does with the output; "late": the reader leaves after the first line.
OUTPUTS = {
    "full": "{} > /dev/full",
    "both full": "{} > /dev/full 2> /dev/full",
    "closed": "{} >&-",
    "all closed": "{} <&- >&- 2>&-",
    "pipe": "{} | true; exit ${{PIPESTATUS[0]}}",
    "late": "{} | head -1; exit ${{PIPESTATUS[0]}}",
}


def run(output: str, *arguments: str) -> tuple[int, str]:
    """(Exit code, what stands in both outputs) of a command line."""
    line = OUTPUTS[output].format(f'{sys.executable} -m meta_shrink "$@"')
    command = ["bash", "-c", line, "bash", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.programs
@pytest.mark.parametrize("output", OUTPUTS)
def test_each_command_ends_as_if_it_could_be_read(tmp_path, output):
    """The last of many files decides, and is looked at though nobody reads of the first."""
    good = write_adapter(GOOD, str(tmp_path))
    (tmp_path / "bad").write_bytes(GOOD[:-1])
    bad = str(tmp_path / "bad")
    cases = [
        (["verify", *[good] * 50], 0),
        (["verify", *[good] * 50, bad], 4),
        (["verify", bad, *[good] * 50], 4),
        (["inspect", good], 0),
        (["inspect", good, "--json"], 0),
        (["inspect", bad], 4),
        (["sign", bad, "--private_key=none"], 4),
        (["verify", ""], 2),
        (["verify"], 2),
        (["verify", "--help"], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["prove"], 2),
    ]
    for arguments, code in cases:
        ended, told = run(output, *arguments)
        assert (ended, "Traceback" in told, "Exception" in told) == (code, False, False), told


def test_names_that_the_output_does_not_know_are_printed(tmp_path, monkeypatch):
    """They are not among what cannot be written."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (tmp_path / "\u00e9").write_bytes(GOOD)
    for name in (str(tmp_path / "\u00e9"), os.fsdecode(b"\xff")):
        code, told = run("late", "verify", name)
        assert code == (0 if "\u00e9" in name else 4) and ("xe9" in told or "udcff" in told)
