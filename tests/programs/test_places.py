"""Every flag and key that names a file or folder refuses a URL, before anything is made."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from meta_shrink import Components, UsageError, build, default_components
from meta_shrink.programs import cli
from meta_shrink.programs.flag_sentences import CONFIG_FILES
from tests.tiny_runs import tiny_config

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {"text", "consent", "licence", "only", "name", "host", "tpu", "imports", "profile"}


def string_flags() -> set[str]:
    """The first argument of every DEFINE_string, and its like, of the programs."""
    found = set()
    for path in (ROOT / "meta_shrink" / "programs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if name in ("DEFINE_string", "DEFINE_multi_string") and isinstance(node, ast.Call):
                found.add(ast.literal_eval(node.args[0]))
    return found


def test_every_flag_is_a_place_or_a_text():
    assert string_flags() == (set(cli.PLACES) | TEXTS)
    assert not set(cli.PLACES) & (TEXTS | set(CONFIG_FILES))


@pytest.mark.parametrize(
    ("program", "flag", "others"),
    [
        ("report", "workdir", ["--workdir=run"]),
        ("report", "out", ["--workdir=run"]),
        ("serve", "tokens", ["--backbone=b", "--adapters=a"]),
        ("configs", "copy", []),
    ],
)
def test_a_url_is_told_and_nothing_is_made(tmp_path, program, flag, others):
    command = [sys.executable, "-m", "meta_shrink", program, *others, f"--{flag}=gs://bucket/run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"error: --{flag} is the URL gs://bucket/run: " in done.stderr
    assert "local path" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["task.data_dir", "warm_start.cache"])
def test_so_is_one_in_a_config(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^{key} is the URL ram://there: "):
        build(tiny_config("reptile", {key: "ram://there"}))
    assert list(tmp_path.iterdir()) == []


def test_a_task_of_ones_own_may_know_urls():
    ours, seen = default_components(), []

    def gaussian(*, data_dir, **options):
        seen.append(data_dir)
        return ours.tasks["gaussian"](**options)

    tasks = Components(*ours)._replace(tasks={**ours.tasks, "gaussian": gaussian})
    build(tiny_config("reptile", {"task.data_dir": "gs://there"}), tasks)
    assert seen == ["gs://there"]
