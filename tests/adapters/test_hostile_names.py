"""`meta-shrink verify|inspect|sign` of hostile names and files: no forged line, no long read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from meta_shrink.adapters.command_line import main
from tests.adapters.test_command_line import GOOD, ROOT, written

NAMES = ["a\nok: b", "a\rok: b", "a\x1b[2K", "a (checked: signature)", "a\u202eb", "a\u2028b"]
NAMES += ["a\x85b", os.fsdecode(b"a\xffb"), "a b", "caf\u00e9", "'a\\nb'"]


@pytest.mark.parametrize("content", [GOOD, GOOD[:-1]], ids=["good", "cut"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_forges_no_line(name, content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, content, name)
    assert main(["verify", name]) == (0 if content is GOOD else 4)
    main(["inspect", name])
    out, err = capsys.readouterr()
    verdict, *facts = out.splitlines()
    assert verdict.startswith("ok: " if content is GOOD else "size: ")
    assert verdict.isprintable()
    assert verdict.count("(checked: ") == (content is GOOD) + ("checked" in name)
    assert not any(line.startswith("ok") for line in facts)
    assert len(err.splitlines()) == (content is not GOOD)
    if content is GOOD and name != "caf\u00e9":  # The name is quoted, its quotes escaped.
        assert verdict.startswith(f"ok: {name!r} (checked: content")


def test_names_reach_a_terminal_of_ascii(tmp_path):
    path = written(tmp_path, GOOD, "caf\u00e9")
    command = [sys.executable, "-m", "meta_shrink", "verify", path]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\\xe9" in done.stdout


@pytest.mark.parametrize(
    "start", [b"\0" * 16, b"\xff" * 16, (64).to_bytes(8, "little") + b"{}", GOOD[:-1]]
)
@pytest.mark.parametrize("command", [["verify"], ["inspect"], ["sign", "--private_key=x"]])
def test_junk_is_refused_after_its_header(start, command, tmp_path, monkeypatch):
    """A gigabyte of it, of which no more is read than a header may be long."""
    path = written(tmp_path, start)
    os.truncate(path, 2**30)
    read = []
    monkeypatch.setattr(os, "read", lambda *arguments: read.append(arguments))
    assert main([*command, path]) == 4
    assert not read
