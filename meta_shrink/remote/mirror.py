"""Folders of an object store (gs://, s3://, ...), worked on in a local copy.

An object store has neither rename nor locks. What a program reads is copied before it starts, and
what it changed in the copy is uploaded, at checkpoints and at its end: each object is replaced
whole, those that say that others are whole (a checkpoint's .sha256, a SavedModel's .pb) come last
and go first. Whatever moment a kill cuts off, the folder is one that a local kill may leave too.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator

from meta_shrink.durable_files import remove_file
from meta_shrink.errors import UsageError
from meta_shrink.remote.lease import Lease
from meta_shrink.remote.store import Store, is_own

# A checkpoint is whole when its hashes are there, a backbone when its SavedModel and table are.
_MARKS = (".sha256", "/saved_model.pb", "/backbone.json")
_WRITING = re.compile(r"(.*ckpt-\d+)\.writing")
Stamps = dict[str, tuple[int, ...]]


class Mirror:
    """A local copy of one file or folder of a store.

    url: of the file or folder. path: of its copy, in `parent`, an empty local folder; whatever a
    program writes beside it, below `parent`, is uploaded beside the url.

    Raises:
      UsageError: no folder of a bucket, a name that is not uploaded, or a kind of URL that cannot
        be read here.
    """

    def __init__(self, url: str, parent: str) -> None:
        scheme, _, place = url.partition("://")
        folder, _, name = place.rstrip("/").rpartition("/")
        if not folder:
            raise UsageError(f"{url} is no folder of a bucket: write {scheme}://BUCKET/FOLDER.")
        if name in (".", "..") or is_own(name) or is_own(f"{name}/file"):
            raise UsageError(
                f"{url} ends with {name!r}, which is never uploaded: take another name."
            )
        self.url, self.path = url.rstrip("/"), os.path.join(parent, name)
        self._store, self._parent = Store.of(f"{scheme}://{folder}"), parent
        self._pulled: dict[str, str] = {}
        self._local: Stamps = {}
        self._may_push: Callable[[], None] = lambda: None

    def pull(self) -> None:
        """Make the copy what the store has now.

        Raises:
          ArtefactError: the store cannot be read.
        """
        there = self._store.listing(os.path.basename(self.path))
        gone = self._pulled.keys() - there.keys()
        for name in gone:
            remove_file(os.path.join(self._parent, name))
        came = [name for name, stamp in there.items() if self._pulled.get(name) != stamp]
        for name in came:
            self._store.download(name, os.path.join(self._parent, name))
        now, self._pulled = self._stamps(), there
        self._local.update({name: now[name] for name in came if name in now})
        for name in gone:
            self._local.pop(name, None)

    def push(self) -> None:
        """Upload what changed in the copy since the last pull or push.

        Raises:
          ArtefactError: the store cannot be written.
        """
        self._may_push()
        now = self._stamps()
        changed = [name for name, stamp in now.items() if self._local.get(name) != stamp]
        for name in sorted(changed, key=lambda name: (name.endswith(_MARKS), name)):
            self._store.upload(os.path.join(self._parent, name), name)
            self._local[name] = now[name]
        gone = self._local.keys() - now.keys()
        for name in sorted(gone, key=lambda name: (not name.endswith(_MARKS), name)):
            self._store.remove(name)
            del self._local[name]

    @contextlib.contextmanager
    def leased(self) -> Iterator[None]:
        """Own the folder: pull it again, and let nobody else in, until the block has ended.

        Raises:
          InUseError: another process owns it, or has taken it over when `push` is called.
          ArtefactError: the store cannot be read or written.
        """
        lease = Lease(self._store, os.path.basename(self.path))
        try:
            self.pull()
            self._may_push = lease.check
            try:
                yield
            finally:
                self.push()
        finally:
            lease.release()

    def check_writable(self) -> None:
        """Before work whose result goes there.

        Raises:
          ArtefactError: an object cannot be made, or cannot be removed.
        """
        probe = f".lease-{secrets.token_hex(4)}.tmp"
        self._store.create(probe, b"")
        self._store.remove(probe)

    def _stamps(self) -> Stamps:
        """{name: what changes when the file does} of the files that belong into the store."""
        found: Stamps = {}
        for folder, _, names in os.walk(self._parent):
            for name in names:
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                short = os.path.relpath(path, self._parent)
                found[short] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        cut_off = {match[1] for match in map(_WRITING.fullmatch, found) if match}
        return {
            name: stamp
            for name, stamp in found.items()
            if not is_own(name) and re.sub(r"\.[^/]*$", "", name) not in cut_off
        }


def local_copy(url: str) -> str:
    """A copy of a folder of a store, for as long as this process lives: its path.

    Raises:
      UsageError: nothing is there.
      ArtefactError: it cannot be read.
    """
    scratch = tempfile.TemporaryDirectory(prefix="meta_shrink_")
    atexit.register(scratch.cleanup)
    mirror = Mirror(url, scratch.name)
    mirror.pull()
    if not os.path.exists(mirror.path):
        raise UsageError(f"{url} holds nothing: check the address, or fill it first.")
    return mirror.path
