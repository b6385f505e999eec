"""A few examples of an experiment's tasks, to try a network of the user's on."""

from __future__ import annotations

import keras
import tensorflow as tf

from meta_shrink.adaptation import NextBatch
from meta_shrink.models.row_refusals import check_rows
from meta_shrink.rng import root_key
from meta_shrink.types import TaskSource, batch_parts

TASKS, OF_EACH = 4, 2  # A task may have one example, and two draws may be one task.


def check_examples_apart(model: keras.Model, source: TaskSource, next_batch: NextBatch) -> None:
    """The network computes each example by itself, tried on some of meta-training tasks.

    Raises:
      UsageError: of check_rows.
    """

    @tf.function(autograph=False)
    def some(key: tf.Tensor):
        inputs = batch_parts(next_batch(source.sample(key), tf.constant(0)))[0]
        return tf.nest.map_structure(lambda x: x[:OF_EACH], inputs)

    parts = [some(root_key(number, "rows")) for number in range(TASKS)]
    check_rows(model, tf.nest.map_structure(lambda *x: tf.concat(x, 0), *parts))
