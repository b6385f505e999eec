"""Writing a backbone folder: SavedModel, backbone.json, default adapter, README."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink import __version__
from meta_shrink.adapters.backbone_info import (
    DEFAULT_FILE,
    EXTRA,
    INFO_FILE,
    BackboneInfo,
    ModuleFacts,
    Probe,
    argument_name,
    registry_sha256,
    versions,
    weights_sha256,
)
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.probe import probe_inputs, probe_outputs
from meta_shrink.adapters.writing import encode_adapter
from meta_shrink.backbones.full_disk import full_disk_told
from meta_shrink.backbones.model_card import card
from meta_shrink.backbones.saved_model import Servable, servable
from meta_shrink.backbones.signatures import default_tensors
from meta_shrink.backbones.source import (
    ExportSource,
    adapter_tensors,
    input_specs,
    target_arrays,
)
from meta_shrink.durable_files import (
    read_file,
    remove_file,
    remove_leftovers,
    sync_directory,
    write_atomically,
    write_durably,
)
from meta_shrink.keras_model import flat_layers
from meta_shrink.runs.locks import only_process_in
from meta_shrink.variable_paths import relative_path

_UNFINISHED = ".unfinished-"
# Share of the largest probe output by which other machines may differ.
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}
Measure = Callable[[str, BackboneInfo], Mapping[str, Any]]


def save_backbone(
    source: ExportSource, directory: str | os.PathLike[str], *, measure: Measure | None = None
) -> BackboneInfo:
    """Write the next version of a backbone: `directory`/1, then 2 ... It is there whole or not.

    Args:
      measure: (folder of the new version, info) -> fields of the info that only the exported
        backbone can tell ("metrics", "plausible"); called before the version gets its name.

    Raises:
      UsageError: the model cannot be exported, or the folder cannot be written.
    """
    directory = os.fspath(directory)
    with full_disk_told(directory):
        os.makedirs(directory, exist_ok=True)
        with only_process_in(directory):
            _remove_unfinished(directory)
            return _next_version(source, directory, measure)


def _next_version(source: ExportSource, directory: str, measure: Measure | None) -> BackboneInfo:
    version = 1 + max(versions(directory), default=0)
    unfinished = os.path.join(directory, f"{_UNFINISHED}{version}")
    try:
        info = _write(source, servable(source), unfinished)
        if measure is not None:
            info = replace(info, **measure(unfinished, info))
            _write_info(info, unfinished)
        readme = card(info, version=version).encode()
        write_durably(os.path.join(unfinished, EXTRA, "README.md"), readme)
        write_atomically(os.path.join(directory, "README.md"), readme)
        os.rename(unfinished, os.path.join(directory, str(version)))
        sync_directory(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return info


def _remove_unfinished(directory: str) -> None:
    """What killed exports have left."""
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.startswith(_UNFINISHED):
            remove_file(path) if os.path.islink(path) else shutil.rmtree(path)
    remove_leftovers(directory, "README.md")


def _write(source: ExportSource, what: Servable, folder: str) -> BackboneInfo:
    # Gradients that users want are a signature; those of the network's own kernels stay behind.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(what.module, folder, signatures=what.signatures, options=options)
    os.makedirs(os.path.join(folder, EXTRA))
    info = backbone_info(source, what)
    content = encode_adapter(
        default_arrays(source),
        info,
        task=TaskFacts(id="default", examples=0, steps=0, seed=0),
        probe=_default_probe(info, what),
    )
    write_durably(os.path.join(folder, EXTRA, DEFAULT_FILE), content)
    program = read_file(os.path.join(folder, "saved_model.pb"))
    info = replace(info, default_sha256=sha256(content), program_sha256=sha256(program))
    _write_info(info, folder)
    return info


def _write_info(info: BackboneInfo, folder: str) -> None:
    write_atomically(os.path.join(folder, EXTRA, INFO_FILE), info.to_json() + b"\n")


def _default_probe(info: BackboneInfo, what: Servable) -> tuple[float, ...]:
    inputs = {argument_name(k): tf.constant(value) for k, value in probe_inputs(info).items()}
    default = what.signatures["default_adapter"]()
    outputs = what.signatures["serve"](**inputs, **default)
    return probe_outputs(info, {name: value.numpy() for name, value in outputs.items()})


def default_arrays(source: ExportSource) -> dict[str, np.ndarray]:
    """The adapter of phi itself."""
    tensors = default_tensors(source, adapter_tensors(source))
    return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def backbone_info(source: ExportSource, what: Servable) -> BackboneInfo:
    """What the backbone says about itself, without what is measured later."""
    selection = source.selection
    info = BackboneInfo(
        name=source.name,
        algorithm=source.algorithm,
        package_version=__version__,
        registry_sha256=registry_sha256(_variables(source)),
        weights_sha256=weights_sha256([*source.meta.phi, *source.state]),
        modules=_modules(source),
        selection={
            "rule": selection.rule,
            "value": selection.value,
            "share": selection.share,
        },
        tensors=adapter_tensors(source),
        inputs=input_specs(source.model),
        outputs=what.outputs,
        probe=Probe(0, *source.probe_range, source.probe_length, 0.0, source.probe_integers),
        mixed=not what.mixed_reason,
        mixed_reason=what.mixed_reason,
        adaptation=replace(source.adaptation, targets=target_arrays(source)),
    )
    largest = max(map(abs, _default_probe(info, what)), default=0.0)
    atol = max(1.0, largest) * _tolerance(source)
    return replace(info, probe=replace(info.probe, atol=atol))


def _tolerance(source: ExportSource) -> float:
    """The tolerance of the least precise layer."""
    used = {getattr(layer, "compute_dtype", "float32") for layer in flat_layers(source.model)}
    return max(TOLERANCE.get(dtype, TOLERANCE["float32"]) for dtype in used)


def _variables(source: ExportSource) -> list[tuple[str, str, tuple[int, ...]]]:
    """(path, module, shape) of all variables."""
    registry, model = source.registry, source.model
    trainable = [
        (path, registry.names[module], shape)
        for path, module, shape in zip(registry.paths, registry.index, registry.shapes, strict=True)
    ]
    others = [
        (relative_path(model, v), relative_path(model, v).rpartition("/")[0], tuple(v.shape))
        for v in model.non_trainable_variables
    ]
    return trainable + others


def _modules(source: ExportSource) -> tuple[ModuleFacts, ...]:
    registry, meta = source.registry, source.meta
    sigma2 = np.exp(np.asarray(meta.log_sigma2, np.float64))
    # Meta-SGD's rates are per parameter: their mean stands for the module.
    if isinstance(meta.log_alpha, (list, tuple)):
        sums = registry.sum([tf.exp(x) for x in meta.log_alpha])
        rates = np.asarray(sums, np.float64) / registry.sizes
    else:
        rates = np.exp(np.asarray(meta.log_alpha, np.float64))
    return tuple(
        ModuleFacts(
            name=name,
            size=registry.sizes[m],
            sigma2=float(sigma2[m]) if np.isfinite(sigma2[m]) else None,
            learning_rate=float(rates[m]),
            selected=name in source.selection.modules,
        )
        for m, name in enumerate(registry.names)
    )
