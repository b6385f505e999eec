"""Speaking with the adapters of an exported backbone: a WaveNet's samples, piece by piece.

The signature `speak` of its SavedModel has these arguments, all of R rows, beside the tensors of an
adapter per row [R, ...]: features [R, F, C], codes int32 [R, T] (synthesis.DRAWN where a sample is
drawn), noise [R, T], temperature [R], and the state last_code [R] and past [R, D, channels]. It
answers codes, log_probs [R, T] and the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import AdapterTensor, BackboneInfo, argument_name
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.signatures import concrete
from meta_shrink.backbones.source import ExportSource
from meta_shrink.errors import UsageError
from meta_shrink.speech.features import FEATURES, FEATURES_VERSION, PHONES
from meta_shrink.speech.signal import SILENT_CODE, Decoder, hop_of
from meta_shrink.speech.synthesis import DRAWN, Noise, Spoken, silence, speak, voice_of
from meta_shrink.types import Recordings

SIGNATURE = "speak"
STATE = ("last_code", "past")
PIECE_FRAMES = 40  # 0.2 s.
MOST_FEATURE = 10.0  # Of its logarithms: 10 is a phone of half an hour.


def speak_signature(source: ExportSource, tensors: Sequence[AdapterTensor]) -> Any:
    """Concrete function of the arguments above; XLA compiles it once for each shape."""
    phi = dict(zip(source.registry.paths, source.meta.phi, strict=True))
    speaker = source.adaptation.recordings.get("speaker")
    start = silence(voice_of(phi, speaker), 1)
    channels = source.model.inputs[1].shape[-1]

    @tf.function(autograph=False, jit_compile=True)
    def compiled(phi, features, codes, noise, spoken, temperature, own):
        voices = voice_of(phi | own, speaker)
        return speak(voices, features, codes, noise, spoken, temperature)

    def call(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        spoken = Spoken(*(given.pop(name) for name in STATE))
        told = [given.pop(name) for name in ("features", "codes", "noise")]
        temperature = given.pop("temperature")
        own = {spec.name: given[argument_name(spec.name)] for spec in tensors}
        values = {path: tf.convert_to_tensor(value) for path, value in phi.items()}
        piece = compiled(values, *told, spoken, temperature, own)
        state = dict(zip(STATE, piece.spoken, strict=True))
        return {"codes": piece.codes, "log_probs": piece.log_probs, **state}

    specs = {
        "features": tf.TensorSpec([None, None, channels]),
        "codes": tf.TensorSpec([None, None], tf.int32),
        "noise": tf.TensorSpec([None, None]),
        "temperature": tf.TensorSpec([None]),
        "last_code": tf.TensorSpec([None], tf.int32),
        "past": tf.TensorSpec([None, *start.past.shape[1:]]),
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


class Piece(NamedTuple):
    """Inputs of the signature `speak`, without a row's axis, of one piece of an utterance.

    heard: those of its samples that are heard.
    """

    inputs: dict[str, np.ndarray]
    heard: slice


class Voices:
    """Samples of a backbone's voices.

    recordings: how they are told (types.Recordings). hop: samples of a frame.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Raises UsageError where the backbone is of no voices."""
        if not is_of_voices(backbone):
            raise UsageError(
                f"{backbone.path} does not speak: its network is no wavenet, or it was exported "
                "before the signature 'speak' took noise, or those of many voices had it."
            )
        self.recordings = recordings_of(backbone.info)
        self._backbone, self.hop = backbone, hop_of(self.recordings.sample_rate)

    def decoder(self) -> Decoder:
        """Of the codes of one utterance."""
        return Decoder(self.recordings.pre_emphasis)

    def silence(self) -> dict[str, np.ndarray]:
        """The state before an utterance, without a row's axis."""
        shape = _arguments(self._backbone)["past"].shape[1:]
        return {"last_code": np.array(SILENT_CODE, np.int32), "past": np.zeros(shape, np.float32)}

    def pieces(
        self,
        features: np.ndarray,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        piece_frames: int = PIECE_FRAMES,
    ) -> Iterator[Piece]:
        """An utterance in pieces of equal shape, behind the silence that the network has heard.

        Args:
          features: [F, FEATURES] of the frames to be spoken.
          seed, temperature: of the draws; a temperature of 0 takes the likeliest code.
          piece_frames: of a piece.

        Raises:
          UsageError: shapes or numbers that do not fit.
        """
        _check(features, temperature, piece_frames)
        noise, context = Noise(seed), self.recordings.context
        end = context + len(features)
        padded = -(-end // piece_frames) * piece_frames
        told = np.zeros([padded, FEATURES], np.float32)
        told[:, _SILENT] = 1.0
        told[context:end] = features
        codes = np.full([padded * self.hop], DRAWN, np.int32)
        codes[: context * self.hop] = SILENT_CODE
        for first in range(0, padded, piece_frames):
            frames = slice(first, first + piece_frames)
            samples = slice(first * self.hop, frames.stop * self.hop)
            inputs = {
                "features": told[frames],
                "codes": codes[samples],
                "noise": noise(piece_frames * self.hop),
                "temperature": np.array(temperature, np.float32),
            }
            heard = [
                min(max(frame - first, 0), piece_frames) * self.hop for frame in (context, end)
            ]
            yield Piece(inputs, slice(*heard))

    def speak(
        self, features: np.ndarray, adapters: Sequence[Adapter], **options: Any
    ) -> Iterator[np.ndarray]:
        """Codes uint8 [R, N] of one piece after another; N is smaller in the first and the last.

        Args:
          features: [R, F, FEATURES] of the frames to be spoken.
          adapters: the voice of each row.
          options: of `pieces`, of all rows: with one seed they have the same noise.

        Raises:
          UsageError: shapes or numbers that do not fit.
        """
        if len(features) != len(adapters) or not adapters:
            raise UsageError(
                f"There are features of {len(features)} rows and {len(adapters)} adapters; "
                "expected an adapter for each row."
            )
        own = {name: tf.constant(x) for name, x in self._backbone.stacked(adapters).items()}
        state = {name: np.stack([x] * len(adapters)) for name, x in self.silence().items()}
        for row in zip(*(self.pieces(f, **options) for f in features), strict=True):
            inputs = {name: np.stack([p.inputs[name] for p in row]) for name in row[0].inputs}
            answer = self._backbone.signatures[SIGNATURE](**_constants(inputs | state), **own)
            state = {name: answer[name] for name in STATE}
            if (codes := answer["codes"].numpy()[:, row[0].heard]).size:
                yield codes.astype(np.uint8)


# The one-hot phones of silence before, now and after.
_SILENT = [0, len(PHONES), 2 * len(PHONES)]


def is_of_voices(backbone: Backbone) -> bool:
    """Whether a backbone has the signature `speak` as it is now."""
    return SIGNATURE in backbone.signatures and "noise" in _arguments(backbone)


def _arguments(backbone: Backbone) -> Mapping[str, tf.TensorSpec]:
    return backbone.signatures[SIGNATURE].structured_input_signature[1]


def _constants(arrays: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in arrays.items()}


def _check(features: np.ndarray, temperature: float, piece_frames: int) -> None:
    shape = np.shape(features)
    if len(shape) != 2 or shape[1] != FEATURES or not shape[0]:
        raise UsageError(
            f"features of an utterance have shape {list(shape)}; expected [frames, {FEATURES}]."
        )
    if not np.abs(features).max() <= MOST_FEATURE:
        raise UsageError(
            f"features of an utterance hold {np.abs(features).max():g}; expected numbers as "
            f"features_of makes them, at most {MOST_FEATURE:g}."
        )
    if not 0 <= temperature <= 10 or piece_frames < 1:
        raise UsageError(
            f"speak got temperature={temperature}, piece_frames={piece_frames}; expected a "
            "temperature from 0 to 10, pieces of at least one frame."
        )
