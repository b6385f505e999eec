"""Held-out evaluation: adapt unseen tasks, record the metric as adaptation goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adaptation import Adaptation
from meta_shrink.core import sampler
from meta_shrink.errors import Preempted, UsageError
from meta_shrink.task_axis import over_tasks, repeat_for_tasks
from meta_shrink.types import Batch, MetaParams, Params, TaskSource

Metric = Callable[[Params, Batch], tf.Tensor]


class Curves(NamedTuple):
    """Results over T held-out tasks at R recorded adaptation steps.

    steps: [R]. metric: [T, R] on the tasks' validation data. parameter_error: [T, R, V] absolute
    error of each parameter where the truth is known, else None.
    """

    steps: np.ndarray
    metric: np.ndarray
    parameter_error: np.ndarray | None


def recorded_steps(total: int, *, points: int = 40) -> list[int]:
    """About `points` adaptation steps from 0 to total, dense at the start, without repeats."""
    if total < 1:
        raise UsageError(f"eval.steps is {total}; expected at least 1.")
    dense = np.geomspace(1, total, points).round().astype(int)
    return sorted({0, total, *dense.tolist()})


class HeldOut:
    """Adapts held-out tasks; compiled once, then used with any Phi and any module selection."""

    def __init__(
        self,
        adaptation: Adaptation,
        metric: Metric,
        source: TaskSource,
        *,
        task_axis: str,
        jit: bool,
    ):
        """Compile lazily.

        Args:
          adaptation: the task adaptation, drawing mini-batches by the step number.
          metric: (params, batch) -> scalar, higher or lower is better as the metric has it.
          source: its `heldout` and `truth` functions are used.
          task_axis, jit: as in training.
        """
        self._source = source
        heldout = source._replace(sample=source.heldout)
        sample = sampler(heldout, task_axis)
        self._sample = tf.function(sample, jit_compile=jit, autograph=False)

        def start(meta, tasks):
            return repeat_for_tasks(adaptation.start(meta), tasks.key.shape[0])

        def advance(meta, tasks, states, num_steps, max_steps):
            def one(pair):
                return adaptation.advance(meta, *pair, num_steps, max_steps=max_steps)

            return over_tasks(one, task_axis)((tasks, states))

        def measure(tasks, thetas):
            return over_tasks(lambda pair: metric(pair[1], pair[0].val), task_axis)((tasks, thetas))

        self._start = tf.function(start, jit_compile=jit, autograph=False)
        self._advance = tf.function(advance, jit_compile=jit, autograph=False)
        self._measure = tf.function(measure, jit_compile=jit, autograph=False)

    def curves(
        self,
        meta: MetaParams,
        *,
        first: int,
        count: int,
        steps: Sequence[int],
        chunk_steps: int = 1000,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> Curves:
        """Adapt the held-out tasks first ... first + count - 1 and record at the given steps.

        Args:
          meta: Phi; sigma^2 = 0 freezes a module (prior.freeze_others).
          steps: increasing, starting at 0.
          chunk_steps: most adaptation steps of one call.
          stop_requested: asked between calls.

        Raises:
          Preempted: a stop was requested.
        """
        indices = tf.range(first, first + count)
        truth = self._truth(indices)
        tasks = self._sample(indices)
        states = self._start(meta, tasks)
        metric, errors, done = [], [], 0
        for target in steps:
            while done < target:
                if stop_requested():
                    raise Preempted("Evaluation was stopped; the same command starts it again.")
                piece = min(chunk_steps, target - done)
                states = self._advance(meta, tasks, states, tf.constant(piece), chunk_steps)
                done += piece
            metric.append(self._measure(tasks, states.theta).numpy())
            if truth is not None:
                theta = np.concatenate([t.numpy() for t in states.theta], axis=1)
                errors.append(np.abs(theta - truth))
        return Curves(
            np.asarray(steps),
            np.stack(metric, axis=1),
            None if truth is None else np.stack(errors, axis=1),
        )

    def adapted(self, meta: MetaParams, *, index: int, steps: int):
        """One held-out task and its adapted parameters."""
        tasks = self._sample(tf.constant([index]))
        states = self._start(meta, tasks)
        states = self._advance(meta, tasks, states, tf.constant(steps), steps)
        return tf.nest.map_structure(lambda x: x[0], (tasks, states.theta))

    def _truth(self, indices: tf.Tensor) -> np.ndarray | None:
        if self._source.truth is None:
            return None
        one_by_one = over_tasks(self._source.truth, "sequential")
        return tf.function(one_by_one, autograph=False)(indices).numpy()


def mean_and_ci95(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over axis 0 and the half width of its 95 % normal confidence interval."""
    count = values.shape[0]
    spread = values.std(axis=0, ddof=1) if count > 1 else np.full(values.shape[1:], np.nan)
    return values.mean(axis=0), 1.96 * spread / np.sqrt(count)
