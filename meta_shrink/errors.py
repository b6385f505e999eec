"""Errors that a user can act on, and the exit code each ends a program with."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_ARTEFACT = 4
EXIT_PREEMPTED = 42


class MetaShrinkError(Exception):
    """One clear sentence for the user: what, where, what to do. Carries its exit code."""

    exit_code = EXIT_FAILURE


class UsageError(MetaShrinkError, ValueError):
    """A setting, a flag or an argument is wrong."""

    exit_code = EXIT_USAGE


class DataError(MetaShrinkError):
    """Training or evaluation data is missing or broken."""

    exit_code = EXIT_DATA


class ArtefactError(MetaShrinkError):
    """A checkpoint or an exported file is missing, broken or belongs to something else."""

    exit_code = EXIT_ARTEFACT


class DivergedError(MetaShrinkError):
    """Meta-training met too many non-finite meta-steps in a row."""


class Preempted(MetaShrinkError):
    """SIGTERM or Ctrl-C arrived; the state is saved and the same command resumes."""

    exit_code = EXIT_PREEMPTED
