"""Writing a folder for a device: model.tflite, backbone.json, the default adapter, README.md."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import (
    DEFAULT_FILE,
    INFO_FILE,
    BackboneInfo,
    argument_name,
)
from meta_shrink.adapters.canonical_json import sha256
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.probe import probe_inputs, probe_outputs
from meta_shrink.adapters.writing import encode_adapter
from meta_shrink.backbones.litert.model import litert_model
from meta_shrink.backbones.litert.model_card import litert_card
from meta_shrink.backbones.saved_model import Servable, servable
from meta_shrink.backbones.source import ExportSource
from meta_shrink.backbones.writing import backbone_info, default_arrays
from meta_shrink.durable_files import remove_file, sync_directory, write_durably
from meta_shrink.errors import UsageError, foreign, unwritable

MODEL_FILE = "model.tflite"
Arrays = Mapping[str, np.ndarray]


class LiteRTFacts(NamedTuple):
    """What was measured of a file.

    num_bytes: of it. difference: the largest between its outputs and TensorFlow's on the probe;
    scale: the largest of those outputs. examples, quantise, speak: as it was made.
    """

    num_bytes: int
    difference: float
    scale: float
    examples: int
    quantise: str
    speak: bool = False


def save_litert(
    source: ExportSource,
    directory: str | os.PathLike[str],
    *,
    quantise: str = "none",
    examples: int = 0,
    speak: bool = False,
) -> LiteRTFacts:
    """Write the folder; adapters of the SavedModel backbone of this source fit it.

    Args:
      quantise, examples, speak: of litert_model.

    Raises:
      UsageError: of litert_model; ai-edge-litert, which runs the file once, is not installed, or
        cannot run it.
    """
    interpreter_of = _interpreter()
    what = servable(source)
    info = backbone_info(source, what)
    inputs, arrays = probe_inputs(info), default_arrays(source)
    expected = _by_tensorflow(what, inputs, arrays)
    task = TaskFacts(id="default", examples=0, steps=0, seed=0)
    default = encode_adapter(arrays, info, task=task, probe=probe_outputs(info, expected))
    model = litert_model(source, quantise=quantise, examples=examples, speak=speak)
    outputs = _by_litert(interpreter_of, model, inputs, arrays)
    facts = LiteRTFacts(
        num_bytes=len(model),
        # Unlike Python's max, NumPy's does not pass over a NaN.
        difference=float(np.max([np.abs(outputs[k] - expected[k]).max() for k in expected])),
        scale=float(np.max([np.abs(value).max() for value in expected.values()])),
        examples=examples,
        quantise=quantise,
        speak=speak,
    )
    info = replace(info, default_sha256=sha256(default))
    files = {MODEL_FILE: model, DEFAULT_FILE: default}
    _write(os.fspath(directory), info, files, litert_card(info, facts))
    return facts


def _interpreter() -> Any:
    try:
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError as error:
        raise UsageError(
            f"Exporting to LiteRT needs ai-edge-litert, which cannot be imported ({error}): "
            "pip install 'meta_shrink[litert]'."
        ) from error


def _by_tensorflow(what: Servable, inputs: Arrays, adapter: Arrays) -> dict[str, np.ndarray]:
    given = {name: tf.constant(value) for name, value in _arguments(inputs, adapter).items()}
    return {name: value.numpy() for name, value in what.signatures["serve"](**given).items()}


def _by_litert(
    interpreter_of: Any, model: bytes, inputs: Arrays, adapter: Arrays
) -> dict[str, np.ndarray]:
    try:
        runner = interpreter_of(model_content=model).get_signature_runner("serve")
        return runner(**_arguments(inputs, adapter))
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"LiteRT converts this model and cannot run it ({foreign(str(error))}): export the "
            "SavedModel instead, or replace the layer."
        ) from error


def _arguments(inputs: Arrays, adapter: Arrays) -> dict[str, np.ndarray]:
    return {argument_name(name): value for name, value in {**inputs, **adapter}.items()}


def _write(directory: str, info: BackboneInfo, files: Mapping[str, bytes], card: str) -> None:
    contents = {**files, INFO_FILE: info.to_json() + b"\n", "README.md": card.encode()}
    try:
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=directory) as unfinished:
            for name, content in contents.items():
                write_durably(os.path.join(unfinished, name), content)
            # Without backbone.json the folder is none, so that no kill leaves parts of two exports.
            remove_file(os.path.join(directory, INFO_FILE))
            for name in sorted(contents, key=lambda name: name == INFO_FILE):
                os.replace(os.path.join(unfinished, name), os.path.join(directory, name))
        sync_directory(directory)
    except OSError as error:
        raise unwritable(directory, error) from error
