"""Reading adapters with every check, so that a loaded one is a whole one of this backbone.

Nothing is parsed that is not bounded, and nothing is run: open, size, SHA-256, header, manifest,
content hash, backbone, tensors, values. The probe is left (`checks`): it needs the network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from meta_shrink.adapters import encodings, header
from meta_shrink.adapters.backbone_info import (
    DEFAULT_FILE,
    EXTRA,
    BackboneInfo,
    version_directory,
)
from meta_shrink.adapters.canonical_json import sha256 as sha256_of
from meta_shrink.adapters.encodings import Arrays
from meta_shrink.adapters.manifest import (
    Manifest,
    is_sha256,
    parse_manifest,
)
from meta_shrink.adapters.regular_file import read_regular_file, read_start
from meta_shrink.errors import AdapterError

SUFFIX = ".safetensors"
# Where no backbone says how long an adapter can be.
MAX_FILE_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Adapter:
    """A checked adapter. id: SHA-256 of its file. tensors: {name: float32, read-only}, decoded,
    those of backbone.tensors in that order. num_bytes: of the file.
    """

    id: str
    manifest: Manifest
    tensors: Mapping[str, np.ndarray]
    num_bytes: int


@dataclass(frozen=True, eq=False)
class StoredAdapter:
    """A file that is whole, for whatever backbone. arrays: {name: as stored}, views of the file."""

    id: str
    manifest: Manifest
    arrays: Mapping[str, np.ndarray]
    entries: tuple[header.Entry, ...]
    num_bytes: int


def adapter_path(directory: str, adapter_id: str) -> str:
    """Where the adapter of an id is, which may come from a request. Load it with sha256=id.

    Raises:
      AdapterError: "id": not an id; "file": the directory is a symbolic link.
    """
    if not is_sha256(adapter_id):
        raise AdapterError("id", "An adapter's id is 64 hexadecimal digits, all in lower case.")
    if os.path.islink(directory.rstrip(os.sep)):
        raise AdapterError(
            "file", f"{directory} is a symbolic link: name the directory that it points to."
        )
    return os.path.join(directory, adapter_id + SUFFIX)


def load_adapter(
    path: str,
    backbone: BackboneInfo,
    *,
    sha256: str | None = None,
    default: Arrays | None = None,
) -> Adapter:
    """The adapter in a file, read once; nothing else is touched.

    sha256: refuse any other file. default: tensors of phi, for int8_delta.

    Raises:
      AdapterError: see ADAPTER_CODES.
    """
    content = read_adapter_file(path, max_bytes(backbone))
    return parse_adapter(content, backbone, sha256=sha256, default=default, where=path)


def load_again(
    path: str, backbone: BackboneInfo, manifest: Manifest, *, default: Arrays, sha256: str
) -> Adapter:
    """The adapter of this SHA-256, which `load_adapter` gave before for this backbone.

    Equal bytes pass equal checks, so only that they are equal is checked.

    Args:
      manifest: of that adapter.

    Raises:
      AdapterError: "not_found", "file", "size" or "pin".
    """
    content = read_regular_file(path, max_bytes(backbone))
    _check_pin(sha256_of(content), sha256, path)
    payload = _payload(content, header.payload_start(content), manifest.encoding)
    entries = encodings.stored_entries(backbone, manifest.encoding)
    stored = {entry.name: header.stored_array(payload, entry) for entry in entries}
    tensors = encodings.decode(stored, backbone, manifest.encoding, default, path, known=True)
    return Adapter(sha256, manifest, MappingProxyType(tensors), len(content))


def read_adapter_file(path: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file. A large one is refused after its header, if that is no adapter's.

    Raises:
      AdapterError: "not_found", "file", "size" or "header".
    """

    def check_start(start: bytes, size: int) -> None:
        header.parse_header(start, path, size)

    start_bytes = header.PREFIX_BYTES + header.MAX_HEADER_BYTES
    return read_regular_file(path, max_bytes, start_bytes=start_bytes, check_start=check_start)


def is_of_another(path: str, backbone: BackboneInfo) -> bool:
    """Whether a file says that it was made for another backbone, or for other modules of this one.

    Only its start is read, and nothing else checked: False where it cannot be told.
    """
    try:
        start, size = read_start(path, header.PREFIX_BYTES + header.MAX_HEADER_BYTES)
        facts = parse_manifest(header.parse_header(start, path, size).manifest, path)
        _check_backbone(facts, backbone, path)
    except AdapterError as error:
        return error.code in ("backbone", "modules")
    return False


