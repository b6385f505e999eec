"""Sampling a voice: each sample costs the same, however far back the network hears.

What a dilated layer hears of the past is kept in a ring as long as its dilation, so a sample is one
pass through every layer at one instant (cached sampling; Paine et al. 2016, arXiv:1611.09482). All
is one function of tensors, the parameters too, so it compiles, exports, and takes a voice per row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.wavenet import DILATIONS, module_order
from meta_shrink.rng import fold_in, uniform
from meta_shrink.speech.signal import SILENT_CODE

# Parameters by path, "block_00_dilated/kernel"; of one voice, or [B, ...] with a voice per row.
Voices = Mapping[str, tf.Tensor]
DRAWN = -1  # In the place of a code: to be drawn.


class Spoken(NamedTuple):
    """What sampling remembers between two pieces of one utterance.

    time: int32 [], samples so far. code: int32 [B], the last one. past: [sum of dilations, B,
    channels], the rings of all dilated layers end to end.
    """

    time: tf.Tensor
    code: tf.Tensor
    past: tf.Tensor


class Piece(NamedTuple):
    """Samples of a piece: codes int32 [B, T], the log-probability of each [B, T], and the state."""

    codes: tf.Tensor
    log_probs: tf.Tensor
    spoken: Spoken


def silence(voices: Voices, rows: int) -> Spoken:
    """The state before the first sample of an utterance.

    Raises:
      UsageError: parameters of no wavenet.
    """
    dilations, kernel = _dilations(voices), voices["block_00_dilated/kernel"]
    shape = [sum(dilations), rows, kernel.shape[-2]]
    return Spoken(tf.constant(0), tf.fill([rows], SILENT_CODE), tf.zeros(shape, kernel.dtype))


def speak(
    voices: Voices,
    features: tf.Tensor,
    codes: tf.Tensor,
    spoken: Spoken,
    key: tf.Tensor,
    temperature: float | tf.Tensor = 1.0,
) -> Piece:
    """Draw the next samples: the same, up to rounding, piece by piece or all at once.

    Args:
      voices: the parameters of a `wavenet`; where they are [B, ...], each row has its own.
      features: [B, F, C], of 5 ms frames.
      codes: int32 [B, T], T a multiple of F; samples that are given, DRAWN where one is drawn.
      spoken: from `silence`, or from the piece before.
      key: int32 [2]; with the time and the row it decides each draw.
      temperature: divides the logits; 0 takes the likeliest code.

    Raises:
      UsageError: parameters of no wavenet, or shapes that do not fit.
    """
    _check(features.shape[1], codes.shape[1])
    conditions, step = _conditions(voices, features), _step_of(voices)
    samples = tf.shape(codes)[1]
    hop, rows = samples // tf.shape(features)[1], tf.transpose(codes)

    def sample(number, state: Spoken, drawn, scores):
        logits, past = step(state, conditions[number // hop])
        code = _drawn(logits, fold_in(key, "sample", state.time), temperature)
        code = tf.where(rows[number] == DRAWN, code, rows[number])
        score = -tf.nn.sparse_softmax_cross_entropy_with_logits(code, logits)
        drawn, scores = (
            tf.tensor_scatter_nd_update(whole, [[number]], own[tf.newaxis])
            for whole, own in ((drawn, code), (scores, score))
        )
        return number + 1, Spoken(state.time + 1, code, past), drawn, scores

    start = (0, spoken, rows, tf.zeros(tf.shape(rows), conditions.dtype))
    _, state, drawn, scores = tf.while_loop(lambda number, *_: number < samples, sample, start)
    return Piece(tf.transpose(drawn), tf.transpose(scores), state)


def speaks(paths: Iterable[str]) -> bool:
    """Whether parameters of these paths are a voice: a `wavenet` without a speaker embedding."""
    layers = {path.rpartition("/")[0] for path in paths}
    blocks = sum(bool(re.fullmatch(r"block_\d+_dilated", name)) for name in layers)
    return blocks > 0 and layers == set(module_order(blocks, voiced=False))


def _check(frames: int | None, samples: int | None) -> None:
    """What is known when a function is traced."""
    if frames and samples is not None and (not samples or samples % frames):
        raise UsageError(f"{samples} samples are no multiple of {frames} frames.")


def _drawn(logits: tf.Tensor, key: tf.Tensor, temperature) -> tf.Tensor:
    """A code for each row [B, 256], by the Gumbel maximum: a draw of the softmax."""
    chance = uniform(key, "gumbel", tf.shape(logits), dtype=logits.dtype)
    noise = -tf.math.log(-tf.math.log(chance + 2.0**-24))
    return tf.argmax(logits + temperature * noise, axis=-1, output_type=tf.int32)


def _step_of(voices: Voices):
    """(state, conditions [blocks, B, 2 G]) -> (logits [B, 256] of the next sample, the rings)."""
    dilations = _dilations(voices)
    lengths = tf.constant(dilations)
    starts = tf.cumsum(lengths, exclusive=True)

    def step(state: Spoken, conditions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places = starts + state.time % lengths
        past, heard = tf.unstack(tf.gather(state.past, places)), []
        path = _looked_up(voices, "input", state.code)
        total = _affine(voices, "input_skip", path)
        for block, before in enumerate(past):
            name = f"block_{block:02}"
            heard.append(path)
            x = _affine(voices, f"{name}_dilated", tf.concat([before, path], -1), width=2)
            signal, gate = tf.split(x + conditions[block], 2, axis=-1)
            z = tf.tanh(signal) * tf.sigmoid(gate)
            total += _affine(voices, f"{name}_skip", z)
            if block < len(past) - 1:
                path += _affine(voices, f"{name}_residual", z)
        rings = tf.tensor_scatter_nd_update(state.past, places[:, tf.newaxis], tf.stack(heard))
        hidden = _affine(voices, "output_1", tf.nn.relu(total))
        return _affine(voices, "output_2", tf.nn.relu(hidden)), rings

    return step


def _conditions(voices: Voices, features: tf.Tensor) -> tf.Tensor:
    """What each block is told in each frame: [B, F, C] -> [F, blocks, B, 2 G]."""
    blocks = len(_dilations(voices))
    told = [_affine(voices, f"block_{b:02}_condition", features) for b in range(blocks)]
    return tf.transpose(tf.stack(told), [2, 0, 1, 3])


def _affine(voices: Voices, name: str, x: tf.Tensor, width: int = 1) -> tf.Tensor:
    """A layer at one instant, [B, I] -> [B, O], or on frames [B, F, I] -> [B, F, O].

    width: of a dilated layer, whose kernel [2, I / 2, O] is that of [past, now].
    """
    kernel, bias = voices[f"{name}/kernel"], voices[f"{name}/bias"]
    if width > 1:
        rows, whole = tf.shape(kernel)[:-3], [width * kernel.shape[-2], kernel.shape[-1]]
        kernel = tf.reshape(kernel, tf.concat([rows, whole], 0))
    own_kernel, own_bias = len(kernel.shape) == 3, len(bias.shape) == 2
    frames = len(x.shape) == 3
    if own_kernel and not frames:
        x = tf.matmul(x[:, tf.newaxis], kernel)[:, 0]
    else:
        x = tf.matmul(x, kernel)
    return x + (bias[:, tf.newaxis] if own_bias and frames else bias)


def _looked_up(voices: Voices, name: str, codes: tf.Tensor) -> tf.Tensor:
    """The layer of codes: int32 [B] -> [B, channels]."""
    kernel = voices[f"{name}/kernel"]
    own = len(kernel.shape) == 3
    found = tf.gather(kernel, codes, batch_dims=1) if own else tf.gather(kernel, codes)
    return found + voices[f"{name}/bias"]


def _dilations(voices: Voices) -> list[int]:
    """Of each block, in their order."""
    if not speaks(voices):
        raise UsageError(
            "Sampling takes the parameters of a wavenet without a speaker embedding; these are "
            f"{', '.join(sorted(voices)[:3]) or 'none'}, ..."
        )
    blocks = sum(path.endswith("_dilated/kernel") for path in voices)
    return [DILATIONS[block % len(DILATIONS)] for block in range(blocks)]
