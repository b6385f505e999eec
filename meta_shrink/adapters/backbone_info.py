"""What a backbone says about itself: backbone.json beside its SavedModel. No TensorFlow needed.

BACKBONE/README.md
BACKBONE/<version>/saved_model.pb, variables/          the SavedModel, as TF Serving wants it
BACKBONE/<version>/assets.extra/backbone.json          BackboneInfo
BACKBONE/<version>/assets.extra/default.safetensors    the adapter of phi itself
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from meta_shrink.adapters.argument_names import argument_name as argument_name
from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.adapters.recipe import ArraySpec as ArraySpec
from meta_shrink.adapters.recipe import Recipe as Recipe
from meta_shrink.adapters.recipe import recipe_from_json
from meta_shrink.adapters.regular_file import read_regular_file
from meta_shrink.adapters.typed_json import typed
from meta_shrink.durable_files import parse_json
from meta_shrink.errors import ArtefactError

FORMAT = "meta_shrink.backbone/1"
EXTRA, INFO_FILE, DEFAULT_FILE = "assets.extra", "backbone.json", "default.safetensors"
MAX_INFO_BYTES = 16 * 2**20
KINDS = ("variable", "moment")
DTYPES = (
    *("bool", "string", "bfloat16", "float16", "float32", "float64"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class AdapterTensor:
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
class Probe:
    """A fixed input (`meta_shrink.adapters.probe`): uniform in [low, high).

    length: of axes of any length. atol: absolute tolerance of the outputs, for other machines.
    integers: those of inputs that are integers are below it, and at least 0; 0: rounded down.
    """

    seed: int
    low: float
    high: float
    length: int
    atol: float
    integers: int = 0


@dataclass(frozen=True)
class BackboneInfo:
    """Everything about a backbone that is not its weights.

    registry_sha256: of the paths, modules and shapes of all variables. weights_sha256: of all phi
    and all non-trainable state. selection: {"rule", "value", "share"}. tensors: those of an
    adapter, in network order. mixed: whether one batch may hold rows of several adapters;
    mixed_reason: if not, why. plausible: module -> [low, high], the range of
    ||theta - phi||^2 / (D sigma^2) over the tasks that were adapted when it was exported.
    default_sha256: of default.safetensors. program_sha256: of saved_model.pb, if there is one.
    """

    name: str
    algorithm: str
    package_version: str
    registry_sha256: str
    weights_sha256: str
    modules: tuple[ModuleFacts, ...]
    selection: Mapping[str, Any]
    tensors: tuple[AdapterTensor, ...]
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    probe: Probe
    mixed: bool = True
    mixed_reason: str = ""
    adaptation: Recipe = field(default_factory=Recipe)
    plausible: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    default_sha256: str = ""
    program_sha256: str = ""
    format: str = FORMAT

    @cached_property
    def fingerprint(self) -> Mapping[str, str]:
        """What an adapter must name to belong to this backbone."""
        return {"registry_sha256": self.registry_sha256, "weights_sha256": self.weights_sha256}

    @cached_property
    def adapter_modules(self) -> tuple[Mapping[str, Any], ...]:
        """`Manifest.modules` of every adapter of this backbone."""
        return tuple({"name": m.name, "sigma2": m.sigma2} for m in self.modules if m.selected)

    @property
    def selected(self) -> tuple[str, ...]:
        """Names of the task-specific modules, in network order."""
        return tuple(module.name for module in self.modules if module.selected)

    def to_json(self) -> bytes:
        """The content of backbone.json."""
        return canonical({**asdict(self), "adaptation": self.adaptation.as_json()})


def info_from_json(content: bytes, where: str) -> BackboneInfo:
    """The info in a backbone.json.

    Raises:
      ArtefactError: it is damaged, or of another format.
    """
    try:
        fields = parse_json(content)
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
        if fields.get("format") != FORMAT:
            raise ArtefactError(
                f"{where} has the format {fields.get('format')!r}; this version of meta_shrink "
                f"reads {FORMAT!r}."
            )
        recipe = recipe_from_json(fields.pop("adaptation", {}))
        info = replace(typed(BackboneInfo, fields, "backbone"), adaptation=recipe)
        _check_sense(info)
    except ValueError as error:
        raise ArtefactError(f"{where} is damaged ({error}): export the backbone again.") from error
    return info


def _check_sense(info: BackboneInfo) -> None:
    """What types do not say; what TensorFlow alone knows is checked when the network is loaded.

    Raises:
      ValueError: a field that no export writes.
    """
    shapes = [spec.shape for spec in (*info.tensors, *info.inputs, *info.outputs)]
    names = [spec.name for spec in info.tensors]
    lists = {
        "tensors of one name": len(set(names)) < len(names),
        "a tensor of an unknown kind": any(spec.kind not in KINDS for spec in info.tensors),
        "a negative or huge length": any(not 0 <= (n or 0) < 2**31 for s in shapes for n in s),
        "a tensor of more than 2 GiB": any(math.prod(spec.shape) >= 2**29 for spec in info.tensors),
        "no input or no output": not info.inputs or not info.outputs,
        "a module without parameters": any(module.size < 0 for module in info.modules),
        "a negative variance": any((module.sigma2 or 0.0) < 0 for module in info.modules),
        "an odd probe": not (0 <= info.probe.length <= 2**16 and info.probe.atol >= 0),
        "a range of the probe": not info.probe.low <= info.probe.high,
        "a hash that is none": any(
            value and not _SHA256.fullmatch(value)
            for value in (
                info.registry_sha256,
                info.weights_sha256,
                info.default_sha256,
                info.program_sha256,
            )
        ),
    }
    for spec in (*info.inputs, *info.outputs):
        lists[f"the type {spec.dtype!r}"] = spec.dtype not in DTYPES
        known = [info.probe.length if n is None else n for n in spec.shape]
        lists[f"too long a probe for {spec.name!r}"] = math.prod(known) > 2**28
    found = [what for what, is_so in lists.items() if is_so]
    if found:
        raise ValueError(f"it has {found[0]}")


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
        "make one with meta-shrink export-backbone."
    )


def read_backbone_info(backbone: str) -> BackboneInfo:
    """The info of a backbone folder, or of one version in it.

    Raises:
      ArtefactError: there is none, or it is damaged.
    """
    path = os.path.join(version_directory(backbone), EXTRA, INFO_FILE)
    return info_from_json(read_regular_file(path, MAX_INFO_BYTES), path)


def registry_sha256(variables: list[tuple[str, str, tuple[int, ...]]]) -> str:
    """Hash of the (path, module, shape) of all variables, trainable and not, in network order."""
    return sha256(canonical([[path, module, list(shape)] for path, module, shape in variables]))


def weights_sha256(arrays: Iterable[Any]) -> str:
    """Hash of all phi and all state, each as its shape, type and little-endian bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        value = np.asarray(array)
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        digest.update(canonical([list(value.shape), value.dtype.str]))
        digest.update(value.tobytes())
    return digest.hexdigest()
