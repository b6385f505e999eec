"""A network as one LiteRT file: builtin operations only, adapters as inputs, adaptation on request.

    serve            inputs [B, ...], one adapter                   -> outputs [B, ...]
    default_adapter  nothing                                        -> the adapter of phi itself
    adapt            inputs [N, ...], targets [N, ...], an adapter's variables, num_steps
                                                                    -> an adapter
    speak            a frame of an utterance, an adapter, the state -> samples, the state

B is free, the interpreter's signature runner resizes; N is fixed when the file is made. Adapter
tensors are called as in the adapter, with "__" for "/". Everything is in float32, layers of lower
precision included.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.backbones.full_disk import full_disk_told
from meta_shrink.backbones.litert.adapt import adapt_signature
from meta_shrink.backbones.litert.speaking import speak_signature
from meta_shrink.backbones.signatures import (
    adapter_specs,
    as_arguments,
    batch_specs,
    concrete,
    default_tensors,
    outputs_of,
    split_arguments,
)
from meta_shrink.backbones.source import ExportSource, adapter_tensors, input_specs
from meta_shrink.errors import DiskError, UsageError, foreign
from meta_shrink.keras_model import flat_layers
from meta_shrink.models.kernels.native_kernels import native_kernels
from meta_shrink.sections import choose

# Name -> types of the stored weights besides float32, None: the converter's 8 bits.
QUANTISATIONS = {"none": [], "float16": [tf.float16], "int8": None}


def litert_model(
    source: ExportSource, *, quantise: str = "none", examples: int = 0, speak: bool = False
) -> bytes:
    """The content of a .tflite file.

    Args:
      quantise: "none"; "float16" stores weights in half precision; "int8" those of large layers
        in 8 bits (dynamic range: inputs and outputs stay float32).
      examples: N of the signature adapt; 0 leaves it out.
      speak: add the signature speak, of a network of voices (`speaking`).

    Raises:
      UsageError: unknown quantisation, speak of a network that does not, or the model needs an
        operation that LiteRT has not; the message names it.
    """
    choose("quantise", QUANTISATIONS, quantise)
    if examples < 0:
        raise UsageError(f"examples is {examples}; expected the number of a task's examples.")
    with _float32(source.model), tempfile.TemporaryDirectory() as folder:
        signatures = _traced(_constant(source), examples, speak)
        with full_disk_told(folder):
            tf.saved_model.save(tf.Module(), folder, signatures=signatures)
        return _converted(folder, list(signatures), quantise)


@contextmanager
def _float32(model: keras.Model) -> Iterator[None]:
    """Layers of lower precision compute in float32: LiteRT has no bfloat16."""
    changed = [x for x in flat_layers(model) if x.compute_dtype in ("bfloat16", "float16")]
    policies = [layer.dtype_policy for layer in changed]
    try:
        for layer in changed:
            layer.dtype_policy = "float32"
        yield
    finally:
        for layer, policy in zip(changed, policies, strict=True):
            layer.dtype_policy = policy


def _constant(source: ExportSource) -> ExportSource:
    """The source with arrays for tensors: constants of whichever function they are used in.

    A tensor from outside would enter the loop of adapt as an input, which is never quantised.
    """
    meta = tf.nest.map_structure(np.asarray, source.meta)
    return source._replace(meta=meta, state=[np.asarray(value) for value in source.state])


def _traced(source: ExportSource, examples: int, speak: bool) -> dict[str, Any]:
    """The signatures."""
    inputs, tensors = input_specs(source.model), adapter_tensors(source)
    default = as_arguments(default_tensors(source, tensors))

    def serve(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        with native_kernels():
            return outputs_of(source, *split_arguments(given, inputs, tensors))

    signatures = {
        "serve": concrete(serve, batch_specs(inputs) | adapter_specs(tensors)),
        "default_adapter": concrete(lambda: tf.nest.map_structure(tf.constant, default), {}),
    }
    if examples:
        signatures["adapt"] = adapt_signature(source, examples)
    if speak:
        signatures["speak"] = speak_signature(source)
    return signatures


def _converted(folder: str, signatures: list[str], quantise: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=signatures)
    if quantise != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = QUANTISATIONS[quantise] or []
    try:
        with full_disk_told(folder):
            return converter.convert()
    except DiskError:
        raise
    except Exception as error:
        # The converter has no public class for its errors.
        missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
        if not missing:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"LiteRT's converter cannot take this model ({foreign(reason)}): export the "
                "SavedModel instead, or replace the layer."
            ) from error
        only = ", perhaps for adaptation only: try without it" if "adapt" in signatures else ""
        raise UsageError(
            f"The model needs operations that LiteRT has not: {', '.join(missing)}{only}."
        ) from error
