"""JSON with one spelling per value, so that equal content has equal bytes and equal hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """The value as ASCII JSON: keys sorted, no blanks.

    Raises:
      ValueError: a float that is not finite.
      TypeError: something that JSON does not know.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def sha256(*parts: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of the parts, one after another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
