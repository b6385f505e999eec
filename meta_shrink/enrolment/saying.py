"""From a text alone to what the network of voices is told: phones, their timing and melody."""

from __future__ import annotations

import numpy as np

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.reading import Adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.voices import recordings_of
from meta_shrink.enrolment.speaking import MAX_SECONDS, shifted
from meta_shrink.errors import UsageError
from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.speech import prosody
from meta_shrink.speech.features import PHONES
from meta_shrink.speech.pronunciation import MAX_CHARACTERS, text_phones
from meta_shrink.speech.recordings import Lexicon
from meta_shrink.types import Prosody


class Sayer:
    """Says texts with the timing and melody of a backbone of prosody."""

    def __init__(
        self,
        backbone: Backbone,
        voices: BackboneInfo,
        lexicon: Lexicon | None = None,
    ) -> None:
        """voices: of the backbone that will speak. lexicon: of text_phones.

        Raises:
          UsageError: one of the two is of something else, or they do not know the same phones.
        """
        self._backbone, self._told = backbone, prosody_of(backbone.info, voices)
        self._lexicon = lexicon

    def features(
        self,
        text: str,
        adapter: Adapter | None = None,
        *,
        shift: float = 0.0,
        max_characters: int = MAX_CHARACTERS,
        max_seconds: float = MAX_SECONDS,
    ) -> np.ndarray:
        """float32 [F, FEATURES] of speech.features, of a text.

        Args:
          adapter: of the backbone of prosody: a speaker's own rhythm. shift: semitones.

        Raises:
          UsageError: no English text, or one that is too long; a shift beyond two octaves.
        """
        phones = text_phones(text, lexicon=self._lexicon, max_characters=max_characters)
        inputs = {self._backbone.info.inputs[0].name: prosody.network_inputs(phones)}
        (said,) = self._backbone.predict(inputs, adapter).values()
        told = self._told
        heard = prosody.Range(told.lowest_f0, told.highest_f0, told.longest)
        frames = prosody.frames_of(phones, said, heard)
        seconds = len(frames.phones) / FRAMES_PER_SECOND
        if seconds > max_seconds:
            raise UsageError(
                f"The text takes {seconds:.1f} s; expected {max_seconds:g} s at most: say it in "
                "parts."
            )
        return shifted(frames, shift)


def prosody_of(info: BackboneInfo, voices: BackboneInfo) -> Prosody:
    """What a backbone of prosody was trained on.

    Raises:
      UsageError: as Sayer.
    """
    version = recordings_of(voices).features_version
    if not info.adaptation.prosody:
        raise UsageError(
            f"The backbone {info.name!r} is not of prosody: give one that was trained with "
            "configs/prosody.py."
        )
    told = Prosody(**info.adaptation.prosody)
    expected = prosody.PROSODY_VERSION, version, FRAMES_PER_SECOND, list(PHONES)
    for name, found, wanted in zip(Prosody._fields, told, expected, strict=False):
        if found != wanted:
            raise UsageError(
                f"The backbone {info.name!r} was trained with another {name} than the voices of "
                f"{voices.name!r}: train it anew with configs/prosody.py."
            )
    return told
