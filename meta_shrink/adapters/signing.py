"""Signatures beside adapters, <file>.sig: OpenSSF Model Signing bundles, made with a private key.

Needs the extra `sign`; nothing here uses the network. Both files are read once, and what is read
is what is signed or verified, whatever happens to the files meanwhile.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.header import check_order
from meta_shrink.adapters.reading import parse_stored, read_adapter_file
from meta_shrink.adapters.regular_file import read_regular_file
from meta_shrink.durable_files import open_file, write_atomically, write_durably
from meta_shrink.errors import AdapterError, UsageError, unwritable

SUFFIX = ".sig"
MAX_SIGNATURE_BYTES = 2**20
MAX_KEY_BYTES = 2**16


def sign_adapter(path: str, private_key: str) -> str:
    """Signs an adapter and returns the path of the signature, which replaces an earlier one.

    private_key: path of an unencrypted PEM file, on the curve P-256, P-384 or P-521.

    Raises:
      UsageError: no such key, or the extra is not installed.
      AdapterError: the file is not an adapter.
      DiskError, UsageError: the signature cannot be written there, or the temporary folder.
    """
    content = read_adapter_file(path)
    check_order(parse_stored(content, where=path).entries, path)
    config = _model_signing("signing").Config()
    _use_key(config.use_elliptic_key_signer, "private_key", private_key)
    with _temporary_copy(content) as copy:
        config.sign(copy, copy + SUFFIX)
        signature = read_regular_file(copy + SUFFIX, MAX_SIGNATURE_BYTES)
    with _told_where(path + SUFFIX):
        write_atomically(path + SUFFIX, signature)
    return path + SUFFIX


def verify_signature(path: str, public_key: str) -> str:
    """The SHA-256 that a signature vouches for: load the adapter with it as its pin.

    public_key: path of a PEM file.

    Raises:
      UsageError: no such key, or the extra is not installed.
      AdapterError: "signature": missing, broken, by another key or for another file; or why the
        adapter cannot be read.
      DiskError, UsageError: the temporary folder cannot be written.
    """
    config = _model_signing("verifying").Config()
    _use_key(config.use_elliptic_key_verifier, "public_key", public_key)
    content = read_adapter_file(path)
    bundle = _read_signature(path + SUFFIX)
    with _temporary_copy(content) as copy:
        write_durably(copy + SUFFIX, bundle)
        try:
            config.verify(copy, copy + SUFFIX)
        except Exception as error:  # Whatever a hostile bundle makes the library raise.
            raise AdapterError(
                "signature",
                f"{path}{SUFFIX} does not vouch for {path} with the key {public_key} "
                f"({type(error).__name__}): use the adapter as its maker signed it.",
            ) from error
    return sha256(content)


@contextmanager
def _temporary_copy(content: bytes) -> Iterator[str]:
    """Path of a copy of an adapter, alone in a folder that is removed at the end."""
    with _told_where("The temporary folder"), tempfile.TemporaryDirectory() as directory:
        copy = os.path.join(directory, "adapter")
        write_durably(copy, content)
        yield copy


@contextmanager
def _told_where(path: str) -> Iterator[None]:
    """What cannot be written within the `with` block is a sentence that names the path."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _read_signature(path: str) -> bytes:
    try:
        return read_regular_file(path, MAX_SIGNATURE_BYTES)
    except AdapterError as error:
        raise AdapterError("signature", f"There is no usable signature: {error}") from error


def _model_signing(part: str) -> Any:
    """A module of the package, imported at its first use: half a second, and an extra."""
    try:
        return importlib.import_module(f"model_signing.{part}")
    except ImportError as error:
        raise UsageError(
            f"Signatures need model_signing, which cannot be imported ({error}): "
            "pip install 'meta_shrink[sign]'."
        ) from error


def _use_key(use: Any, name: str, path: str) -> None:
    try:
        with open_file(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_KEY_BYTES:
                raise ValueError("it is too large")
            if file.read().count(b"-----BEGIN PUBLIC KEY") > 1:
                raise ValueError("it holds several keys, of which one alone would count")
        use(**{name: path})
    except Exception as error:  # A key of another kind fails in many ways: RSA has no curve.
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise UsageError(
            f"{name}={path} is not an unencrypted PEM file of an elliptic-curve key ({reason}): "
            "make one on the curve P-256, P-384 or P-521; RSA and Ed25519 keys do not sign here."
        ) from error
