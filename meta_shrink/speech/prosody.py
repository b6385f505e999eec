"""What a network of prosody is told of each phone, and what it says: duration, voicing, pitch.

Version PROSODY_VERSION. An example is a phone of an utterance; silences are phones. The network
gets FEATURES floats:

  0 ... 5 * 40 - 1   the two phones before, the phone, the two after, one-hot over PHONES
  word_start         1 in the first phone of a word
  word_end           1 in the last phone of a word
  position           of the phone's middle in the utterance, 0 to 1
  since_pause        1 / (1 + phones since a silence), 1 in silence itself
  till_pause         1 / (1 + phones till a silence)

and answers TARGETS: ln(duration in frames of 5 ms), and at POINTS places of the phone, which are
the middles of its thirds, whether it is voiced (a logit) and ln(pitch / 150 Hz).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meta_shrink.pitch import FRAMES_PER_SECOND, hertz
from meta_shrink.speech.features import (
    NUMBERS,
    PHONES,
    SILENCE,
    Frames,
    Phone,
    frame_features,
)

PROSODY_VERSION = 1
POINTS = 3
FEATURES = 5 * len(PHONES) + 5
TARGETS = 1 + 2 * POINTS
_SILENT = PHONES.index(SILENCE)
_POSITION, _START, _END, _VOICED, _LOG_F0 = (
    NUMBERS.index(name) for name in ("position", "word_start", "word_end", "voiced", "log_f0")
)


class Phones(NamedTuple):
    """The P phones of an utterance: numbers in PHONES uint8 [P], first and last ones of a word,
    bool [P]."""

    numbers: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class Range(NamedTuple):
    """What was heard in a corpus: pitch in Hz from lowest to highest, frames of its longest
    phone."""

    lowest_f0: float
    highest_f0: float
    longest: int


def phones_of_words(words: Sequence[Sequence[str]], pauses: Sequence[bool]) -> Phones:
    """The phones of spoken words, with silence at both ends and where a pause is.

    Args:
      words: phones of each. pauses: of each, whether one follows it; the last one always has one.
    """
    numbers, starts, ends = [_SILENT], [False], [False]
    for index, (word, pause) in enumerate(zip(words, pauses, strict=True)):
        numbers += [PHONES.index(name) for name in word]
        starts += [True, *[False] * (len(word) - 1)]
        ends += [*[False] * (len(word) - 1), True]
        if pause or index == len(words) - 1:
            numbers, starts, ends = [*numbers, _SILENT], [*starts, False], [*ends, False]
    return Phones(np.array(numbers, np.uint8), np.array(starts), np.array(ends))


def network_inputs(phones: Phones) -> np.ndarray:
    """float32 [P, FEATURES]."""
    count = len(phones.numbers)
    padded = np.pad(phones.numbers, 2, constant_values=_SILENT)
    around = np.stack([padded[shift : shift + count] for shift in range(5)], axis=1)
    one_hot = np.eye(len(PHONES), dtype=np.float32)[around].reshape(count, -1)
    silent = phones.numbers == _SILENT
    numbers = [
        phones.starts,
        phones.ends,
        (np.arange(count) + 0.5) / count,
        1 / (1 + _since(silent)),
        1 / (1 + _since(silent[::-1])[::-1]),
    ]
    return np.concatenate([one_hot, np.stack(numbers, axis=1).astype(np.float32)], axis=1)


def of_frames(frames: Frames) -> tuple[Phones, np.ndarray]:
    """The phones of an utterance and their targets float32 [P, TARGETS]; pitch 0 where unvoiced.

    Silences beside each other are one.
    """
    now, position = frames.phones[:, 1], frames.numbers[:, _POSITION]
    # The position of frames rises within a phone, and only there.
    begins = position[1:] <= position[:-1]
    begins &= (now[1:] != _SILENT) | (now[:-1] != _SILENT)
    first = np.flatnonzero(np.concatenate([[True], begins]))
    length = np.diff(np.append(first, len(now)))
    phones = Phones(now[first], frames.numbers[first, _START] > 0, frames.numbers[first, _END] > 0)
    places = first[:, None] + length[:, None] * (2 * np.arange(POINTS) + 1) // (2 * POINTS)
    told = frames.numbers[places]
    targets = [np.log(length)[:, None], told[..., _VOICED], told[..., _LOG_F0]]
    return phones, np.concatenate(targets, axis=1).astype(np.float32)


def frames_of(phones: Phones, prosody: np.ndarray, heard: Range) -> Frames:
    """The frames of phones that last and sound as a network says.

    A third of a phone is voiced as its middle is; pitch runs straight from one voiced point to the
    next. Silence is unvoiced. Durations are 1 to heard.longest frames, pitch is as heard.

    Args:
      prosody: [P, TARGETS], finite.
    """
    log_length = np.minimum(prosody[:, 0].astype(np.float64), np.log(heard.longest))
    length = np.maximum(np.rint(np.exp(log_length)).astype(np.int64), 1)
    first = np.cumsum(length) - length
    owner = np.repeat(np.arange(len(length)), length)
    within = np.arange(len(owner)) - first[owner]
    voiced = (prosody[:, 1 : 1 + POINTS] > 0) & (phones.numbers != _SILENT)[:, None]
    sounds = voiced[owner, POINTS * (2 * within + 1) // (2 * length[owner])]
    f0 = np.zeros(len(owner))
    if voiced.any():
        places = first[:, None] + length[:, None] * (2 * np.arange(POINTS) + 1) / (2 * POINTS)
        points = prosody[:, 1 + POINTS :][voiced]
        line = np.interp(np.arange(len(owner)) + 0.5, places[voiced], points)
        pitch = np.clip(hertz(line), heard.lowest_f0, heard.highest_f0)
        f0 = np.where(sounds, pitch, 0.0)
    return frame_features(_placed(phones, first, length), f0)


def _placed(phones: Phones, first: np.ndarray, length: np.ndarray) -> list[Phone]:
    word = np.cumsum(phones.starts) - 1
    return [
        Phone(
            PHONES[number],
            begin / FRAMES_PER_SECOND,
            frames / FRAMES_PER_SECOND,
            -1 if number == _SILENT else int(own),
        )
        for number, begin, frames, own in zip(phones.numbers, first, length, word, strict=True)
    ]


def _since(silent: np.ndarray) -> np.ndarray:
    """How many phones ago there was a silence, 0 in it; one is ahead of the first phone."""
    index = np.arange(len(silent))
    return index - np.maximum.accumulate(np.where(silent, index, -1))
