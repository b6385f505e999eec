"""Speaking with the adapters of an exported backbone: a WaveNet's samples, piece by piece.

The signature `speak` of its SavedModel has these arguments, all of R rows, beside the tensors of an
adapter per row [R, ...]: features [R, F, C], codes int32 [R, T] (synthesis.DRAWN where a sample is
drawn), the state time [], last_code [R] and past [D, R, channels], key [2] and temperature []. It
answers codes, log_probs [R, T] and the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import AdapterTensor, BackboneInfo, argument_name
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.signatures import concrete
from meta_shrink.backbones.source import ExportSource
from meta_shrink.errors import UsageError
from meta_shrink.speech.features import FEATURES, FEATURES_VERSION, PHONES
from meta_shrink.speech.signal import SILENT_CODE, hop_of
from meta_shrink.speech.synthesis import DRAWN, Spoken, silence, speak
from meta_shrink.types import Recordings

SIGNATURE = "speak"
STATE = ("time", "last_code", "past")


def speak_signature(source: ExportSource, tensors: Sequence[AdapterTensor]) -> Any:
    """Concrete function of the arguments above; XLA compiles it once for each shape."""
    phi = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    start = silence(phi, 1)
    channels = source.model.inputs[1].shape[-1]

    @tf.function(autograph=False, jit_compile=True)
    def compiled(phi, features, codes, spoken, key, temperature, own):
        return speak(phi | own, features, codes, spoken, key, temperature)

    def call(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        spoken = Spoken(*(given.pop(name) for name in STATE))
        first = [given.pop(n) for n in ("features", "codes")]
        last = [given.pop(n) for n in ("key", "temperature")]
        own = {spec.name: given[argument_name(spec.name)] for spec in tensors}
        values = {path: tf.convert_to_tensor(value) for path, value in phi.items()}
        piece = compiled(values, *first, spoken, *last, own)
        state = dict(zip(STATE, piece.spoken, strict=True))
        return {"codes": piece.codes, "log_probs": piece.log_probs, **state}

    specs = {
        "features": tf.TensorSpec([None, None, channels]),
        "codes": tf.TensorSpec([None, None], tf.int32),
        "time": tf.TensorSpec([], tf.int32),
        "last_code": tf.TensorSpec([None], tf.int32),
        "past": tf.TensorSpec([start.past.shape[0], None, start.past.shape[2]]),
        "key": tf.TensorSpec([2], tf.int32),
        "temperature": tf.TensorSpec([]),
    }
    rows = {argument_name(spec.name): tf.TensorSpec([None, *spec.shape]) for spec in tensors}
    return concrete(call, specs | rows)


def recordings_of(info: BackboneInfo) -> Recordings:
    """How a backbone's recordings become inputs.

    Raises:
      UsageError: they are none, or were told by other features than this version knows.
    """
    told = info.adaptation.recordings
    if not told:
        raise UsageError(f"The backbone {info.name!r} is not of recordings of voices.")
    recordings = Recordings(**told)
    if recordings.features_version != FEATURES_VERSION:
        raise UsageError(
            f"The backbone {info.name!r} was trained on features of version "
            f"{recordings.features_version}; this package has {FEATURES_VERSION}: train it anew."
        )
    return recordings


class Voices:
    """Samples of a backbone's voices.

    recordings: how they are told (types.Recordings). hop: samples of a frame.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Raises UsageError where the backbone is of no voices."""
        if SIGNATURE not in backbone.signatures:
            raise UsageError(
                f"{backbone.path} does not speak: its network is no wavenet without speaker "
                "embedding, or it was exported before there was the signature 'speak'."
            )
        self.recordings = recordings_of(backbone.info)
        self._backbone, self.hop = backbone, hop_of(self.recordings.sample_rate)

    def speak(
        self,
        features: np.ndarray,
        adapters: Sequence[Adapter],
        *,
        seed: int = 0,
        temperature: float = 1.0,
        piece_frames: int = 40,
    ) -> Iterator[np.ndarray]:
        """Codes uint8 [R, piece_frames * hop] of one piece after another, fewer in the last.

        Args:
          features: [R, F, FEATURES] of the frames to be spoken.
          adapters: the voice of each row.
          seed, temperature: of the draws; a temperature of 0 takes the likeliest code.
          piece_frames: of a piece; 40 are 0.2 s.

        Raises:
          UsageError: shapes or numbers that do not fit.
        """
        _check(features, adapters, temperature, piece_frames)
        rows, silent_frames = len(features), self.recordings.context
        own = {name: tf.constant(x) for name, x in self._backbone.stacked(adapters).items()}
        before = np.zeros([rows, silent_frames, FEATURES], np.float32)
        before[:, :, _SILENT] = 1.0
        state = self._silence(rows)
        if silent_frames:
            given = np.full([rows, silent_frames * self.hop], SILENT_CODE, np.int32)
            state = self._piece(before, given, state, own, seed, temperature)
        for first in range(0, features.shape[1], piece_frames):
            told = features[:, first : first + piece_frames]
            drawn = np.full([rows, told.shape[1] * self.hop], DRAWN, np.int32)
            state = self._piece(told, drawn, state, own, seed, temperature)
            yield state["codes"].numpy().astype(np.uint8)

    def _silence(self, rows: int) -> dict[str, tf.Tensor]:
        shape = self._backbone.signatures[SIGNATURE].structured_input_signature[1]["past"].shape
        past = tf.zeros([shape[0], rows, shape[2]])
        return dict(zip(STATE, (tf.constant(0), tf.fill([rows], SILENT_CODE), past), strict=True))

    def _piece(self, features, codes, state, own, seed: int, temperature: float):
        return self._backbone.signatures[SIGNATURE](
            features=tf.constant(features, tf.float32),
            codes=tf.constant(codes),
            key=tf.constant([seed, 0]),
            temperature=tf.constant(temperature, tf.float32),
            **{name: state[name] for name in STATE},
            **own,
        )


# The one-hot phones of silence before, now and after.
_SILENT = [0, len(PHONES), 2 * len(PHONES)]


def _check(features, adapters, temperature: float, piece_frames: int) -> None:
    shape = np.shape(features)
    if len(shape) != 3 or shape[2] != FEATURES or not shape[1] or shape[0] != len(adapters):
        raise UsageError(
            f"features have shape {list(shape)} and there are {len(adapters)} adapters; expected "
            f"[rows, frames, {FEATURES}] and an adapter for each row."
        )
    if not 0 <= temperature <= 10 or piece_frames < 1:
        raise UsageError(
            f"speak got temperature={temperature}, piece_frames={piece_frames}; expected a "
            "temperature from 0 to 10, pieces of at least one frame."
        )
