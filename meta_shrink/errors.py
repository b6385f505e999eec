"""Errors that a user can act on, and the exit code each ends a program with."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_ARTEFACT = 4
EXIT_IN_USE = 5
EXIT_PREEMPTED = 42

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class MetaShrinkError(Exception):
    """One clear sentence for the user: what, where, what to do. Carries its exit code."""

    exit_code = EXIT_FAILURE


def one_line(text: str) -> str:
    """The text with everything escaped that is not printable: a name may hold a line of its own."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def foreign(text: str, length: int = 300) -> str:
    """The beginning of another library's error for a sentence: one line, without the codes that
    colour it on a terminal."""
    return one_line(" ".join(_COLOURS.sub("", text).split()))[:length]


def first_names(names: Sequence[str]) -> str:
    """The first three of many, for a sentence that says how many there are."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


class UsageError(MetaShrinkError, ValueError):
    """A setting, a flag or an argument is wrong."""

    exit_code = EXIT_USAGE


class DataError(MetaShrinkError):
    """Training or evaluation data is missing or broken."""

    exit_code = EXIT_DATA


class ArtefactError(MetaShrinkError):
    """A checkpoint or an exported file is missing, broken or belongs to something else."""

    exit_code = EXIT_ARTEFACT


class DiskError(ArtefactError):
    """The disk is full or fails: nothing is wrong with what was asked, and it can go on later."""


class InUseError(UsageError):
    """Another process is at work in that folder: nothing is wrong, and it can go on later."""

    exit_code = EXIT_IN_USE


class DivergedError(MetaShrinkError):
    """Meta-training met too many non-finite meta-steps in a row."""


class Preempted(MetaShrinkError):
    """SIGTERM or Ctrl-C arrived; the state is saved and the same command resumes."""

    exit_code = EXIT_PREEMPTED


def refuse_url(what: str, path: str) -> None:
    """Refuse a URL where no copy of it will do: what is read or written while a program runs.

    Args:
      what: the flag, key or argument that names it.

    Raises:
      UsageError: it is a URL.
    """
    if "://" in path:
        raise UsageError(
            f"{what} is the URL {path}: this one is read and written on mounted file systems "
            "alone; mount the bucket or disk and give its local path."
        )


_OF_THE_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)


def unwritable(path: str, error: OSError) -> MetaShrinkError:
    """The error for a file or folder that could not be written: the disk's fault, or the name's."""
    reason = error.strerror or str(error)
    if error.errno in _OF_THE_DISK:
        return DiskError(
            f"{path} cannot be written ({reason}): free some space, and the same command goes on."
        )
    return UsageError(
        f"{path} cannot be written ({reason}): choose another place, or see to its permissions."
    )


# Why an adapter is refused. Codes stay as they are from version to version; new ones may come.
ADAPTER_CODES = (
    "id",  # not the name of an adapter: 64 lowercase hexadecimal digits
    "not_found",  # no such file
    "file",  # a link, a directory, a pipe, a device, or not readable
    "size",  # empty, cut off, too long, or changed while it was read
    "pin",  # the SHA-256 is not the expected one
    "header",  # the table of tensors is broken, or not spelt the one way that it may be
    "manifest",  # the facts about the adapter are broken, incomplete or unknown
    "format",  # of a later, or no, version of the format
    "content",  # altered after it was written: content_sha256 is another
    "backbone",  # made for another backbone, or for another revision of it
    "modules",  # its modules are not the selected ones of the backbone
    "missing",  # a tensor is missing
    "extra",  # a tensor does not belong there
    "dtype",  # a tensor has another type than the encoding says
    "shape",  # a tensor has another shape than in the backbone
    "value",  # NaN, infinite or huge numbers, or numbers that the encoding cannot hold
    "scale",  # a scale that is not a positive number
    "default",  # a difference to phi cannot be read without phi
    "probe",  # the backbone answers the fixed input otherwise than where the adapter was made
    "signature",  # not signed, by another key, or for another file
)


class AdapterError(ArtefactError):
    """An adapter that must not be used; `code` is stable, for programs, one of ADAPTER_CODES."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """How it goes to another process."""
        return type(self), (self.code, str(self))


class Overloaded(MetaShrinkError):
    """More requests than fit: try again later."""


class Stopping(MetaShrinkError):
    """The server takes no more requests."""
