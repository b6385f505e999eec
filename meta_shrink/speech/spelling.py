"""Phones of English words that no lexicon has, by the network of the package g2p_en.

The package's own code fetches data of nltk when it is imported; its 3 MB of weights need NumPy
alone: a GRU reads the letters, another one writes phones until it is done.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping

import numpy as np

from meta_shrink.errors import DataError, UsageError
from meta_shrink.speech.features import PHONES

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FIRST_LETTER, _END_OF_WORD = 3, 2
_START, _END = 2, 3
_MOST_PHONES = 20
_MOST_LETTERS = 20  # Of longer words it leaves out whole syllables.
_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")


def spell(word: str) -> tuple[str, ...]:
    """Phones of a word of letters and apostrophes, without stress.

    Raises:
      UsageError: g2p_en is not installed.
      DataError: it is too long for the network.
    """
    weights, names = _weights(), _phone_names()
    letters = [_FIRST_LETTER + _LETTERS.index(c) for c in word.lower() if c in _LETTERS]
    state = np.zeros([weights["enc_w_hh"].shape[1]], np.float32)
    for letter in [*letters, _END_OF_WORD]:
        state = _gru(weights, "enc", weights["enc_emb"][letter], state)
    phones, last = [], _START
    while len(phones) < _MOST_PHONES and len(letters) <= _MOST_LETTERS:
        state = _gru(weights, "dec", weights["dec_emb"][last], state)
        last = int(np.argmax(weights["fc_w"] @ state + weights["fc_b"]))
        if last == _END:
            return tuple(phone.rstrip("012") for phone in phones if phone)
        phones.append(names[last])
    raise DataError(f"{word!r} of its text is too long to be spelled; write it as several words.")


def _gru(weights: Mapping[str, np.ndarray], part: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of a gated recurrent unit; gates are stacked as reset, update, new."""
    given = np.split(weights[f"{part}_w_ih"] @ x + weights[f"{part}_b_ih"], 3)
    kept = np.split(weights[f"{part}_w_hh"] @ h + weights[f"{part}_b_hh"], 3)
    reset, update = (1 / (1 + np.exp(-(a + b))) for a, b in zip(given[:2], kept[:2], strict=True))
    return (1 - update) * np.tanh(given[2] + reset * kept[2]) + update * h


def _phone_names() -> list[str]:
    """The network's outputs: four marks, then phones in alphabetical order, vowels by stress."""
    names = ["", "", "", ""]
    for phone in PHONES[1:]:
        stressed = [f"{phone}{stress}" for stress in "012"]
        names += ([phone] if phone == "UW" else []) + (stressed if phone in _VOWELS else [])
        names += [] if phone in _VOWELS else [phone]
    return names


@functools.cache
def _weights() -> dict[str, np.ndarray]:
    package = importlib.util.find_spec("g2p_en")
    if package is None or not package.submodule_search_locations:
        raise UsageError(
            "A word that the lexicon lacks needs g2p_en, which is not installed: pip install "
            "'meta_shrink[speech]', or add the word to lexicon.txt beside the recordings."
        )
    path = os.path.join(package.submodule_search_locations[0], "checkpoint20.npz")
    with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
