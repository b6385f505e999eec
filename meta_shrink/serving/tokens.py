"""Bearer tokens: who may ask. The server knows their hashes only."""

from __future__ import annotations

import hashlib
import hmac
import os

from meta_shrink.adapters.manifest import is_sha256
from meta_shrink.durable_files import open_file
from meta_shrink.errors import UsageError

MAX_FILE_BYTES = 2**20
# Of `printf %s "$TOKEN"` or `echo "$TOKEN"` where TOKEN is not set: no token at all would do.
_OF_NO_TOKEN = {hashlib.sha256(text).hexdigest() for text in (b"", b" ", b"\n", b"\r\n")}


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
          UsageError: it cannot be read, is too large, has no hash, or a line that is none or that
            of an empty token.
        """
        self._hashes = hashes = _read(self._path)
        return len(hashes)

    def accept(self, authorization: str | None) -> bool:
        """Whether a header Authorization has one of the tokens; takes the same time for each."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return False
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        return any([hmac.compare_digest(digest, known) for known in self._hashes])


def _read(path: str) -> frozenset[str]:
    if not os.path.isfile(path):
        raise UsageError(f"The file of tokens, {path!r}, is no file: name one, or leave it out.")
    try:
        with open_file(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
        lines = content.decode("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"The file of tokens, {path}, cannot be read ({error}).") from error
    if len(content) > MAX_FILE_BYTES:  # A part of it would leave out tokens without a word.
        raise UsageError(
            f"The file of tokens, {path}, has more than {MAX_FILE_BYTES} bytes: take out those "
            "that may ask no more, and the notes."
        )
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    for number, (word, *_) in enumerate(words, 1):
        if not is_sha256(word):
            raise UsageError(
                f"Entry {number} of {path} is no SHA-256 of a token: 64 lower-case hexadecimal "
                'digits, as printf %s "$TOKEN" | sha256sum prints.'
            )
        if word in _OF_NO_TOKEN:
            raise UsageError(
                f"Entry {number} of {path} is the SHA-256 of an empty token, which would let "
                "everybody in: set TOKEN, and hash it again."
            )
    if not words:
        raise UsageError(f"{path} has no hash of a token: nobody could ask.")
    return frozenset(word for word, *_ in words)
