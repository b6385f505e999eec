"""The voices of a backbone as a server takes them (`serving.protocol`): pieces are rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.voices import SIGNATURE, STATE, Piece, Voices
from meta_shrink.enrolment.saying import Sayer
from meta_shrink.enrolment.speaking import features_of_sound
from meta_shrink.errors import DataError, UsageError
from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.speech.audio_files import pcm, wav_header
from meta_shrink.speech.features import FEATURES
from meta_shrink.speech.recordings import Lexicon


class SpeakingNetwork:
    """`serving.protocol.ServedBackbone` whose rows are pieces.

    Each row is a call of its own, `threads` of them at once: a product of matrices rounds otherwise
    for another number of rows, and a voice must not depend on who else is speaking.
    """

    def __init__(
        self, backbone: Backbone, piece: Piece, state: Mapping[str, np.ndarray], threads: int
    ) -> None:
        """piece, state: any, for their shapes."""
        arrays = {**piece.inputs, **state}
        specs = [ArraySpec(name, x.shape, str(x.dtype)) for name, x in arrays.items()]
        self.path, self.default, self.check = backbone.path, backbone.default, backbone.check
        self.info = replace(backbone.info, inputs=tuple(specs))
        self._backbone, self._pool = backbone, ThreadPoolExecutor(threads, "speak")

    def predict_mixed(
        self, inputs: Mapping[str, np.ndarray], adapters: Sequence[Adapter], index: np.ndarray
    ) -> dict[str, np.ndarray]:
        """{"codes", and the state: [B, ...]} of pieces; row b by adapters[index[b]]."""

        def row(number: int) -> dict[str, np.ndarray]:
            own = self._backbone.stacked([adapters[index[number]]])
            told = {name: value[number : number + 1] for name, value in inputs.items()}
            given = {name: tf.constant(value) for name, value in (told | own).items()}
            answer = self._backbone.signatures[SIGNATURE](**given)
            return {name: answer[name].numpy()[0] for name in ("codes", *STATE)}

        rows = list(self._pool.map(row, range(len(index))))
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class BackboneVoices:
    """`serving.protocol.ServedVoices` of a backbone; speaks as `enrolment.speaking` does."""

    features = ArraySpec("features", (None, FEATURES), "float32")
    frames_per_second = FRAMES_PER_SECOND

    def __init__(
        self,
        backbone: Backbone,
        *,
        threads: int = 0,
        prosody: Backbone | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        """Speaks `threads` pieces at a time, 0: one per core.

        Args:
          prosody: says texts. lexicon: how words (in capitals) are said, in texts and recordings.

        Raises:
          UsageError: the backbone has no voices, or one is of something else.
        """
        self.at_a_time = threads or os.cpu_count() or 1
        self._voices, self._info = Voices(backbone), backbone.info
        self._lexicon = lexicon
        self._sayer = None if prosody is None else Sayer(prosody, backbone.info, lexicon)
        some = next(self.pieces(np.zeros([1, FEATURES], np.float32), seed=0, temperature=1.0))
        self.network = SpeakingNetwork(backbone, some, self.silence(), self.at_a_time)

    def like(self, sound: bytes, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        """float32 [F, FEATURES] of a recording of these words.

        Raises:
          UsageError: it cannot be decoded or aligned, is too long, or the extra speech is missing.
        """
        try:
            return features_of_sound(
                sound,
                text,
                self._info,
                name='"like"',
                shift=shift,
                max_seconds=max_seconds,
                lexicon=self._lexicon,
            )
        except DataError as error:
            raise UsageError(str(error)) from error

    def say(self, text: str, *, shift: float, max_seconds: float) -> np.ndarray:
        """float32 [F, FEATURES] of a text, with the timing and melody of no speaker's own.

        Raises:
          UsageError: no English text, one that is too long, or there is no prosody.
        """
        if self._sayer is None:
            raise UsageError(
                '"text" alone needs a server with --prosody: give "like" or "features" too.'
            )
        return self._sayer.features(
            text, shift=shift, max_characters=len(text), max_seconds=max_seconds
        )

    def silence(self) -> dict[str, np.ndarray]:
        """As Voices.silence."""
        return self._voices.silence()

    def pieces(self, features: np.ndarray, *, seed: int, temperature: float) -> Iterator[Piece]:
        """As Voices.pieces."""
        return self._voices.pieces(features, seed=seed, temperature=temperature)

    def header(self, num_bytes: int | None) -> bytes:
        """What a WAV file of so many bytes of sound begins with; None: nobody knows how many."""
        return wav_header(self._voices.recordings.sample_rate, num_bytes)

    def sounds(self) -> Callable[[np.ndarray], bytes]:
        """The codes [N] of an utterance, piece by piece, as 16-bit PCM."""
        decoder = self._voices.decoder()
        return lambda codes: pcm(decoder(codes))
