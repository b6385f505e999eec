"""A backbone of NumPy and adapters that are one number: output = input * number, on 4 columns."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np

from meta_shrink import AdapterError
from meta_shrink.adapters.backbone_info import (
    AdapterTensor,
    ArraySpec,
    BackboneInfo,
    ModuleFacts,
    Probe,
)
from meta_shrink.adapters.index import INDEX_FILE
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.adapters.writing import encode_adapter, write_adapter

INPUTS = (ArraySpec("x", (2,), "float32"),)
OUTPUTS = (ArraySpec("y", (4,), "float32"),)


def fake_info(inputs=INPUTS, outputs=OUTPUTS) -> BackboneInfo:
    return BackboneInfo(
        name="fake",
        algorithm="none",
        package_version="0",
        registry_sha256="0" * 64,
        weights_sha256="1" * 64,
        modules=(ModuleFacts("w", 8, 1.0, 0.1, True),),
        selection={"rule": "top_k", "value": 1.0, "share": 1.0},
        tensors=(AdapterTensor("w", "w", (2, 4), "variable"),),
        inputs=inputs,
        outputs=outputs,
        probe=Probe(0, 0.0, 1.0, 3, 1e-4),
    )


class FakeBackbone:
    """As meta_shrink.backbones.loaded.Backbone; counts calls, and can be slow, closed or strict."""

    def __init__(self, inputs=INPUTS, outputs=OUTPUTS) -> None:
        self.info: Any = fake_info(inputs, outputs)
        self.path = "models/fake/3"
        self.default: Any = parse_adapter(content_of(1.0), self.info)
        self.probed: list[str] = []  # ids, in the order of their probes
        self.refused: set[str] = set()
        self.batches: list[int] = []
        self.load_gates: dict[str, threading.Event] = {}
        self.gate = threading.Event()  # cleared: predict_mixed waits
        self.gate.set()
        self.refused_input = -1.0  # A batch with this number fails as a whole.

    def check(self, adapter: Any) -> None:
        self.probed.append(adapter.id)
        if (gate := self.load_gates.get(adapter.id)) is not None:
            gate.wait(10)
        if adapter.id in self.refused:
            raise AdapterError("probe", "The adapter in /srv/adapters answers otherwise.")

    def predict_mixed(self, inputs, adapters, index) -> dict[str, np.ndarray]:
        self.gate.wait(10)
        first, *_ = inputs.values()
        self.batches.append(len(first))
        if (first == self.refused_input).any():
            raise RuntimeError("out of range, in a file of the server: /etc/model")
        weights = np.stack([adapter.tensors["w"] for adapter in adapters])[index]
        row = first.reshape(len(first), -1).sum(axis=1)
        with np.errstate(over="ignore"):
            outputs = row[:, None] * weights[:, 0, :]
        return {spec.name: outputs for spec in self.info.outputs}


def content_of(number: float) -> bytes:
    """The file of the adapter of a number."""
    tensors = {"w": np.full((2, 4), number, np.float32)}
    return encode_adapter(tensors, fake_info(), task=TaskFacts("", 0, 0, 0), probe=[0.0])


def put_adapter(directory: Path, number: float) -> str:
    """Write the adapter of a number; its id."""
    return Path(write_adapter(content_of(number), str(directory))).stem


def put_broken(directory: Path) -> str:
    """Write a file whose name is not its hash; the id it claims."""
    key = "b" * 64
    (directory / f"{key}.safetensors").write_bytes(content_of(7.0))
    return key


def put_index(directory: Path, index: Any) -> None:
    """As launch.adapt does: at every instant a whole file."""
    temporary = directory / "index.tmp"
    temporary.write_text(json.dumps(index))
    temporary.replace(directory / INDEX_FILE)
