"""What the network is told of each 5 ms frame of an utterance: phones, timing, pitch.

Version FEATURES_VERSION; training and synthesis share this file. A frame is kept as three phone
numbers (before, now, after) and NUMBERS; the network gets FEATURES floats:

  0 ... 3 * 40 - 1   the three phones, one-hot over PHONES
  position           of the frame's middle in its phone, 0 to 1
  log_duration       ln(duration of the phone / 0.1 s)
  word_start         1 in the first phone of a word
  word_end           1 in the last phone of a word
  voiced             1 where the voice has a pitch
  log_f0             ln(pitch / 150 Hz), 0 where unvoiced
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError
from meta_shrink.pitch import FRAMES_PER_SECOND, USUAL_F0

FEATURES_VERSION = 1
SILENCE = "SIL"
# ARPAbet without stress, and silence.
# fmt: off
PHONES = (
    "SIL", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G",
    "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH",
    "UH", "UW", "V", "W", "Y", "Z", "ZH",
)
# fmt: on
NUMBERS = ("position", "log_duration", "word_start", "word_end", "voiced", "log_f0")
FEATURES = 3 * len(PHONES) + len(NUMBERS)
_USUAL_SECONDS = 0.1
_MOST_BEHIND = 10  # Frames that an alignment may be longer than the sound, by its rounding.


class Phone(NamedTuple):
    """A phone of an alignment: its name, start and length in seconds, number of its word.

    word: counts the words of the utterance from 0; -1 in silence.
    """

    name: str
    start: float
    length: float
    word: int


class Frames(NamedTuple):
    """The features of F frames as they are kept: uint8 [F, 3], float32 [F, 6]."""

    phones: np.ndarray
    numbers: np.ndarray


def frame_features(phones: Sequence[Phone], f0: np.ndarray) -> Frames:
    """The features of an utterance.

    Args:
      phones: in order; a gap between two is silence, what follows the last one too.
      f0: pitch in Hz of each frame [F], 0 where unvoiced; its length is that of the utterance.

    Raises:
      DataError: an unknown phone, phones out of order, or behind the end.
    """
    spans = _spans(phones, len(f0))
    names = [SILENCE, *(span.phone.name for span in spans), SILENCE]
    numbers = np.zeros([len(f0), len(NUMBERS)], np.float32)
    around = np.zeros([len(f0), 3], np.uint8)
    words = [-1, *(span.phone.word for span in spans), -1]
    for index, (_, first, end) in enumerate(spans):
        length = end - first
        around[first:end] = [_number(name) for name in names[index : index + 3]]
        before, now, after = words[index : index + 3]
        numbers[first:end, 0] = (np.arange(length) + 0.5) / length
        numbers[first:end, 1] = np.log(length / FRAMES_PER_SECOND / _USUAL_SECONDS)
        numbers[first:end, 2] = now >= 0 and before != now
        numbers[first:end, 3] = now >= 0 and after != now
    voiced = f0 > 0
    numbers[:, 4] = voiced
    numbers[voiced, 5] = np.log(f0[voiced] / USUAL_F0)
    return Frames(around, numbers)


def network_features(phones: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Frames as the network takes them: uint8 [..., F, 3], [..., F, 6] -> [..., F, FEATURES]."""
    one_hot = tf.one_hot(tf.cast(phones, tf.int32), len(PHONES), dtype=numbers.dtype)
    flat = tf.reshape(one_hot, tf.concat([tf.shape(phones)[:-1], [3 * len(PHONES)]], 0))
    features = tf.concat([flat, numbers], axis=-1)
    return tf.ensure_shape(features, [*phones.shape[:-1], FEATURES])


class _Span(NamedTuple):
    """A phone and its frames [first, end)."""

    phone: Phone
    first: int
    end: int


def _spans(phones: Sequence[Phone], frames: int) -> list[_Span]:
    """All frames, each in one span; phones that get no frame are left out."""
    spans: list[_Span] = []
    done = 0

    def add(phone: Phone, end: int) -> None:
        nonlocal done
        end = min(end, frames)
        if end > done:
            spans.append(_Span(phone, done, end))
            done = end

    for phone in phones:
        first = round(phone.start * FRAMES_PER_SECOND)
        if first < min(done, frames):
            raise DataError(
                f"Phone {phone.name} starts at {phone.start:.3f} s, before the phone ahead of it "
                f"has ended ({done / FRAMES_PER_SECOND:.3f} s); the alignment is out of order."
            )
        end = round((phone.start + phone.length) * FRAMES_PER_SECOND)
        if end > frames + _MOST_BEHIND:
            raise DataError(
                f"Phone {phone.name} ends at {end / FRAMES_PER_SECOND:.3f} s, and the sound at "
                f"{frames / FRAMES_PER_SECOND:.3f} s; the alignment is of another recording."
            )
        add(_silence(done, first), first)
        add(phone, end)
    add(_silence(done, frames), frames)
    return spans


def _silence(first: int, end: int) -> Phone:
    return Phone(SILENCE, first / FRAMES_PER_SECOND, (end - first) / FRAMES_PER_SECOND, -1)


def _number(name: str) -> int:
    if name not in PHONES:
        raise DataError(f"Phone {name!r} is none of {', '.join(PHONES)}.")
    return PHONES.index(name)
