"""A small backbone, its phi and an adapter, made without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meta_shrink.adapters.backbone_info import (
    DEFAULT_FILE,
    EXTRA,
    INFO_FILE,
    AdapterTensor,
    ArraySpec,
    BackboneInfo,
    ModuleFacts,
    Probe,
)
from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.writing import encode_adapter

TASK = TaskFacts("speaker-7", examples=40, steps=100, seed=3)
PROBE = (0.25, -1.5, 3.0)
TENSORS = (
    AdapterTensor("conv/kernel", "conv", (3, 2, 4), "variable"),
    AdapterTensor("conv/bias", "conv", (4,), "variable"),
    AdapterTensor("gain", "gain", (), "variable"),
    AdapterTensor("norm/moving_mean", "norm", (4,), "moment"),
    AdapterTensor("norm/moving_variance", "norm", (4,), "moment"),
)
MODULES = (
    ModuleFacts("embedding", 12, 1e-5, 0.1, False),
    ModuleFacts("conv", 28, 0.5, 0.1, True),
    ModuleFacts("gain", 1, None, 0.1, True),
)


def backbone(**changes: Any) -> BackboneInfo:
    """Two selected modules, one of them without a prior, and the moments of a third layer."""
    info = BackboneInfo(
        name="tiny",
        algorithm="sigma_maml",
        package_version="0.1.0",
        registry_sha256=sha256(b"registry"),
        weights_sha256=sha256(b"weights"),
        modules=MODULES,
        selection={"rule": "top", "value": 2, "share": 0.7},
        tensors=TENSORS,
        inputs=(ArraySpec("x", (None, 2), "float32"),),
        outputs=(ArraySpec("y", (None,), "float32"),),
        probe=Probe(seed=0, low=0.0, high=1.0, length=8, atol=1e-4),
        plausible={"conv": (0.1, 10.0)},
    )
    return replace(info, **changes)


def large_backbone() -> BackboneInfo:
    """12 modules of 64 x 1024 numbers and a bias: 1.6 MB in f16."""
    names = [f"conv_{index}" for index in range(12)]
    tensors = [AdapterTensor(f"{name}/kernel", name, (64, 1024), "variable") for name in names]
    tensors += [AdapterTensor(f"{name}/bias", name, (1024,), "variable") for name in names]
    modules = tuple(ModuleFacts(name, 65 * 1024, 0.1, 0.1, True) for name in names)
    return backbone(modules=modules, tensors=tuple(tensors), plausible={})


def phi(info: BackboneInfo) -> dict[str, np.ndarray]:
    """The backbone's own tensors."""
    generator = np.random.default_rng(0)
    return {
        spec.name: np.asarray(generator.normal(size=spec.shape), np.float32)
        for spec in info.tensors
    }


def theta(info: BackboneInfo, *, seed: int = 1) -> dict[str, np.ndarray]:
    """An adapted phi: some steps away from it, the moments elsewhere."""
    generator = np.random.default_rng(seed)
    return {
        name: np.asarray(value + 0.5 * generator.normal(size=value.shape), np.float32)
        for name, value in phi(info).items()
    }


def encoded(info: BackboneInfo, encoding: str = "f32", **changes: Any) -> bytes:
    """The file of `theta`."""
    options: dict[str, Any] = {"task": TASK, "probe": PROBE, "default": phi(info), **changes}
    return encode_adapter(theta(info), info, encoding=encoding, **options)


def write_backbone(directory: Path) -> BackboneInfo:
    """What a backbone's folder holds beside its SavedModel."""
    info = backbone()
    default = encode_adapter(phi(info), info, task=TaskFacts("", 0, 0, 0), probe=PROBE)
    info = backbone(default_sha256=sha256(default))
    extra = directory / "1" / EXTRA
    extra.mkdir(parents=True)
    (extra / DEFAULT_FILE).write_bytes(default)
    (extra / INFO_FILE).write_bytes(info.to_json())
    return info


def split(content: bytes) -> tuple[bytes, bytes]:
    """(header, payload) of a file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def join(header: bytes, payload: bytes) -> bytes:
    """The file of a header, padded, and a payload."""
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + payload


def spell(fields: Mapping[str, Any]) -> bytes:
    """A header as safetensors spells it."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def forged(
    content: bytes,
    *,
    facts: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
    payload: bytes | None = None,
) -> bytes:
    """The file with other facts, tensors or payload, and the content hash that belongs to them."""
    header, old_payload = split(content)
    payload = old_payload if payload is None else payload
    fields = json.loads(header)
    manifest = {**json.loads(fields.pop("__metadata__")["meta_shrink"]), **(facts or {})}
    entries = dict(fields if table is None else table)
    rows = [[n, t["dtype"], t["shape"], *t["data_offsets"]] for n, t in entries.items()]
    manifest.pop("content_sha256")
    digest = sha256(canonical(manifest), canonical(rows), payload)
    text = canonical({**manifest, "content_sha256": digest}).decode()
    return join(spell({"__metadata__": {"meta_shrink": text}, **entries}), payload)
