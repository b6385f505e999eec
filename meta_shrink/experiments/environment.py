"""What a result was made with: versions, command, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import keras
import tensorflow as tf


def commit_of(path: str) -> str:
    """The commit that a file is of, with "+" where tracked files differ from it.

    "unknown" for a file that its repository does not track: of a package that is installed below
    somebody's own project, whose commit says nothing of it.
    """
    git = ["git", "-C", os.path.dirname(path)]
    tracked, commit = ["ls-files", "--error-unmatch", path], ["--dirty=+", "--exclude=*"]
    try:
        for arguments in (tracked, ["describe", "--always", *commit]):
            done = subprocess.run([*git, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def environment(seconds: float) -> dict[str, Any]:
    """Versions, command and commit of this run."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "cpu_cores": os.cpu_count(),
        "commit": commit_of(os.path.abspath(__file__)),
        "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        "seconds": round(seconds, 1),
    }
