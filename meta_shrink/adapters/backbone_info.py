"""What a backbone says about itself: backbone.json beside its SavedModel. No TensorFlow needed.

BACKBONE/README.md
BACKBONE/<version>/saved_model.pb, variables/          the SavedModel, as TF Serving wants it
BACKBONE/<version>/assets.extra/backbone.json          BackboneInfo
BACKBONE/<version>/assets.extra/default.safetensors    the adapter of phi itself
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.errors import ArtefactError

FORMAT = "meta_shrink.backbone/1"
EXTRA, INFO_FILE, DEFAULT_FILE = "assets.extra", "backbone.json", "default.safetensors"
MAX_INFO_BYTES = 16 * 2**20
KINDS = ("variable", "moment")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of an adapter, float32.

    name: path of the variable, "conv_0/kernel". module: of the registry; of a moment, its layer.
    kind: "variable" (of a task-specific module) or "moment" (non-trainable state: the
    batch-norm moments, of every such layer).
    """

    name: str
    module: str
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class ModuleFacts:
    """One module of the network; sigma2 is None where there is no prior (infinite)."""

    name: str
    size: int
    sigma2: float | None
    learning_rate: float
    selected: bool


@dataclass(frozen=True)
class ArraySpec:
    """An input or output without its batch axis; None is an axis of any length."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Probe:
    """A fixed input (`meta_shrink.adapters.probe`): uniform in [low, high), rounded if an integer.

    length: of axes of any length. atol: absolute tolerance of the outputs, for other machines.
    """

    seed: int
    low: float
    high: float
    length: int
    atol: float


@dataclass(frozen=True)
class BackboneInfo:
    """Everything about a backbone that is not its weights.

    registry_sha256: of the paths, modules and shapes of all variables. weights_sha256: of all phi
    and all non-trainable state. selection: {"rule", "value", "share"}. tensors: those of an
    adapter, in network order. mixed: whether one batch may hold rows of several adapters;
    mixed_reason: if not, why. adaptation: how new tasks are adapted (sections loss, optimizer,
    steps, batch_size, augment). plausible: module -> [low, high], the range of
    ||theta - phi||^2 / (D sigma^2) over the tasks that were adapted when it was exported.
    default_sha256: of default.safetensors.
    """

    name: str
    algorithm: str
    package_version: str
    registry_sha256: str
    weights_sha256: str
    modules: tuple[ModuleFacts, ...]
    selection: Mapping[str, Any]
    tensors: tuple[TensorSpec, ...]
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    probe: Probe
    mixed: bool = True
    mixed_reason: str = ""
    adaptation: Mapping[str, Any] = field(default_factory=dict)
    plausible: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    default_sha256: str = ""
    format: str = FORMAT

    @property
    def fingerprint(self) -> dict[str, str]:
        """What an adapter must name to belong to this backbone."""
        return {"registry_sha256": self.registry_sha256, "weights_sha256": self.weights_sha256}

    @property
    def selected(self) -> tuple[str, ...]:
        """Names of the task-specific modules, in network order."""
        return tuple(module.name for module in self.modules if module.selected)

    def to_json(self) -> bytes:
        """The content of backbone.json."""
        return canonical(asdict(self))


def info_from_json(content: bytes, where: str) -> BackboneInfo:
    """The info in a backbone.json.

    Raises:
      ArtefactError: it is damaged, or of another format.
    """
    try:
        fields = json.loads(content)
        if fields["format"] != FORMAT:
            raise ArtefactError(
                f"{where} has the format {fields['format']!r}; this version of meta_shrink reads "
                f"{FORMAT!r}."
            )
        parts = {
            "modules": tuple(ModuleFacts(**module) for module in fields["modules"]),
            "tensors": tuple(_with_shape(TensorSpec, spec) for spec in fields["tensors"]),
            "inputs": tuple(_with_shape(ArraySpec, spec) for spec in fields["inputs"]),
            "outputs": tuple(_with_shape(ArraySpec, spec) for spec in fields["outputs"]),
            "probe": Probe(**fields["probe"]),
            "plausible": {name: tuple(pair) for name, pair in fields["plausible"].items()},
        }
        return BackboneInfo(**{**fields, **parts})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(
            f"{where} is damaged ({error!r}): export the backbone again."
        ) from error


def _with_shape(kind: type, fields: Mapping[str, Any]) -> Any:
    return kind(**{**fields, "shape": tuple(fields["shape"])})


def versions(backbone: str) -> list[int]:
    """Numbers of the versions in a backbone folder, the highest last."""
    names = os.listdir(backbone) if os.path.isdir(backbone) else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def version_directory(backbone: str) -> str:
    """The folder of a backbone's SavedModel: the highest version, or `backbone` if it is one.

    Raises:
      ArtefactError: neither.
    """
    if os.path.isfile(os.path.join(backbone, EXTRA, INFO_FILE)):
        return backbone
    for version in reversed(versions(backbone)):
        path = os.path.join(backbone, str(version))
        if os.path.isfile(os.path.join(path, EXTRA, INFO_FILE)):
            return path
    raise ArtefactError(
        f"{backbone} is not a backbone (no {EXTRA}/{INFO_FILE} in it or in a version below it): "
        "make one with python -m export.backbone."
    )


def read_backbone_info(backbone: str) -> BackboneInfo:
    """The info of a backbone folder, or of one version in it.

    Raises:
      ArtefactError: there is none, or it is damaged.
    """
    path = os.path.join(version_directory(backbone), EXTRA, INFO_FILE)
    if os.path.getsize(path) > MAX_INFO_BYTES:
        raise ArtefactError(f"{path} has more than {MAX_INFO_BYTES} bytes: export it again.")
    with open(path, "rb") as file:
        return info_from_json(file.read(), path)


def registry_sha256(variables: list[tuple[str, str, tuple[int, ...]]]) -> str:
    """Hash of the (path, module, shape) of all variables, trainable and not, in network order."""
    return sha256(canonical([[path, module, list(shape)] for path, module, shape in variables]))


def argument_name(tensor: str) -> str:
    """The name of an adapter tensor as an argument of a signature: "conv_0/kernel" has no slash."""
    return tensor.replace("/", "__")


def weights_sha256(arrays: Iterable[Any]) -> str:
    """Hash of all phi and all state, each as its shape, type and little-endian bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        value = np.asarray(array)
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        digest.update(canonical([list(value.shape), value.dtype.str]))
        digest.update(value.tobytes())
    return digest.hexdigest()
