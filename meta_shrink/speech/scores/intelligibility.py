"""Whether what is said can be heard: how many phones of the known text fit the sound.

The text is aligned by force; a phone fits if its states are, averaged over its frames, less than
FIT_NATS below the likeliest of all states of the acoustic model, whatever the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meta_shrink.speech.alignment import HeardPhone, NotAligned, heard_words, nats
from meta_shrink.speech.features import PHONES, SILENCE
from meta_shrink.speech.recordings import Lexicon

FIT_NATS = 9.0  # By measurement (docs/results/voices_quality.md): right texts against wrong ones.
MEANING = (
    "the share of the phones of the known text whose aligned states are, averaged over their "
    f"frames, less than {FIT_NATS:g} nats below the likeliest of all states of pocketsphinx's "
    "model; 0 where the text cannot be aligned at all. A wrong text has about half."
)


def text_score(samples: np.ndarray, rate: int, text: str, lexicon: Lexicon) -> float:
    """The share of a text's phones that fit, 0 to 1; 0 where pocketsphinx finds no way through.

    Args:
      samples: [N] in [-1, 1]. lexicon: of alignment.align.

    Raises:
      DataError: the text has no word that can be said. UsageError: a package is missing.
    """
    try:
        words = heard_words(samples, rate, text, lexicon, compallsen=True)
    except NotAligned:
        return 0.0
    phones = [p for word in words for p in word.phones if p.name in PHONES and p.name != SILENCE]
    return fitting(phones)


def fitting(phones: Sequence[HeardPhone]) -> float:
    """The share of phones that fit; 0 of none."""
    return sum(nats(phone) > -FIT_NATS for phone in phones) / max(len(phones), 1)
