"""Task sources made from task sources: what is drawn, and how often it is augmented."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.adaptation import random_examples, require_examples
from meta_shrink.rng import fold_in
from meta_shrink.types import Task, TaskSource

# In place of an adaptation step, in the key of what is drawn for other purposes.
VALIDATION, MOMENTS, VALIDATION_BATCH = -1, -2, -3


def train_on_all(source: TaskSource) -> TaskSource:
    """Meta-training tasks whose training batch holds their validation examples too (Reptile)."""

    def sample(key: tf.Tensor) -> Task:
        task = source.sample(key)
        both = tf.nest.map_structure(lambda a, b: tf.concat([a, b], 0), task.train, task.val)
        return task._replace(train=both)

    return source._replace(sample=sample)


def validate_on_batch(source: TaskSource, size: int) -> TaskSource:
    """Meta-training tasks whose validation data are a mini-batch of their own (App. E.1).

    Args:
      size: examples of it, drawn for each task anew; 0 leaves all of them.

    Raises:
      UsageError: when a task is drawn that has fewer.
    """
    if not size:
        return source

    def sample(key: tf.Tensor) -> Task:
        task = source.sample(key)
        require_examples(task.val, size, "train.validation_batch", "validation")
        drawn = random_examples(task.val, size, fold_in(task.key, VALIDATION_BATCH))
        return task._replace(val=drawn)

    return source._replace(sample=sample)


def augment_validation(source: TaskSource) -> TaskSource:
    """Tasks whose validation inputs are augmented, once each, where the source says so."""
    augment = source.augment
    if augment is None or not source.augment_validation:
        return source

    def of(draw: Callable[[tf.Tensor], Task]) -> Callable[[tf.Tensor], Task]:
        def drawn(key_or_index: tf.Tensor) -> Task:
            task = draw(key_or_index)
            inputs, targets = task.val
            return task._replace(val=(augment(fold_in(task.key, VALIDATION), inputs), targets))

        return drawn

    return source._replace(
        sample=of(source.sample),
        heldout=of(source.heldout),
        validation=None if source.validation is None else of(source.validation),
    )
