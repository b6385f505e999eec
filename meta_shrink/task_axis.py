"""Running a per-task function over a meta-batch: three ways with one result."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from meta_shrink.errors import MetaShrinkError, UsageError
from meta_shrink.types import Task

# The operation in what TensorFlow says.
_WITHOUT_RULE = re.compile(r"vectorization defined for (\w+)|of op '(\w+)'")
TASK_AXES = ("sequential", "parallel", "vectorized")


def over_tasks(function: Callable[[Any], Any], task_axis: str) -> Callable[[Any], Any]:
    """Lift a function of one task to tensors with a leading task axis, [T, ...] -> [T, ...].

    Args:
      function: any structure of tensors -> any structure of tensors.
      task_axis: "sequential" (one task at a time, flat memory), "parallel" (independent branches
        of one graph; needs a static T), "vectorized" (one batched computation; the function must
        have no convolution with per-task filters and no random draw).

    Raises:
      UsageError: unknown task_axis; while tracing, a function that cannot be vectorised.
    """
    if task_axis not in TASK_AXES:
        raise UsageError(
            f"train.task_axis is {task_axis!r}; expected one of {', '.join(TASK_AXES)}."
        )
    return {"sequential": _sequential, "parallel": _parallel, "vectorized": _vectorized}[task_axis](
        function
    )


def _sequential(function):
    def lifted(tasks):
        one = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), tasks)
        outputs = (
            tf.function(function, autograph=False).get_concrete_function(one).structured_outputs
        )
        signature = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), outputs)
        return tf.map_fn(function, tasks, fn_output_signature=signature)

    return lifted


def _parallel(function):
    def lifted(tasks):
        count = tf.nest.flatten(tasks)[0].shape[0]
        each = [function(tf.nest.map_structure(lambda x, i=i: x[i], tasks)) for i in range(count)]
        return tf.nest.map_structure(lambda *x: tf.stack(x), *each)

    return lifted


def _vectorized(function):
    def lifted(tasks):
        try:
            with _told_by_its_error_alone():
                return tf.vectorized_map(function, tasks, fallback_to_while_loop=False)
        except MetaShrinkError:
            raise
        except Exception as error:  # Whatever TensorFlow meets where it has no rule.
            names = _WITHOUT_RULE.findall(str(error))
            operation = max(names[0]) if names else "an operation"
            raise UsageError(
                "train.task_axis='vectorized' cannot batch this model or its mini-batches: "
                f"TensorFlow has no rule for {operation} (as for random draws, and convolutions "
                "whose filters are the task's own); use 'auto', 'sequential' or 'parallel'."
            ) from error

    return lifted


@contextmanager
def _told_by_its_error_alone() -> Iterator[None]:
    """TensorFlow logs each operation that it has no rule for, thousands of lines in a loop."""
    logger, before = tf.get_logger(), tf.get_logger().level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def repeat_for_tasks(values: Any, count: Any) -> Any:
    """The same values for every task: [...] -> [count, ...]."""
    return tf.nest.map_structure(lambda x: tf.repeat(x[tf.newaxis], count, axis=0), values)


def draw_tasks(draw: Callable[[tf.Tensor], Task], task_axis: str) -> Callable[[tf.Tensor], Task]:
    """keys [T, 2] (or indices [T]) -> T tasks. Random draws do not vectorise: one by one then.

    Args:
      draw: of a TaskSource: its sample, heldout or validation.

    Raises:
      UsageError: while tracing, tasks whose sizes are not known and may differ.
    """
    axis = "sequential" if task_axis == "vectorized" else task_axis

    def sample(key_or_index: tf.Tensor) -> Task:
        task = draw(key_or_index)
        for name, batch in (("train", task.train), ("val", task.val)):
            loose = [x.shape for x in tf.nest.flatten(batch) if not x.shape.is_fully_defined()]
            if loose:
                raise UsageError(
                    f"A task's {name} batch has an array of shape {loose[0]}, so tasks may differ "
                    "in size: pad them with pad_tasks(source, train=N, val=N), N the size of the "
                    "largest."
                )
        return task

    return over_tasks(sample, axis)
