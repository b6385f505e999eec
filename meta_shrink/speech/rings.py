"""What sampling keeps of the past: for each dilated layer a ring of what it heard.

A ring is as long as the dilation; that of a layer which also hears a pitch period ago holds the
longest one. All rings stand one after another in one tensor [D, B, channels].
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from meta_shrink.pitch import LONGEST_PERIOD


class Rings:
    """Where the rings are. periodic: whether each layer also hears a pitch period ago."""

    def __init__(self, dilations: list[int], *, periodic: list[bool]) -> None:
        pairs = zip(dilations, periodic, strict=True)
        self.periodic, self._dilations = periodic, np.array(dilations)
        self.lengths = np.array([max(d, LONGEST_PERIOD) if p else d for d, p in pairs])
        self._starts = np.cumsum(self.lengths) - self.lengths

    @property
    def places(self) -> int:
        """D: of all rings together."""
        return int(self.lengths.sum())

    def past(self, rings: tf.Tensor, number: tf.Tensor) -> list[tf.Tensor]:
        """What each layer heard its dilation before sample `number`, [B, channels] each."""
        places = self._starts + (number - self._dilations) % self.lengths
        return tf.unstack(tf.gather(rings, places))

    def ago(self, rings: tf.Tensor, number: tf.Tensor, layer: int, lags: tf.Tensor) -> tf.Tensor:
        """What a layer heard lags [B] samples before `number`, [B, channels]; 0 for a lag of 0."""
        places = self._starts[layer] + (number - lags) % self.lengths[layer]
        found = tf.gather_nd(rings, tf.stack([places, tf.range(tf.shape(lags)[0])], -1))
        return tf.where(lags[:, tf.newaxis] > 0, found, tf.zeros_like(found))

    def written(self, rings: tf.Tensor, number: tf.Tensor, heard: list[tf.Tensor]) -> tf.Tensor:
        """The rings after sample `number`, in which the layers heard these."""
        places = self._starts + number % self.lengths
        return tf.tensor_scatter_nd_update(rings, places[:, tf.newaxis], tf.stack(heard))

    def oldest_first(self, rings: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
        """Rings to which `samples` have been written, turned so that the next is number 0."""
        lengths, starts = (np.repeat(x, self.lengths) for x in (self.lengths, self._starts))
        return tf.gather(rings, starts + (np.arange(self.places) - starts + samples) % lengths)
