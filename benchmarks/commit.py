"""The commit that a measurement is of."""

import subprocess


def present_commit() -> str:
    """The commit of the working tree; with "+" where files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=7", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
