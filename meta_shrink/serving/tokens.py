"""Bearer tokens: who may ask. The server knows their hashes only."""

from __future__ import annotations

import hashlib
import hmac
import os

from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.durable_files import open_file
from meta_shrink.errors import UsageError

MAX_FILE_BYTES = 2**20


class Tokens:
    """The SHA-256 of each token that is accepted, one a line of a file, with a note behind it.

    Tokens are random (openssl rand -hex 32): a hash of a word that somebody made up can be
    guessed. Lines that are empty or start with # are left out.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._hashes: frozenset[str] = frozenset()
        self.reload()

    def reload(self) -> int:
        """Read the file again; number of tokens. Where it raises, the former ones stay.

        Raises:
          UsageError: it cannot be read, has no hash, or a line that is none.
        """
        self._hashes = hashes = _read(self._path)
        return len(hashes)

    def accept(self, authorization: str | None) -> bool:
        """Whether a header Authorization has one of the tokens; takes the same time for each."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()
        return any([hmac.compare_digest(digest, known) for known in self._hashes])


def _read(path: str) -> frozenset[str]:
    if not os.path.isfile(path):
        raise UsageError(f"The file of tokens, {path!r}, is no file: name one, or leave it out.")
    try:
        with open_file(path) as file:
            lines = file.read(MAX_FILE_BYTES).decode("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"The file of tokens, {path}, cannot be read ({error}).") from error
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    for number, (word, *_) in enumerate(words, 1):
        if not is_sha256(word):
            raise UsageError(
                f"Entry {number} of {path} is no SHA-256 of a token: 64 lower-case hexadecimal "
                'digits, as printf %s "$TOKEN" | sha256sum prints.'
            )
    if not words:
        raise UsageError(f"{path} has no hash of a token: nobody could ask.")
    return frozenset(word for word, *_ in words)
