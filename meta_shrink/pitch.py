"""The pitch that a network is told in each frame, and where in the past it says to listen."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

FRAMES_PER_SECOND = 200
USUAL_F0 = 150.0  # Hz
LONGEST_PERIOD = 512  # Samples; 31 Hz at 16 kHz, 47 Hz at 24 kHz.
LONGEST_HOP = 154  # Samples of a frame: with more, the lowest pitch, 60 Hz, has a longer period.
# Samples that are heard beyond a period ago: both its neighbours, if the pitch is right.
_AHEAD = 2


def hertz(log_f0: np.ndarray | float) -> np.ndarray | float:
    """The pitch that a feature `log_f0` says (speech.features)."""
    return USUAL_F0 * np.exp(log_f0)


def pitch_lags(features: tf.Tensor, hop: int | tf.Tensor) -> tf.Tensor:
    """How far behind the newest code lies what was there one pitch period before the next sample.

    Args:
      features: [N, F, C] of 5 ms frames, which end in `voiced` and `log_f0` (speech.features).
      hop: samples of a frame.

    Returns:
      int32 [N, F], in [1, LONGEST_PERIOD]; 0 where the voice has no pitch. A network that is about
      to predict sample t has heard those up to t - 1, and lag samples before that those up to
      t - period + 2.
    """
    voiced, log_f0 = features[..., -2], features[..., -1]
    usual = tf.cast(hop, features.dtype) * FRAMES_PER_SECOND / USUAL_F0
    period = tf.cast(tf.round(usual * tf.exp(-log_f0)), tf.int32)
    lags = tf.clip_by_value(period - 1 - _AHEAD, 1, LONGEST_PERIOD)
    return tf.where(voiced > 0, lags, 0)
