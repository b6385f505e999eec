"""The signature `speak` on a device: one frame of one utterance, the state in and out.

As in the SavedModel (`backbones.voices`), with R = 1, F = 1 and one adapter without a row's axis.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from meta_shrink.adapters.backbone_info import argument_name
from meta_shrink.backbones.signatures import adapter_specs, concrete
from meta_shrink.backbones.source import ExportSource, adapter_tensors
from meta_shrink.backbones.voices import STATE
from meta_shrink.errors import UsageError
from meta_shrink.speech.signal import hop_of
from meta_shrink.speech.synthesis import Spoken, silence, speak, speaks, voice_of


def speak_signature(source: ExportSource) -> Any:
    """Concrete function of the next 5 ms.

    Raises:
      UsageError: the network is of no voices.
    """
    told = source.adaptation.recordings
    if not told or not speaks(source.registry.paths, told.get("speaker")):
        raise UsageError(f"The network of {source.name!r} does not speak: leave --speak out.")
    phi = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    tensors = adapter_tensors(source)
    speaker, hop = told.get("speaker"), hop_of(told["sample_rate"])
    start = silence(voice_of(phi, speaker), 1)

    def call(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        spoken = Spoken(*(given[name] for name in STATE))
        own = {spec.name: given[argument_name(spec.name)] for spec in tensors}
        features, codes, noise = (given[name] for name in ("features", "codes", "noise"))
        voices = voice_of(phi | own, speaker)
        piece = speak(voices, features, codes, noise, spoken, given["temperature"])
        return {"codes": piece.codes, **dict(zip(STATE, piece.spoken, strict=True))}

    specs = {
        "features": tf.TensorSpec([1, 1, source.model.inputs[1].shape[-1]]),
        "codes": tf.TensorSpec([1, hop], tf.int32),
        "noise": tf.TensorSpec([1, hop]),
        "temperature": tf.TensorSpec([1]),
        "last_code": tf.TensorSpec([1], tf.int32),
        "past": tf.TensorSpec(start.past.shape),
    }
    return concrete(call, specs | adapter_specs(tensors))
