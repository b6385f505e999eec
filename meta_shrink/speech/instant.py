"""Layers of a WaveNet at one instant, whose parameters are of one voice or of one a row."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

# Parameters by path, "block_00_dilated/kernel"; of one voice, or [B, ...] with a voice per row.
Voices = Mapping[str, tf.Tensor]


def of_one_row(voices: Voices) -> Voices:
    """Parameters [1, ...] as those of one voice: matrix products of one row are much quicker so."""
    return {path: x[0] if len(x.shape) > _axes(path) else x for path, x in voices.items()}


def are_per_row(voices: Voices) -> bool:
    """Whether any parameter has a row for each voice."""
    return any(len(x.shape) > _axes(path) for path, x in voices.items())


def _axes(path: str) -> int:
    """Of a parameter of one voice."""
    return 1 if path.endswith("/bias") else 3 if path.endswith("_dilated/kernel") else 2


def affine(voices: Voices, name: str, x: tf.Tensor, width: int = 1) -> tf.Tensor:
    """A layer at one instant, [B, I] -> [B, O], or on frames [B, F, I] -> [B, F, O].

    width: of a dilated layer, whose kernel [width, I / width, O] is that of its taps.
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


def looked_up(voices: Voices, name: str, codes: tf.Tensor) -> tf.Tensor:
    """The layer of codes: int32 [B] -> [B, channels]."""
    kernel = voices[f"{name}/kernel"]
    own = len(kernel.shape) == 3
    found = tf.gather(kernel, codes, batch_dims=1) if own else tf.gather(kernel, codes)
    return found + voices[f"{name}/bias"]
