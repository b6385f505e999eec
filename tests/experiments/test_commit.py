"""The commit that an evaluation names is that of the package, or none."""

from __future__ import annotations

import subprocess
from pathlib import Path

from meta_shrink.experiments.environment import commit_of


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_a_tracked_file_and_says_what_differs(tmp_path):
    git(tmp_path, "init", "--quiet")
    own, other, installed = (tmp_path / name for name in ("own.py", "other.py", "installed.py"))
    own.touch()
    other.touch()
    git(tmp_path, "add", "own.py", "other.py")
    git(tmp_path, "commit", "--quiet", "--message=a")
    git(tmp_path, "tag", "v1")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD")
    installed.touch()  # As a package in a virtual environment within the repository.
    assert commit_of(str(own)) == commit
    assert commit_of(str(installed)) == "unknown"
    other.write_text("changed")
    assert commit_of(str(own)) == f"{commit}+"


def test_outside_of_any_repository_it_is_unknown(tmp_path):
    (tmp_path / "own.py").touch()
    assert commit_of(str(tmp_path / "own.py")) == "unknown"
