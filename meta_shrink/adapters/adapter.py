"""Adapters as the rest of the package uses them: make, write, read, check.

An adapter is one safetensors file with one metadata key (`header`, `manifest`); its id is its
SHA-256.
"""

from __future__ import annotations

from meta_shrink.adapters.checks import check_probe, implausible, prior_distance
from meta_shrink.adapters.manifest import ENCODINGS, Manifest, TaskFacts
from meta_shrink.adapters.reading import (
    Adapter,
    adapter_path,
    load_adapter,
    load_default,
    max_bytes,
    parse_adapter,
)
from meta_shrink.adapters.writing import encode_adapter, quantised, write_adapter

__all__ = [
    "ENCODINGS",
    "Adapter",
    "Manifest",
    "TaskFacts",
    "adapter_path",
    "check_probe",
    "encode_adapter",
    "implausible",
    "load_adapter",
    "load_default",
    "max_bytes",
    "parse_adapter",
    "prior_distance",
    "quantised",
    "write_adapter",
]
