"""Sampling a voice: each sample costs the same, however far back the network hears.

What a dilated layer hears of the past is kept in a ring as long as its dilation, so a sample is one
pass through every layer at one instant (cached sampling; Paine et al. 2016, arXiv:1611.09482). All
is one function of tensors, the parameters and the noise too, so it compiles, exports, takes a voice
per row, and rows that are at different places of different utterances share a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.wavenet import DILATIONS, module_order
from meta_shrink.pitch import pitch_lags
from meta_shrink.speech.instant import Voices, affine, are_per_row, looked_up, of_one_row
from meta_shrink.speech.rings import Rings
from meta_shrink.speech.signal import SILENT_CODE

DRAWN = -1  # In the place of a code: to be drawn.


class Spoken(NamedTuple):
    """What sampling remembers of each utterance between two of its pieces.

    code: int32 [B], the last one. past: [B, places of `Rings`, channels], what each dilated layer
    hears of the past, layer by layer, the oldest first.
    """

    code: tf.Tensor
    past: tf.Tensor


class Piece(NamedTuple):
    """Samples of a piece: codes int32 [B, T], the log-probability of each [B, T], and the state."""

    codes: tf.Tensor
    log_probs: tf.Tensor
    spoken: Spoken


class Noise:
    """The noise of one utterance, in order: the same by the seed, whatever the pieces."""

    def __init__(self, seed: int) -> None:
        """Raises UsageError unless seed is in [0, 2^63)."""
        if not 0 <= seed < 2**63:
            raise UsageError(f"seed is {seed}; expected at least 0, and less than 2^63.")
        self._bits = np.random.Philox(key=seed)

    def __call__(self, samples: int) -> np.ndarray:
        """float32 [samples] of the next ones, uniform in (0, 1), neither end ever."""
        return ((self._bits.random_raw(samples) >> 41) + 0.5).astype(np.float32) * 2**-23


def silence(voices: Voices, rows: int) -> Spoken:
    """The state before the first sample of an utterance.

    Raises:
      UsageError: parameters of no wavenet.
    """
    rings, kernel = _rings(voices), voices["block_00_dilated/kernel"]
    past = tf.zeros([rows, rings.places, kernel.shape[-2]], kernel.dtype)
    return Spoken(tf.fill([rows], SILENT_CODE), past)


def speak(
    voices: Voices,
    features: tf.Tensor,
    codes: tf.Tensor,
    noise: tf.Tensor,
    spoken: Spoken,
    temperature: float | tf.Tensor = 1.0,
) -> Piece:
    """Draw the next samples: the same, up to rounding, piece by piece or all at once.

    Args:
      voices: the parameters of a `wavenet`; where they are [B, ...], each row has its own.
      features: [B, F, C], of 5 ms frames.
      codes: int32 [B, T], T a multiple of F; samples that are given, DRAWN where one is drawn.
      noise: [B, T] in (0, 1), of `Noise`: where in the cumulated probabilities a code is taken.
      spoken: from `silence`, or from the piece before.
      temperature: [] or [B], divides the logits; 0 takes the likeliest code.

    Raises:
      UsageError: parameters of no wavenet, or shapes that do not fit.
    """
    _check(features.shape[1], codes.shape[1])
    given = features, codes, noise, spoken, temperature
    rows, alone = codes.shape[0], of_one_row(voices)
    if rows == 1 or not are_per_row(voices):
        return _spoken(alone, *given)
    if rows:
        return _spoken(voices, *given)
    # XLA, which knows the shapes, compiles one of the two.
    is_alone = tf.shape(codes)[0] == 1
    return tf.cond(is_alone, lambda: _spoken(alone, *given), lambda: _spoken(voices, *given))


def _spoken(voices, features, codes, noise, spoken, temperature) -> Piece:
    """`speak`."""
    kept = _rings(voices)
    conditions, step = _conditions(voices, features, len(kept.periodic)), _step_of(voices, kept)
    samples = tf.shape(codes)[1]
    hop = samples // tf.shape(features)[1]
    lags = tf.transpose(_lags(kept, features, hop))
    rows, chance = tf.transpose(codes), tf.transpose(noise)
    heat = tf.reshape(tf.cast(temperature, conditions.dtype), [-1, 1])

    def sample(number, code, past, drawn, scores):
        frame = number // hop
        logits, past = step(number, code, past, conditions[frame], lags[frame])
        code = tf.where(rows[number] == DRAWN, _drawn(logits, chance[number], heat), rows[number])
        # Not sparse_softmax_cross_entropy: LiteRT has none.
        score = tf.gather(tf.nn.log_softmax(logits), code, batch_dims=1)
        drawn, scores = (
            tf.tensor_scatter_nd_update(whole, [[number]], own[tf.newaxis])
            for whole, own in ((drawn, code), (scores, score))
        )
        return number + 1, code, past, drawn, scores

    past = tf.transpose(spoken.past, [1, 0, 2])
    start = (0, spoken.code, past, rows, tf.zeros(tf.shape(rows), conditions.dtype))
    _, code, past, drawn, scores = tf.while_loop(lambda n, *_: n < samples, sample, start)
    past = tf.transpose(kept.oldest_first(past, samples), [1, 0, 2])
    return Piece(tf.transpose(drawn), tf.transpose(scores), Spoken(code, past))


def speaks(paths: Iterable[str], speaker: int | None = None) -> bool:
    """Whether parameters of these paths are a voice.

    Args:
      speaker: the number of the voice in a `wavenet` of many; None: one without an embedding.
    """
    layers = {path.rpartition("/")[0] for path in paths}
    blocks = sum(bool(re.fullmatch(r"block_\d+_dilated", name)) for name in layers)
    return blocks > 0 and layers == set(module_order(blocks, voiced=speaker is not None))


def voice_of(voices: Voices, speaker: int | None) -> Voices:
    """The parameters of a `wavenet` without embedding that speaks as that speaker of one with it.

    What a speaker adds in a block is the same in each frame: it goes into the bias of what the
    frame adds. None leaves a network without embedding as it is.
    """
    if speaker is None:
        return voices
    vector = voices["speaker/table"][..., speaker, :]
    rows = vector if len(vector.shape) == 2 else vector[tf.newaxis]
    alone = {path: x for path, x in voices.items() if "speaker" not in path}
    for path in [path for path in alone if path.endswith("_condition/bias")]:
        name = path.replace("_condition/bias", "_speaker")
        added = affine(voices, name, rows)
        own = [vector, voices[f"{name}/kernel"], voices[f"{name}/bias"]]
        is_per_row = [len(x.shape) for x in own] != [1, 2, 1]
        alone[path] = alone[path] + (added if is_per_row else added[0])
    return alone


def _check(frames: int | None, samples: int | None) -> None:
    """What is known when a function is traced."""
    if frames and samples is not None and (not samples or samples % frames):
        raise UsageError(f"{samples} samples are no multiple of {frames} frames.")


def _drawn(logits: tf.Tensor, chance: tf.Tensor, heat: tf.Tensor) -> tf.Tensor:
    """A code for each row [B, 256]: the first whose cumulated probability reaches the noise."""
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)
    weights = tf.exp((logits - tf.reduce_max(logits, -1, keepdims=True)) / tf.maximum(heat, 1e-6))
    sums = tf.cumsum(weights, axis=-1)
    below = tf.cast(sums < chance[:, tf.newaxis] * sums[:, -1:], tf.int32)
    return tf.where(heat[:, 0] > 0, tf.reduce_sum(below, -1), likeliest)


def _step_of(voices: Voices, kept: Rings):
    """(number of a sample in its piece, the code before it [B], the rings [D, B, channels],
    conditions [blocks, B, 2 G], lags [B]) -> (logits [B, 256] of the sample, the rings).
    """

    def step(number, code, rings, conditions, lags) -> tuple[tf.Tensor, tf.Tensor]:
        past, heard = kept.past(rings, number), []
        path = looked_up(voices, "input", code)
        total = affine(voices, "input_skip", path)
        for block, before in enumerate(past):
            name = f"block_{block:02}"
            heard.append(path)
            ago = [kept.ago(rings, number, block, lags)] if kept.periodic[block] else []
            taps = [*ago, before, path]
            x = affine(voices, f"{name}_dilated", tf.concat(taps, -1), width=len(taps))
            signal, gate = tf.split(x + conditions[block], 2, axis=-1)
            z = tf.tanh(signal) * tf.sigmoid(gate)
            total += affine(voices, f"{name}_skip", z)
            if block < len(past) - 1:
                path += affine(voices, f"{name}_residual", z)
        rings = kept.written(rings, number, heard)
        hidden = affine(voices, "output_1", tf.nn.relu(total))
        return affine(voices, "output_2", tf.nn.relu(hidden)), rings

    return step


def _lags(kept: Rings, features: tf.Tensor, hop: tf.Tensor) -> tf.Tensor:
    """Of each frame, int32 [B, F]: 0 where no layer hears a pitch period ago."""
    if any(kept.periodic):
        return pitch_lags(features, hop)
    return tf.zeros(tf.shape(features)[:2], tf.int32)


def _conditions(voices: Voices, features: tf.Tensor, blocks: int) -> tf.Tensor:
    """What each block is told in each frame: [B, F, C] -> [F, blocks, B, 2 G]."""
    told = [affine(voices, f"block_{b:02}_condition", features) for b in range(blocks)]
    return tf.transpose(tf.stack(told), [2, 0, 1, 3])


def _rings(voices: Voices) -> Rings:
    """Those of its blocks; a kernel with a third tap is of a layer that hears a period ago."""
    if not speaks(voices):
        raise UsageError(
            "Sampling takes the parameters of a wavenet of one voice (voice_of); these are "
            f"{', '.join(sorted(voices)[:3]) or 'none'}, ..."
        )
    blocks = sum(path.endswith("_dilated/kernel") for path in voices)
    kernels = [voices[f"block_{block:02}_dilated/kernel"] for block in range(blocks)]
    dilations = [DILATIONS[block % len(DILATIONS)] for block in range(blocks)]
    return Rings(dilations, periodic=[kernel.shape[-3] == 3 for kernel in kernels])
