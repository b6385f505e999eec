"""The safetensors header, read strictly: bounded, and only in the one spelling that is written.

8 bytes   length of the header, little-endian
header    {"__metadata__": {"meta_shrink": manifest}, name: {"dtype", "shape", "data_offsets"},
          ...}, then blanks up to a multiple of 8 bytes
payload   the tensors, one after another, little-endian
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from meta_shrink.adapters.canonical_json import canonical
from meta_shrink.errors import AdapterError

MAX_HEADER_BYTES = 256 * 1024  # 2,000 tensors; as objects at most some 8 MB.
MAX_RANK = 8
MAX_NAME_LENGTH = 256
PREFIX_BYTES = 8
METADATA, KEY = "__metadata__", "meta_shrink"
DTYPES = {  # In the order in which safetensors writes tensors.
    "F32": np.dtype(np.float32),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "I8": np.dtype(np.int8),
}


class Entry(NamedTuple):
    """One stored tensor: its name and type, and its bytes [begin, end) of the payload."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """manifest: JSON text. entries: in the order of the payload, which starts at byte `start`."""

    manifest: str
    entries: tuple[Entry, ...]
    start: int

    def table(self) -> bytes:
        """The entries as canonical JSON, for the content hash."""
        return canonical([list(entry) for entry in self.entries])


def parse_header(content: bytes, where: str, num_bytes: int | None = None) -> Header:
    """The checked header of a file.

    content: the whole file, or its start with the header, and then num_bytes is how long it is.

    Raises:
      AdapterError: "size" or "header".
    """
    num_bytes = len(content) if num_bytes is None else num_bytes
    raw = _header_bytes(content, where)
    try:
        fields = json.loads(raw.decode("utf-8"))
        manifest = _manifest(fields)
        entries = tuple(_entry(name, fields[name]) for name in fields if name != METADATA)
        _check_layout(entries)
        _check_spelling(raw, manifest, entries)
    except (ValueError, RecursionError) as error:
        raise AdapterError(
            "header", f"{where} has a broken header ({_short(error)}): fetch the adapter again."
        ) from error
    start = PREFIX_BYTES + len(raw)
    _check_length(num_bytes, start + (entries[-1].end if entries else 0), where)
    return Header(manifest, entries, start)


def check_order(entries: tuple[Entry, ...], where: str) -> None:
    """Tensors stand as safetensors writes them: wide types first, so that all are aligned; by name.

    In another order the same tensors would be a second file, with a second id.

    Raises:
      AdapterError: "header".
    """
    if list(entries) != _in_order(entries):
        raise AdapterError(
            "header",
            f"{where} has its tensors in another order than safetensors writes them in: fetch the "
            "adapter again.",
        )


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    types = list(DTYPES)
    return sorted(entries, key=lambda e: (types.index(e.dtype), e.name))


def only_entries(layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[Entry, ...]:
    """The entries of every file that passes all checks, of {name: (dtype, shape)}: in one order,
    without holes.
    """
    entries, position = [], 0
    for entry in _in_order(Entry(name, *stored, 0, 0) for name, stored in layout.items()):
        end = position + math.prod(entry.shape) * DTYPES[entry.dtype].itemsize
        entries.append(entry._replace(begin=position, end=end))
        position = end
    return tuple(entries)


def payload_start(content: bytes) -> int:
    """Where the payload of a file that has passed all checks starts."""
    return PREFIX_BYTES + int.from_bytes(content[:PREFIX_BYTES], "little")


def stored_array(payload: bytes | memoryview, entry: Entry) -> np.ndarray:
    """A read-only view of a tensor's bytes, without a copy."""
    return np.ndarray(entry.shape, DTYPES[entry.dtype], payload, entry.begin)


def _header_bytes(content: bytes, where: str) -> bytes:
    if len(content) < PREFIX_BYTES:
        raise AdapterError(
            "size", f"{where} has only {len(content)} bytes: fetch the adapter again."
        )
    length = int.from_bytes(content[:PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise AdapterError(
            "header",
            f"{where} is no adapter: its header would have {length} bytes, and "
            f"{MAX_HEADER_BYTES} are allowed.",
        )
    _check_length(len(content), PREFIX_BYTES + length, where, at_least=True)
    return content[PREFIX_BYTES : PREFIX_BYTES + length]


def _check_length(found: int, expected: int, where: str, *, at_least: bool = False) -> None:
    if found < expected or (found > expected and not at_least):
        raise AdapterError(
            "size",
            f"{where} has {found} bytes, and its header says {'at least ' * at_least}{expected}: "
            "fetch the adapter again.",
        )


def _manifest(fields: Any) -> str:
    metadata = fields.get(METADATA) if type(fields) is dict else None
    if type(metadata) is not dict or list(metadata) != [KEY] or type(metadata[KEY]) is not str:
        raise ValueError(f"{METADATA} is not one text named {KEY}")
    return metadata[KEY]


def _entry(name: str, fields: Any) -> Entry:
    if not name.isprintable() or not 0 < len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"a name is empty, unprintable or longer than {MAX_NAME_LENGTH}")
    if type(fields) is not dict or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} has not just dtype, shape and data_offsets")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if type(dtype) is not str or dtype not in DTYPES:
        raise ValueError(f"the dtype of {name} is none of {', '.join(DTYPES)}")
    if not _is_integers(shape, 1) or len(shape) > MAX_RANK:
        raise ValueError(f"the shape of {name} is not at most {MAX_RANK} positive integers")
    if not _is_integers(offsets, 0) or len(offsets) != 2:
        raise ValueError(f"the data_offsets of {name} are not two integers")
    return Entry(name, dtype, tuple(shape), *offsets)


def _is_integers(values: Any, least: int) -> bool:
    return type(values) is list and all(type(v) is int and v >= least for v in values)


def _check_layout(entries: tuple[Entry, ...]) -> None:
    """Each tensor starts where the one before it ends, and is as long as its shape says."""
    position = 0
    for entry in entries:
        item = DTYPES[entry.dtype].itemsize
        if (entry.begin, entry.end) != (position, position + math.prod(entry.shape) * item):
            raise ValueError(f"{entry.name} leaves a hole, overlaps or has another length")
        if position % item:
            raise ValueError(f"{entry.name} is not aligned to its type")
        position = entry.end


def _check_spelling(raw: bytes, manifest: str, entries: tuple[Entry, ...]) -> None:
    """Refuses every other spelling of the same: blanks, escapes, orders, duplicate keys."""
    fields: dict[str, Any] = {METADATA: {KEY: manifest}}
    for name, dtype, shape, *offsets in entries:
        fields[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    if raw != text + b" " * (-len(text) % 8):
        raise ValueError("it is not spelt as safetensors spells it, or has a key twice")


def _short(error: Exception) -> str:
    """Without what a hostile file could put into it: control characters, or 10 kB."""
    text = "".join(c if c.isprintable() else "?" for c in str(error))
    return text if len(text) <= 200 else f"{text[:200]}..."
