"""Held-out evaluation: adapt unseen tasks, record the metric as adaptation goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adaptation import Adaptation, augmented_once
from meta_shrink.errors import Preempted, UsageError
from meta_shrink.keras_model import moments
from meta_shrink.losses import ExampleLoss, Metric, loss_of_call
from meta_shrink.models.pure_call import Called, mode
from meta_shrink.task_axis import draw_tasks, over_tasks, repeat_for_tasks
from meta_shrink.training.replicas import Replicas
from meta_shrink.types import (
    Augment,
    MetaParams,
    Params,
    Task,
    TaskMetric,
    TaskSource,
    batch_parts,
)

TASKS_AT_ONCE = 50  # bounds the memory of an evaluation, where tasks run one after another
LONG = 1000  # adaptation steps of a task that is done, and kept, by itself
VALIDATION_TASKS = 1_000_000  # without a validation split: held-out tasks from this number on


class Curves(NamedTuple):
    """Results over T held-out tasks at R recorded adaptation steps.

    steps: [R]. metrics: one [T, R] on the tasks' validation data for each metric asked for.
    parameter_error: [T, R, V] absolute error of each parameter where the truth is known, else None.
    """

    steps: np.ndarray
    metrics: list[np.ndarray]
    parameter_error: np.ndarray | None

    @property
    def metric(self) -> np.ndarray:
        """The first metric, [T, R]."""
        return self.metrics[0]


# (numbers of tasks, make) -> the result of make, or the same from where it is kept.
Keep = Callable[[range, Callable[[], Curves]], Curves]


def recorded_steps(total: int, *, points: int = 40) -> list[int]:
    """About `points` adaptation steps from 0 to total, dense at the start, without repeats."""
    if total < 1:
        raise UsageError(f"eval.steps is {total}; expected at least 1.")
    dense = np.geomspace(1, total, points).round().astype(int)
    return sorted({0, total, *dense.tolist()})


class HeldOutEvaluator:
    """Adapts held-out tasks; compiled once, then used with any Phi and any module selection."""

    def __init__(
        self,
        adaptation: Adaptation,
        metrics: Sequence[TaskMetric],
        source: TaskSource,
        *,
        task_axis: str,
        jit: bool,
        strategy: tf.distribute.Strategy | None = None,
    ):
        """Compile lazily.

        Args:
          adaptation: the task adaptation, drawing mini-batches by the step number.
          metrics: (params, task) -> scalar, higher or lower is better as the metric has it.
          source: its `heldout`, `validation` and `truth` functions are used.
          task_axis, jit: as in training. strategy: its replicas share the tasks; one by default.
        """
        self._source, self._one_by_one = source, task_axis != "vectorized"
        self._replicas = Replicas(strategy)

        def start(meta, tasks):
            return repeat_for_tasks(adaptation.start(meta), tasks.key.shape[0])

        def advance(meta, tasks, states, num_steps, max_steps):
            def advanced(pair):
                return adaptation.advance(meta, *pair, num_steps, max_steps=max_steps)

            return over_tasks(advanced, task_axis)((tasks, states))

        def measure(tasks, thetas):
            def measured(pair):
                task, theta = pair
                return [metric(theta, task) for metric in metrics]

            return over_tasks(measured, task_axis)((tasks, thetas))

        def compiled(function):
            return self._replicas.compiled(function, jit=jit)

        self._sample = compiled(draw_tasks(source.heldout, task_axis))
        validation = source.validation or (lambda index: source.heldout(VALIDATION_TASKS + index))
        self._validation = compiled(draw_tasks(validation, task_axis))
        self._start, self._advance, self._measure = map(compiled, (start, advance, measure))

    def curves(
        self,
        meta: MetaParams,
        *,
        count: int,
        steps: Sequence[int],
        first: int = 0,
        validation: bool = False,
        chunk_steps: int = 1000,
        stop_requested: Callable[[], bool] = lambda: False,
        told: Callable[[int], Any] = lambda steps: None,
        keep: Keep = lambda tasks, make: make(),
    ) -> Curves:
        """Adapt `count` held-out tasks from number `first` on and record at the given steps.

        Args:
          meta: Phi; sigma^2 = 0 freezes a module (prior.freeze_others).
          steps: increasing, starting at 0.
          validation: adapt validation tasks instead.
          chunk_steps: most adaptation steps of one call.
          stop_requested: asked between calls. told: how many steps, of all tasks, a call has done.
          keep: asked for each group of tasks that adapt together.

        Raises:
          UsageError: more tasks than there are.
          Preempted: a stop was requested.
        """
        require_tasks(self._source, first + count, validation=validation)

        def pieces(tasks: range, done: int, target: int) -> Iterator[int]:
            while done < target:
                if stop_requested():
                    raise Preempted("Evaluation was stopped; the same command goes on.")
                piece = min(chunk_steps, target - done)
                yield piece
                told(piece * len(tasks))
                done += piece

        rows = [
            keep(tasks, partial(self._rows, meta, tasks, steps, validation, chunk_steps, pieces))
            for tasks in self._groups(first, count, steps[-1])
        ]
        metrics = [
            np.concatenate(parts) for parts in zip(*(row.metrics for row in rows), strict=True)
        ]
        errors = [row.parameter_error for row in rows if row.parameter_error is not None]
        return Curves(np.asarray(steps), metrics, np.concatenate(errors) if errors else None)

    def _groups(self, first: int, count: int, steps: int) -> list[range]:
        """The tasks that adapt together."""
        most = (1 if steps >= LONG else TASKS_AT_ONCE) * self._replicas.count
        at_once = min(count, most) if self._one_by_one else count
        end = first + count
        return [range(n, min(n + at_once, end)) for n in range(first, end, at_once)]

    def _rows(self, meta, numbers: range, steps, validation, chunk_steps, pieces) -> Curves:
        indices, total = tf.range(numbers.start, numbers.stop), len(numbers)
        truth = self._truth(indices)
        tasks = (self._validation if validation else self._sample)(self._replicas.divide(indices))
        states = self._start(meta, tasks)
        measured, errors = [], []
        for done, target in pairwise([0, *steps]):
            for piece in pieces(numbers, done, target):
                states = self._advance(meta, tasks, states, tf.constant(piece), chunk_steps)
            found = self._measure(tasks, states.theta)
            measured.append([self._replicas.join(values, total) for values in found])
            if truth is not None:
                theta = [self._replicas.join(values, total) for values in states.theta]
                theta = np.concatenate(theta, axis=1)
                errors.append(np.abs(theta - truth))
        return Curves(
            np.asarray(steps),
            [np.stack(values, axis=1) for values in zip(*measured, strict=True)],
            None if truth is None else np.stack(errors, axis=1),
        )

    def adapted(self, meta: MetaParams, *, index: int, steps: int):
        """One held-out task and its adapted parameters."""
        tasks = self._sample(self._replicas.divide(tf.constant([index])))
        states = self._start(meta, tasks)
        states = self._advance(meta, tasks, states, tf.constant(steps), steps)
        return self._replicas.first((tasks, states.theta))

    def _truth(self, indices: tf.Tensor) -> np.ndarray | None:
        if self._source.truth is None:
            return None
        one_by_one = over_tasks(self._source.truth, "sequential")
        return tf.function(one_by_one, autograph=False)(indices).numpy()


def require_tasks(
    source: TaskSource, count: int, *, validation: bool = False, setting: str = ""
) -> None:
    """Raises UsageError if the source has fewer held-out (or validation) tasks: one counted twice
    would make an interval too narrow, and one of the test would choose hyper-parameters.

    Args:
      setting: what asks for them; "": the key of the config.
    """
    if validation and source.num_heldout and source.validation is None:
        raise UsageError(
            f"validation asks for {count} tasks, but this source has its {source.num_heldout} test "
            "tasks alone: give it `validation`, or set train.eval_every to 0."
        )
    there = source.num_validation if validation else source.num_heldout
    if there and count > there:
        key, kind = ("validation_tasks", "validation") if validation else ("num_tasks", "test")
        raise UsageError(
            f"{setting or f'eval.{key}'} asks for {count} tasks, but there are {there} {kind} "
            f"tasks; set it to {there} or less."
        )


def transductive(metric: Metric) -> TaskMetric:
    """The metric on the validation data as one batch."""
    return lambda theta, task: metric(theta, task.val)


def inductive_metric(
    model: keras.Model, example_metric: ExampleLoss, augment: Augment | None = None
) -> TaskMetric:
    """The mean metric on the validation data, normalised by moments of the training data.

    Args:
      model: any built model; those of its layers that are batch normalisations have moments.
      example_metric: (targets, outputs) -> [N].
      augment: drawn once for the images that the moments are of.
    """

    def metric(theta: Params, task: Task) -> tf.Tensor:
        inputs, _, weights = batch_parts(augmented_once(augment, task))
        state = moments(model, theta, inputs, weights=weights)
        val_inputs, val_targets, val_weights = batch_parts(task.val)
        outputs = model.stateless_call(theta, state, val_inputs, **mode(model, training=False))[0]
        called = Called(outputs, state, [])  # With the masks of its outputs, and without penalties.
        return loss_of_call(called, example_metric, val_targets, val_weights, reduction="mean")

    return metric
