"""The Gaussian examples as a Keras model: parameters theta, output mu(theta)."""

from __future__ import annotations

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.gaussian_means import MEANS, num_observed


class _Mean(keras.layers.Layer):
    """Holds theta as one variable [1] per dimension, so that each can be a module."""

    def __init__(self, dimensions: int, mean: str, initial: float, **kwargs):
        super().__init__(**kwargs)
        self.mean = MEANS[mean]
        self.theta = [
            self.add_weight(shape=(1,), initializer=keras.initializers.Constant(initial), name=name)
            for name in (f"theta_{m + 1}" for m in range(dimensions))
        ]
        self.built = True

    def call(self, inputs):
        theta = tf.stack([tf.reshape(tf.convert_to_tensor(t), []) for t in self.theta])
        mu = self.mean(theta)
        return tf.zeros_like(inputs) + mu


def gaussian(
    *, seed: int, dimensions: int, mean: str = "identity", initial: float = 0.0
) -> keras.Model:
    """mu(theta) for each observation: [N, D] -> [N, D], constant over N (Appendices A, C).

    Args:
      seed: unused, the start is a constant.
      dimensions: M, the number of latent variables.
      mean: "identity", "linear" (D = M + 1) or "spiral".
      initial: value of every theta at the start.

    Raises:
      UsageError: unknown mean, or an odd number of dimensions for the spiral.
    """
    del seed
    if mean not in MEANS or dimensions < 1 or (mean == "spiral" and dimensions % 2):
        raise UsageError(
            f"model.mean={mean!r} with model.dimensions={dimensions}; expected a mean of "
            f"{', '.join(MEANS)}, at least 1 dimension, and pairs of them for spiral."
        )
    inputs = keras.Input((num_observed(mean, dimensions),), name="observations")
    outputs = _Mean(dimensions, mean, initial, name="latent")(inputs)
    return keras.Model(inputs, outputs, name="gaussian")