def max_bytes(backbone: BackboneInfo) -> int:
    """No adapter of this backbone has more bytes."""
    payload = encodings.max_payload_bytes(backbone.tensors)
    return header.PREFIX_BYTES + header.MAX_HEADER_BYTES + payload


def parse_adapter(
    content: bytes,
    backbone: BackboneInfo,
    *,
    sha256: str | None = None,
    default: Arrays | None = None,
    where: str = "The adapter",
) -> Adapter:
    """The adapter in the content of a file; `where` names it in errors.

    Raises:
      AdapterError: see ADAPTER_CODES.
    """
    stored = parse_stored(content, sha256=sha256, where=where)
    _check_backbone(stored.manifest, backbone, where)
    encoding = stored.manifest.encoding
    layout = encodings.stored_layout(backbone, encoding)
    encodings.check_layout(stored.entries, layout, where)
    header.check_order(stored.entries, where)
    tensors = encodings.decode(stored.arrays, backbone, encoding, default, where)
    # Of thousands of adapters, what is equal in all of them is there once.
    manifest = replace(
        stored.manifest, backbone=backbone.fingerprint, modules=backbone.adapter_modules
    )
    return Adapter(stored.id, manifest, MappingProxyType(tensors), stored.num_bytes)


def parse_stored(
    content: bytes, *, sha256: str | None = None, where: str = "The adapter"
) -> StoredAdapter:
    """The checks that need no backbone: the file is what was written.

    Not looked at: values (`encodings.check_stored`) and the order (`header.check_order`).

    Raises:
      AdapterError: "pin", "size", "header", "manifest", "format" or "content".
    """
    digest = sha256_of(content)
    if sha256 is not None:
        _check_pin(digest, sha256, where)
    head = header.parse_header(content, where)
    facts = parse_manifest(head.manifest, where)
    if facts.content_sha256 != content_sha256(facts, head, content):
        raise AdapterError(
            "content", f"{where} was altered after it was written: fetch the adapter again."
        )
    payload = _payload(content, head.start, facts.encoding)
    arrays = {entry.name: header.stored_array(payload, entry) for entry in head.entries}
    return StoredAdapter(digest, facts, arrays, head.entries, len(content))


def _check_pin(digest: str, expected: str, where: str) -> None:
    if digest != expected:
        raise AdapterError(
            "pin",
            f"{where} has the SHA-256 {digest}, expected {expected}: fetch the adapter again.",
        )


def _payload(content: bytes, start: int, encoding: str) -> bytes | memoryview:
    # Arrays of float32 stay views of it for as long as the adapter is used; without the header.
    return content[start:] if encoding == "f32" else memoryview(content)[start:]


def load_default(backbone_dir: str, backbone: BackboneInfo) -> Adapter:
    """The adapter of phi itself, beside the backbone's SavedModel and pinned by its info.

    Raises:
      ArtefactError: backbone_dir is not a backbone.
      AdapterError: see ADAPTER_CODES.
    """
    path = os.path.join(version_directory(backbone_dir), EXTRA, DEFAULT_FILE)
    return load_adapter(path, backbone, sha256=backbone.default_sha256)


def content_sha256(facts: Manifest, head: header.Header, content: bytes) -> str:
    """What a manifest must hold as content_sha256: of all else in the file."""
    return sha256_of(facts.hashed_json(), head.table(), memoryview(content)[head.start :])


def _check_backbone(facts: Manifest, backbone: BackboneInfo, where: str) -> None:
    found, expected = facts.backbone, backbone.fingerprint
    if found != expected:
        same = found["registry_sha256"] == expected["registry_sha256"]
        raise AdapterError(
            "backbone",
            f"{where} was made for {'other weights of this' if same else 'another'} backbone "
            f"than {backbone.name}: adapt the task again with this one.",
        )
    if facts.modules != backbone.adapter_modules:
        raise AdapterError(
            "modules",
            f"{where} has other modules or variances than {backbone.name} selects: adapt the task "
            "again with this backbone.",
        )
