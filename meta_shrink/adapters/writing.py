"""Making the file of an adapter: equal arguments give equal bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from safetensors.numpy import save

from meta_shrink import __version__
from meta_shrink.adapters import encodings
from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.encodings import Arrays
from meta_shrink.adapters.header import KEY, parse_header
from meta_shrink.adapters.manifest import ENCODINGS, Manifest, TaskFacts
from meta_shrink.adapters.reading import SUFFIX, content_sha256, parse_adapter
from meta_shrink.durable_files import write_atomically
from meta_shrink.errors import AdapterError, UsageError

_NEW = "The new adapter"


def encode_adapter(
    tensors: Arrays,
    backbone: BackboneInfo,
    *,
    encoding: str = "f32",
    task: TaskFacts,
    probe: Sequence[float],
    default: Arrays | None = None,
    consent: str = "",
    licence: str = "",
) -> bytes:
    """The file of an adapter: equal arguments give equal bytes.

    tensors: those of backbone.tensors, float32. probe: `probe_outputs` with the tensors as a
    loader will get them (`quantised`). default: those of phi, for int8_delta.

    Raises:
      UsageError: an unknown encoding.
      AdapterError: what a loader would refuse, or numbers that the encoding cannot hold.
    """
    arrays = _encode(tensors, backbone, encoding, default)
    facts = Manifest(
        package_version=__version__,
        algorithm=backbone.algorithm,
        encoding=encoding,
        backbone=backbone.fingerprint,
        modules=backbone.adapter_modules,
        selection=backbone.selection,
        task=task,
        probe=tuple(float(value) for value in probe),
        consent=consent,
        licence=licence,
    )
    content = _save(arrays, replace(facts, content_sha256=_content_sha256(arrays, facts)))
    parse_adapter(content, backbone, default=default, where=_NEW)
    return content


def quantised(
    tensors: Arrays, backbone: BackboneInfo, *, encoding: str, default: Arrays | None = None
) -> dict[str, np.ndarray]:
    """The tensors as a loader will get them: encoded and decoded.

    Raises:
      UsageError: an unknown encoding.
      AdapterError: numbers that the encoding cannot hold, or a tensor too many or too few.
    """
    arrays = _encode(tensors, backbone, encoding, default)
    return encodings.decode(arrays, backbone, encoding, default, _NEW)


def write_adapter(content: bytes, directory: str) -> str:
    """Writes <directory>/<id>.safetensors atomically, and returns its path."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, sha256(content) + SUFFIX)
    write_atomically(path, content)
    return path


def _encode(
    tensors: Arrays, backbone: BackboneInfo, encoding: str, default: Arrays | None
) -> dict[str, np.ndarray]:
    if encoding not in ENCODINGS:
        raise UsageError(f"encoding is {encoding!r}, expected one of {', '.join(ENCODINGS)}.")
    return encodings.encode(tensors, backbone, encoding, default, _NEW)


def _save(arrays: dict[str, np.ndarray], facts: Manifest) -> bytes:
    try:
        return save(arrays, {KEY: facts.to_json().decode("ascii")})
    except ValueError as error:
        raise AdapterError(
            "manifest", f"{_NEW}: its probe or facts hold NaN or infinity ({error})."
        ) from error


def _content_sha256(arrays: dict[str, np.ndarray], facts: Manifest) -> str:
    """Of a file whose content_sha256 is not known yet."""
    draft = _save(arrays, facts)
    return content_sha256(facts, parse_header(draft, _NEW), draft)
