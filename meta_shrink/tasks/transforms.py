"""Task sources made from task sources: what is drawn, and how often it is augmented."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from meta_shrink.adaptation import random_examples, require_examples
from meta_shrink.rng import fold_in
from meta_shrink.types import Batch, Task, TaskSource, batch_parts, weights_of


def transformed(source: TaskSource, *, on_all: bool, validation_batch: int) -> TaskSource:
    """The source as an experiment has it: train_on_all, validate_on_batch, augment_validation."""
    both = train_on_all(source) if on_all else source
    return augment_validation(validate_on_batch(both, validation_batch))


def train_on_all(source: TaskSource) -> TaskSource:
    """Meta-training tasks whose training batch holds their validation examples too (Reptile)."""

    def sample(key: tf.Tensor) -> Task:
        task = source.sample(key)
        return task._replace(train=_together(task.train, task.val))

    return source._replace(sample=sample)


def _together(first: Batch, second: Batch) -> Batch:
    """The examples of both; where one has weights, those of the other weigh 1."""
    if (weights_of(first) is None) != (weights_of(second) is None):
        first, second = _weighted(first), _weighted(second)
    return tf.nest.map_structure(lambda a, b: tf.concat([a, b], 0), first, second)


def _weighted(batch: Batch) -> Batch:
    inputs, targets, weights = batch_parts(batch)
    if weights is None:
        weights = tf.ones([tf.shape(tf.nest.flatten(inputs)[0])[0]])
    return inputs, targets, weights


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
        drawn = random_examples(task.val, size, fold_in(task.key, "validation_batch"))
        return task._replace(val=drawn)

    return source._replace(sample=sample)


def pad_tasks(source: TaskSource, *, train: int, val: int) -> TaskSource:
    """Tasks of any sizes as tasks of one size, which all task axes and compilers need.

    What is missing is padding of weight 0 (see types.Batch): copies of the task's own examples, so
    that no layer meets a number that the task does not have.

    Args:
      source: its batches are (inputs, targets[, weights]) of at least one example.
      train, val: examples of a padded batch, at least as many as the largest task has.

    Raises:
      InvalidArgumentError: when a task is drawn that has none, or more than that.
    """

    def padded(draw: Callable[[tf.Tensor], Task]) -> Callable[[tf.Tensor], Task]:
        def task_of(key_or_index: tf.Tensor) -> Task:
            task = draw(key_or_index)
            return task._replace(train=pad_batch(task.train, train), val=pad_batch(task.val, val))

        return task_of

    return source._replace(
        sample=padded(source.sample),
        heldout=padded(source.heldout),
        validation=None if source.validation is None else padded(source.validation),
    )


def pad_batch(batch: Batch, size: int) -> Batch:
    """(inputs, targets, weights) with `size` examples: the batch's own, then copies of weight 0."""
    batch = _weighted(batch)
    count = tf.shape(batch[2])[0]
    bounds = [tf.debugging.assert_positive(count), tf.debugging.assert_less_equal(count, size)]
    with tf.control_dependencies([check for check in bounds if check is not None]):
        rows = tf.range(size) % count
    *examples, weights = tf.nest.map_structure(
        lambda x: tf.ensure_shape(tf.gather(x, rows), [size, *x.shape[1:]]), batch
    )
    there = tf.reshape(tf.range(size) < count, [size] + [1] * (len(weights.shape) - 1))
    return *examples, tf.where(there, weights, tf.zeros_like(weights))


def augment_validation(source: TaskSource) -> TaskSource:
    """Tasks whose validation inputs are augmented, once each, where the source says so."""
    augment = source.augment
    if augment is None or not source.augment_validation:
        return source

    def augmented(draw: Callable[[tf.Tensor], Task]) -> Callable[[tf.Tensor], Task]:
        def drawn(key_or_index: tf.Tensor) -> Task:
            task = draw(key_or_index)
            inputs, *rest = task.val
            return task._replace(
                val=(augment(fold_in(task.key, "augment_validation"), inputs), *rest)
            )

        return drawn

    return source._replace(
        sample=augmented(source.sample),
        heldout=augmented(source.heldout),
        validation=None if source.validation is None else augmented(source.validation),
    )
