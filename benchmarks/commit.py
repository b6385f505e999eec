"""The commit that a measurement is of."""

import subprocess


def present_commit() -> str:
    """The commit of the working tree; with "+" where files other than results differ from it."""
    commit = _git("rev-parse", "--short=7", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs/results")
    return f"{commit}+" if commit and changed else commit or "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()
