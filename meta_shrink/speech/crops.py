"""Random pieces of padded utterances, drawn on the device, with the context that they need.

A piece is `context` frames that are heard but not scored, then `frames` frames that are. What lies
before an utterance is silence; what lies behind it has weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.rng import uniform
from meta_shrink.speech.corpus import Utterance
from meta_shrink.speech.features import network_features
from meta_shrink.speech.signal import SILENT_CODE
from meta_shrink.types import Batch


class Utterances(NamedTuple):
    """U utterances in one array each, silence in front, padded behind.

    codes uint8 [U, (context + F) * hop], phones uint8 [U, context + F, 3], numbers float32
    [U, context + F, 6], frames int32 [U]: their own lengths, 0 for none, speaker int32 [U].
    """

    codes: Any
    phones: Any
    numbers: Any
    frames: Any
    speaker: Any


class Window(NamedTuple):
    """A piece: frames that are scored, frames of context before, samples of a frame.

    told: whether the network is also told the number of the speaker.
    """

    frames: int
    context: int
    hop: int
    told: bool = False


def padded(
    utterances: Sequence[Utterance], window: Window, *, rows: int, longest: int, speaker: int
) -> Utterances:
    """A speaker's utterances in arrays of `rows` rows for at most `longest` frames each."""
    length = window.context + longest
    codes = np.full([rows, length * window.hop], SILENT_CODE, np.uint8)
    phones = np.zeros([rows, length, 3], np.uint8)
    numbers = np.zeros([rows, length, 6], np.float32)
    frames = np.zeros([rows], np.int32)
    for row, utterance in enumerate(utterances):
        own = len(utterance.features.phones)
        first, end = window.context, window.context + own
        codes[row, first * window.hop : end * window.hop] = utterance.codes
        phones[row, first:end] = utterance.features.phones
        numbers[row, first:end] = utterance.features.numbers
        frames[row] = own
    return Utterances(codes, phones, numbers, frames, np.full([rows], speaker, np.int32))


def random_pieces(utterances: Utterances, key: tf.Tensor, count: int, window: Window) -> Batch:
    """`count` pieces (batch of `pieces`), each frame of the utterances about equally likely."""
    ends = tf.cumsum(utterances.frames)
    spot = tf.cast(uniform(key, "piece_frame", [count]) * tf.cast(ends[-1], tf.float32), tf.int32)
    rows = tf.reduce_sum(tf.cast(ends[tf.newaxis] <= spot[:, tf.newaxis], tf.int32), axis=1)
    rows = tf.minimum(rows, tf.shape(ends)[0] - 1)
    room = tf.maximum(tf.gather(utterances.frames, rows) - window.frames, 0) + 1
    share = uniform(key, "piece_shift", [count])
    first = tf.cast(share * tf.cast(room, tf.float32), tf.int32)
    return pieces(utterances, rows, tf.minimum(first, room - 1), window)


def tiles(frames: Sequence[int], window: Window) -> np.ndarray:
    """int32 [K, 2], (row, first frame) of the pieces that score these utterances once."""
    pairs = [
        (row, first) for row, own in enumerate(frames) for first in range(0, own, window.frames)
    ]
    return np.array(pairs, np.int32).reshape(-1, 2)


def all_pieces(utterances: Utterances, window: Window) -> Batch:
    """The pieces that score a speaker's utterances once, outside of any graph."""
    cover = tiles(np.asarray(utterances.frames).tolist(), window)
    return pieces(utterances, cover[:, 0], cover[:, 1], window)


def pieces(utterances: Utterances, rows, first, window: Window) -> Batch:
    """The pieces [N] of `rows` that score from frame `first` on.

    Returns:
      (inputs, codes int32 [N, W], weights float32 [N, W]) with W = (context + frames) * hop; inputs
      are the codes before [N, W], the features [N, context + frames, C], and where the network is
      told them the speakers int32 [N]. It hears the code before a sample and predicts the sample.
    """
    rows, first = tf.convert_to_tensor(rows), tf.convert_to_tensor(first)
    span = window.context + window.frames
    samples = tf.range(span * window.hop)
    wave = _rows(utterances.codes, rows, first * window.hop, span * window.hop, SILENT_CODE)
    wave = tf.cast(wave, tf.int32)
    before = tf.pad(wave[:, :-1], [[0, 0], [1, 0]], constant_values=SILENT_CODE)
    features = network_features(
        _rows(utterances.phones, rows, first, span, 0),
        _rows(utterances.numbers, rows, first, span, 0),
    )
    left = tf.gather(utterances.frames, rows) - first + window.context
    scored = (samples >= window.context * window.hop)[tf.newaxis] & (
        samples[tf.newaxis] < (left * window.hop)[:, tf.newaxis]
    )
    inputs = (before, features)
    if window.told:
        inputs += (tf.gather(utterances.speaker, rows),)
    return inputs, wave, tf.cast(scored, tf.float32)


def _rows(array, rows, first, length: int, padding: int) -> tf.Tensor:
    """array[row, first : first + length] of each row; `padding` behind the end."""
    array = tf.convert_to_tensor(array)
    width = array.shape[1]
    columns = first[:, tf.newaxis] + tf.range(length)
    inside = columns < width
    flat = tf.reshape(array, [-1, *array.shape[2:]])
    index = rows[:, tf.newaxis] * width + tf.minimum(columns, width - 1)
    values = tf.gather(flat, index)
    inside = tf.reshape(inside, [-1, length] + [1] * (len(array.shape) - 2))
    return tf.where(inside, values, tf.cast(padding, values.dtype))
