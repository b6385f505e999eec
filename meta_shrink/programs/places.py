"""Flags that name files and folders, and what becomes of those that are URLs: local copies."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from meta_shrink.durable_files import read_file
from meta_shrink.errors import UsageError, refuse_url
from meta_shrink.remote.mirror import Mirror
from meta_shrink.remote.store import is_remote

PLACES = ("workdir", "out", "backbone", "data", "adapter", "adapters", "from", "like", "copy")
PLACES += ("tokens", "prosody", "prosody_adapter", "real", "spoken", "corpus", "verifier_file")
PLACES += ("lexicon",)
# Read again while a program runs, so that a copy would not do; NAME=DIR; a file that may not be
# there yet; and those of `local_only`.
_LIVE = {"adapters", "tokens", "spoken", "verifier_file"}
_WRITTEN = ("out", "copy")


def check_places() -> None:
    """An empty folder (an unset variable of a script, say) would be the present one.

    Raises:
      UsageError: a flag that names a file or folder is empty, or is a URL where that cannot be.
    """
    for name in PLACES:
        for value in _values(name):
            if not value.strip():
                raise UsageError(f"--{name}= is empty: name a file or folder.")
            if name in _LIVE:
                refuse_url(f"--{name}", value)
            for place in value.split(","):  # Several runs of report.
                _refuse_no_store(f"--{name}={place}", place)


def _refuse_no_store(flag: str, place: str) -> None:
    """Refuse what looks like a URL of a store and is none."""
    match = re.fullmatch(r"([A-Za-z][\w+.-]*):(/+).*", place, re.DOTALL)
    if not match or os.path.exists(place):
        return
    scheme, slashes = match[1].lower(), match[2]
    if scheme in ("file", "local"):
        raise UsageError(f"{flag} is on this machine: give its path, without {match[1]}://.")
    if scheme == "memory":
        raise UsageError(f"{flag} would be lost when this program ends: give a local path.")
    if slashes == "/":  # As os.path.normpath and pathlib leave it.
        raise UsageError(f"{flag} is no URL: write {match[1]}:// with two slashes.")


def local_only(flag: str) -> None:
    """This program's flag takes no URL: what it names is written for hours, by several runs."""
    _LIVE.add(flag)


def name_of(path: str) -> str:
    """Of a folder its own, of a file without its ending; NAME or NAME-CONFIG of a data set of
    tensorflow-datasets, whose folder is called by a version."""
    name = os.path.basename(path)
    if not os.path.isdir(path):
        return re.sub(r"(?i)(\.tar)?\.\w+$", "", name)
    try:
        facts = json.loads(read_file(os.path.join(path, "dataset_info.json")))
        return "-".join(filter(None, [facts["name"], facts.get("configName")]))
    except (OSError, ValueError, LookupError, TypeError):  # None of tensorflow-datasets.
        return name


class Copies:
    """The local copies of what flags name by URLs."""

    def __init__(self, scratch: str) -> None:
        self._scratch, self._mirrors = scratch, dict[str, Mirror]()

    def local(self, flag: str, value: str) -> str:
        """The value of a flag, or the path of its copy.

        Raises:
          UsageError, ArtefactError: of the store.
        """
        if not is_remote(value):
            return value
        if "," in value:  # Several runs of report.
            return ",".join(self.local(flag, part) for part in value.split(","))
        parent = os.path.join(self._scratch, str(len(self._mirrors)))
        os.mkdir(parent)
        mirror = Mirror(value, parent)
        if flag in _WRITTEN:
            mirror.check_writable()
        mirror.pull()
        print(f"{mirror.url}: worked on in {mirror.path}.", file=sys.stderr)
        self._mirrors[mirror.path] = mirror
        return mirror.path

    def of(self, path: str) -> Mirror | None:
        """The mirror whose copy is there; None for a folder of this machine's."""
        return self._mirrors.get(path)

    def push(self) -> None:
        """Upload what changed."""
        for mirror in self._mirrors.values():
            mirror.push()


_open: list[Copies] = []  # Of the program that runs.


@contextlib.contextmanager
def local_places() -> Iterator[None]:
    """Give flags the paths of local copies instead of URLs; what changed is uploaded at the end.

    Raises:
      UsageError, ArtefactError: of the store.
    """
    if not any(is_remote(value) for name in PLACES for value in _values(name)):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="meta_shrink_") as scratch:
        copies = Copies(scratch)
        for name in PLACES:
            local = [copies.local(name, value) for value in _values(name)]
            if local:
                flag = flags.FLAGS[name]
                flag.value = local if isinstance(flag.value, list) else local[0]
        _open.append(copies)
        try:
            yield
        finally:
            _open.remove(copies)
            copies.push()


@contextlib.contextmanager
def owned(path: str, *, is_chief: bool) -> Iterator[Callable[[], None]]:
    """Own the folder of a run, which may be a copy of one in a store.

    Yields:
      What uploads the changes of a job's chief, and what makes the copy of another process what
      the store has. Nothing to do for a local folder, which has its lock.

    Raises:
      InUseError: another process owns it.
      ArtefactError: of the store.
    """
    mirror = _open[-1].of(path) if _open else None
    if mirror is None:
        yield lambda: None
    elif not is_chief:
        yield mirror.pull
    else:
        with mirror.leased():
            yield mirror.push


def require_writable(path: str) -> None:
    """Before long work whose result goes into a folder that may be a copy of one in a store.

    Raises:
      ArtefactError: nothing can be written there.
    """
    mirror = _open[-1].of(path) if _open else None
    if mirror is not None:
        mirror.check_writable()


def _values(name: str) -> list[str]:
    given: Any = flags.FLAGS[name].value if name in flags.FLAGS else None
    values = given if isinstance(given, list) else [given]
    return [value for value in values if isinstance(value, str)]
