"""What the serving benchmark needs beside a backbone: adapters, made of its own, and inputs."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.probe import probe_inputs
from meta_shrink.adapters.reading import Adapter
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.errors import UsageError
from meta_shrink.serving.protocol import ServedBackbone

SUFFIX = ".safetensors"
NUM_INPUTS = 32


class Measured(ServedBackbone, Protocol):
    """What serves, and what the figures ask of it beside: a `Backbone`, or `serving_voices`."""

    @property
    def signatures(self) -> Mapping[str, Any]:
        """The functions that compute, by name."""
        ...

    def load_adapter(self, path: str) -> Adapter:
        """An adapter file with all its checks, the probe included."""
        ...

    def predict(self, inputs: Any, adapter: Adapter | None = None) -> dict[str, np.ndarray]:
        """Outputs {name: [B, ...]} by one adapter."""
        ...


class Setup(NamedTuple):
    """What serves, a folder with adapters, their ids, and inputs {name: [32, ...]}."""

    backbone: Measured
    directory: str
    ids: list[str]
    inputs: dict[str, np.ndarray]

    def row(self, number: int) -> dict[str, np.ndarray]:
        """The inputs of one row, without a batch axis."""
        return {name: value[number % NUM_INPUTS] for name, value in self.inputs.items()}

    def batch(self, rows: int) -> dict[str, np.ndarray]:
        """The first `rows` inputs, over and over."""
        return {name: value[np.arange(rows) % NUM_INPUTS] for name, value in self.inputs.items()}

    def path(self, key: str) -> str:
        return os.path.join(self.directory, key + SUFFIX)


class Line(NamedTuple):
    """A line of the report. met: whether the goal was met; None without one."""

    figure: str
    case: str
    value: str
    goal: str = ""
    met: bool | None = None


def set_up(path: str, directory: str, count: int, encoding: str) -> Setup:
    """Load a backbone; use the adapters in the folder and add new ones until there are `count`."""
    backbone = Backbone.load(path)
    os.makedirs(directory, exist_ok=True)
    names = (name for name in os.listdir(directory) if name.endswith(SUFFIX))
    ids = sorted(name.removesuffix(SUFFIX) for name in names)[:count]
    for seed in range(len(ids), count):
        ids.append(write_synthetic(backbone, directory, seed, encoding))
    return Setup(backbone, directory, ids, inputs(backbone))


def write_synthetic(backbone: Backbone, directory: str, seed: int, encoding: str) -> str:
    """Write an adapter that is the default one and noise; its id."""
    phi = backbone.default.tensors
    generator = np.random.default_rng(seed)
    theta = {
        spec.name: noisy(phi[spec.name], generator) if spec.kind == "variable" else phi[spec.name]
        for spec in backbone.info.tensors
    }
    content = backbone.seal(theta, TaskFacts(f"synthetic_{seed}", 0, 0, seed), encoding=encoding)
    path = write_adapter(content, directory)
    return os.path.basename(path).removesuffix(SUFFIX)


def noisy(value: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """With noise of half of its size, so that outputs tell the adapters apart."""
    scale = 0.5 * max(float(np.abs(value).mean()), 0.01)
    return (value + scale * generator.standard_normal(value.shape)).astype(np.float32)


def inputs(backbone: Backbone) -> dict[str, np.ndarray]:
    """{name: [32, ...]}: as the probe, with other seeds."""
    info = backbone.info
    rows = [
        probe_inputs(replace(info, probe=replace(info.probe, seed=seed)))
        for seed in range(1, NUM_INPUTS + 1)
    ]
    return {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in info.inputs}


def expected(setup: Setup, adapters: list[Any]) -> np.ndarray:
    """[adapters, 32, n]: flat outputs of every input with every adapter, one row at a time.

    Raises:
      UsageError: two adapters answer an input too much alike to be told apart.
    """
    answers = np.stack([one_by_one(setup, adapter, NUM_INPUTS) for adapter in adapters])
    for first in range(len(adapters)):
        for second in range(first):
            nearest = np.abs(answers[first] - answers[second]).max(axis=-1).min()
            if nearest < 100 * tolerance(answers):
                raise UsageError(
                    f"Two adapters answer alike ({nearest:.2g} apart): use others (--adapters)."
                )
    return answers


def one_by_one(setup: Setup, adapter: Any, rows: int) -> np.ndarray:
    """[rows, n]: flat outputs of the first rows, each alone."""
    batches = ({name: value[None] for name, value in setup.row(row).items()} for row in range(rows))
    return np.stack([flat(setup.backbone.predict(batch, adapter))[0] for batch in batches])


def flat(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """[B, n] of outputs {name: [B, ...]}."""
    values = [outputs[name] for name in sorted(outputs)]
    return np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)


def tolerance(answers: np.ndarray) -> float:
    """For sums in another order, float32."""
    return 1e-5 * max(1.0, float(np.abs(answers).max()))


def resident_bytes() -> int:
    """Memory of this process, after the allocator has given back what nobody uses (glibc)."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
