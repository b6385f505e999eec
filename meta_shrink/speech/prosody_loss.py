"""What a network of prosody is trained by: how likely it takes a phone's duration and melody."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.speech.prosody import POINTS, TARGETS


def prosody(*, noise: Sequence[float] = (0.5, 0.2)) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Negative log-likelihood of a phone, [N, TARGETS], [N, TARGETS] -> [N], without constants.

    Its log duration and, at the points where it is voiced, its log pitch are Gaussian, whether it
    is voiced there is Bernoulli. Of the points the mean counts, as they are hardly independent.

    Args:
      noise: standard deviations of the log duration and of the log pitch.

    Raises:
      UsageError: not two positive numbers; when it is called, arrays of another shape.
    """
    if len(noise) != 2 or min(noise) <= 0:
        raise UsageError(f"loss.noise is {list(noise)}; expected two positive numbers.")

    def loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        _check(target, output)
        target = tf.cast(target, output.dtype)
        sizes = [1, POINTS, POINTS]
        duration, voiced, log_f0 = tf.split(target, sizes, axis=-1)
        said_duration, logit, said_log_f0 = tf.split(output, sizes, axis=-1)
        timing = 0.5 * tf.square((said_duration - duration) / noise[0])[..., 0]
        melody = 0.5 * voiced * tf.square((said_log_f0 - log_f0) / noise[1])
        voicing = tf.math.softplus(logit) - voiced * logit
        return timing + tf.reduce_mean(voicing + melody, axis=-1)

    return loss


def _check(target: tf.Tensor, output: tf.Tensor) -> None:
    if target.shape[-1] != TARGETS or output.shape[-1] != TARGETS:
        raise UsageError(
            f"Targets have shape {target.shape}, the model's outputs {output.shape}; the loss "
            f"'prosody' takes [N, {TARGETS}] (meta_shrink/speech/prosody.py)."
        )
