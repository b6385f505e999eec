"""Random pieces of utterances, drawn on the device, with the context that they need.

A piece is `context` frames that are heard but not scored, then `frames` frames that are. What lies
before an utterance is silence; what lies behind it has weight 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError
from meta_shrink.pitch import FRAMES_PER_SECOND
from meta_shrink.rng import uniform
from meta_shrink.speech.corpus import Utterance
from meta_shrink.speech.features import network_features
from meta_shrink.speech.signal import SILENT_CODE
from meta_shrink.types import Batch

FRAME_BYTES = 27  # of phones and numbers


class Utterances(NamedTuple):
    """U utterances, end to end in R rows of T frames, `context` frames of silence before each.

    codes uint8 [R, T * hop], phones uint8 [R, T, 3], numbers float32 [R, T, 6]. Of each utterance
    int32 [U]: row, in which it is; start, the frame of the row where the silence before it begins;
    frames, its own length, 0 for none; speaker, the number of who speaks.
    """

    codes: Any
    phones: Any
    numbers: Any
    row: Any
    start: Any
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


def rows_of(
    speakers: Sequence[Sequence[Utterance]], window: Window, numbers: Sequence[int]
) -> Utterances:
    """The utterances of S speakers, leaves [S, ...], each speaker's in a row of their own (R is 1).

    A speaker with fewer or shorter ones than others has a row that is padded, and lengths of 0.

    Raises:
      DataError: that is more than this machine has room for.
    """
    count, most = len(speakers), max(map(len, speakers))
    length = max(sum(window.context + len(u.features.phones) for u in own) for own in speakers)
    _check_room(count, length, window.hop)
    codes = np.full([count, 1, length * window.hop], SILENT_CODE, np.uint8)
    phones = np.zeros([count, 1, length, 3], np.uint8)
    features = np.zeros([count, 1, length, 6], np.float32)
    start, frames = (np.zeros([count, most], np.int32) for _ in range(2))
    for speaker, utterances in enumerate(speakers):
        end = 0
        for number, one in enumerate(utterances):
            first = end + window.context
            start[speaker, number], end = end, first + len(one.features.phones)
            frames[speaker, number] = end - first
            codes[speaker, 0, first * window.hop : end * window.hop] = one.codes
            phones[speaker, 0, first:end] = one.features.phones
            features[speaker, 0, first:end] = one.features.numbers
    whose = np.repeat(np.asarray(numbers, np.int32)[:, np.newaxis], most, axis=1)
    return Utterances(codes, phones, features, np.zeros_like(start), start, frames, whose)


def _check_room(speakers: int, frames: int, hop: int) -> None:
    size, has = speakers * frames * (hop + FRAME_BYTES), memory_bytes()
    if size > has or frames * hop >= 2**31:
        raise DataError(
            f"{speakers} speakers, each with room for as much speech as the one with most, "
            f"{frames / FRAMES_PER_SECOND / 3600:.1f} hours, are {size / 2**30:,.0f} GiB, and this "
            f"machine has {has / 2**30:,.0f}: leave out speakers, or speech of those with most."
        )


def memory_bytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def mixed(speakers: Utterances) -> Utterances:
    """The utterances of all speakers, of leaves [S, ...], as those of one; a row a speaker."""
    count = len(speakers.frames)
    row = speakers.row + tf.range(count)[:, tf.newaxis]
    return Utterances(*(tf.reshape(x, [-1, *x.shape[2:]]) for x in speakers._replace(row=row)))


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
    own = [tf.gather(x, rows) for x in (utterances.row, utterances.start, utterances.frames)]
    row, start, end = own[0], own[1] + first, own[1] + window.context + own[2]
    wave = _cut(utterances.codes, row, start, end, span, window.hop, SILENT_CODE)
    wave = tf.cast(wave, tf.int32)
    before = tf.pad(wave[:, :-1], [[0, 0], [1, 0]], constant_values=SILENT_CODE)
    phones, numbers = (
        _cut(array, row, start, end, span) for array in (utterances.phones, utterances.numbers)
    )
    features = network_features(phones, numbers)
    left = own[2] - first + window.context
    scored = (samples >= window.context * window.hop)[tf.newaxis] & (
        samples[tf.newaxis] < (left * window.hop)[:, tf.newaxis]
    )
    inputs = (before, features)
    if window.told:
        inputs += (tf.gather(utterances.speaker, rows),)
    return inputs, wave, tf.cast(scored, tf.float32)


def _cut(array, row, start, end, length: int, hop: int = 1, padding: int = 0) -> tf.Tensor:
    """array[row, start : start + length] of each piece, in frames of hop; `padding` from end on.

    The row and the place in it are two numbers: one place in all rows may pass 2^31.
    """
    array = tf.convert_to_tensor(array)
    columns = start[:, tf.newaxis] * hop + tf.range(length * hop)
    inside = columns < end[:, tf.newaxis] * hop
    columns = tf.minimum(columns, array.shape[1] - 1)
    if array.shape[0] == 1:
        values = tf.gather(array[0], columns)
    else:
        whose = tf.broadcast_to(row[:, tf.newaxis], tf.shape(columns))
        values = tf.gather_nd(array, tf.stack([whose, columns], -1))
    inside = tf.reshape(inside, [-1, length * hop] + [1] * (len(array.shape) - 2))
    return tf.where(inside, values, tf.cast(padding, values.dtype))
