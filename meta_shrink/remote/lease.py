"""One owner of a folder in an object store, which has no locks: a lease that must be renewed.

The lease is an object that only one process can create. Its owner writes a new count into it every
15 s; who finds a lease whose count has not changed for 60 s takes it over, so that no clocks are
compared. Of several who do, the one that creates the marker of the takeover wins.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

from meta_shrink.errors import ArtefactError, InUseError
from meta_shrink.remote.store import Store

SECONDS, LOOKS = 60.0, 4  # A lease without a renewal ends; renewals and looks in this time.


class Lease:
    """A lease that this process holds until `release`, or until another one took it over.

    Args:
      store: of the folder's parent.
      name: of the folder in it.

    Raises:
      InUseError: another process holds it, and renews it.
      ArtefactError: the store cannot be read or written.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        *,
        seconds: float = SECONDS,
        log: Callable[[str], object] = print,
    ) -> None:
        self._store, self._name = store, f"{name}/.lease"
        self._url, self._seconds = f"{store.url}/{name}", seconds
        self._me, self._count, self._lost = secrets.token_hex(8), 0, False
        if not store.create(self._name, self._content()):
            self._wait_until_it_ends(log)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Before something is written.

        Raises:
          InUseError: another process took the folder over.
        """
        if self._lost:
            raise InUseError(
                f"{self._url} was taken over by another process, as this one could not renew its "
                f"lease for {self._seconds:.0f} s: nothing more is written there."
            )

    def release(self) -> None:
        """Let others in at once."""
        self._ended.set()
        self._thread.join()
        if self._is_mine():
            self._store.remove(self._name)

    def _content(self) -> bytes:
        holder = {"host": socket.gethostname(), "process": os.getpid()}
        return json.dumps({"owner": self._me, "count": self._count, **holder}).encode()

    def _is_mine(self) -> bool:
        return _owner(self._store.read(self._name)) == self._me

    def _wait_until_it_ends(self, log: Callable[[str], object]) -> None:
        """Take over a lease that is not renewed."""
        seen = self._store.read(self._name)
        log(f"{self._url} has a lease of {_holder(seen)}; waiting {self._seconds:.0f} s for it.")
        for _ in range(LOOKS):
            time.sleep(self._seconds / LOOKS)
            now = self._store.read(self._name)
            if now is None:
                if self._store.create(self._name, self._content()):
                    return
                now = self._store.read(self._name)
            if now != seen:
                self._refuse(now)
        marker = f"{self._name}-of-{_owner(seen)}-ended"
        if not self._store.create(marker, self._content()):
            self._refuse(seen)
        try:
            # Between the last look and the marker another one may have taken it, and gone.
            if self._store.read(self._name) != seen:
                self._refuse(seen)
            self._store.write(self._name, self._content())
        finally:
            self._store.remove(marker)

    def _refuse(self, holder: bytes | None) -> None:
        raise InUseError(
            f"{self._url} is in use by {_holder(holder)}: wait for it, stop it, or choose another "
            "folder."
        )

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / LOOKS):
            try:
                if self._lost or not self._is_mine():
                    self._lost = True
                    return
                self._count += 1
                self._store.write(self._name, self._content())
            except ArtefactError:  # The network; the next one may go through.
                continue


def _read(content: bytes | None) -> dict[str, object]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _owner(content: bytes | None) -> object:
    return _read(content).get("owner", "unknown")


def _holder(content: bytes | None) -> str:
    found = _read(content)
    return f"process {found.get('process', 'unknown')} on {found.get('host', 'unknown')}"
