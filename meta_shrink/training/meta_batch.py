"""The pure part of a meta-step: meta-gradients of a batch of tasks, summed.

No variables and static shapes, so it can be compiled for a device that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.adaptation import Adaptation, AdaptState
from meta_shrink.params import from_vector
from meta_shrink.task_axis import draw_tasks, over_tasks, repeat_for_tasks
from meta_shrink.types import Adapt, MetaGradient, MetaParams, TaskSource

Totals = tuple[MetaParams, tf.Tensor, dict[str, tf.Tensor]]
# (Phi, keys [T, 2]) -> (sum of Delta over the finite tasks, their number [], {metric: sum}).
Core = Callable[[MetaParams, tf.Tensor], Totals]


class ChunkedCore(NamedTuple):
    """A core in pieces, between which the host may end it.

    begin: (Phi, keys [T, 2]) -> (T tasks, their states at theta = phi).
    advance: (Phi, tasks, states, steps []) -> states, at most the longest of `chunks` at a time.
    finish: (Phi, tasks, theta of each) -> as Core.
    chunks: the steps of each piece, in order.
    """

    begin: Callable[[MetaParams, tf.Tensor], Any]
    advance: Callable[..., AdaptState]
    finish: Callable[..., Totals]
    chunks: Sequence[int]


def sum_finite(deltas: MetaParams, metrics: dict[str, tf.Tensor]) -> Totals:
    """Totals over the task axis of the tasks whose Delta and metrics are all finite."""
    every = tf.nest.flatten((deltas, metrics))
    shapes = [x.shape[1:] for x in every]
    # One row a task: a few operations, however many variables there are.
    rows = tf.concat(
        [tf.reshape(x, [-1, s.num_elements()]) for x, s in zip(every, shapes, strict=True)], 1
    )
    finite = tf.reduce_all(tf.math.is_finite(rows), axis=1)
    total = tf.reduce_sum(tf.where(finite[:, tf.newaxis], rows, tf.zeros_like(rows)), axis=0)
    deltas, metrics = tf.nest.pack_sequence_as((deltas, metrics), from_vector(total, shapes))
    return deltas, tf.reduce_sum(tf.cast(finite, tf.float32)), metrics


def make_core(
    meta_gradient: MetaGradient, adapt: Adapt, source: TaskSource, *, task_axis: str, jit: bool
) -> Core:
    """The pure part of a meta-step, compiled as one function of tensors with static shapes."""
    sample = draw_tasks(source.sample, task_axis)

    @tf.function(jit_compile=jit, autograph=False)
    def core(meta: MetaParams, keys: tf.Tensor) -> Totals:
        lifted = over_tasks(lambda task: meta_gradient(meta, task, adapt), task_axis)
        return sum_finite(*lifted(sample(keys)))

    return core


def make_chunked_core(
    meta_gradient: MetaGradient,
    source: TaskSource,
    adaptation: Adaptation,
    *,
    steps: int,
    chunk_steps: int,
    task_axis: str,
    jit: bool,
) -> ChunkedCore:
    """As make_core, in pieces of at most chunk_steps adaptation steps, for long adaptation."""
    sample = draw_tasks(source.sample, task_axis)

    @tf.function(jit_compile=jit, autograph=False)
    def begin(meta, keys):
        tasks = sample(keys)
        return tasks, repeat_for_tasks(adaptation.start(meta), keys.shape[0])

    @tf.function(jit_compile=jit, autograph=False)
    def advance(meta, tasks, states, num_steps):
        step = over_tasks(
            lambda pair: adaptation.advance(meta, *pair, num_steps, max_steps=chunk_steps),
            task_axis,
        )
        return step((tasks, states))

    @tf.function(jit_compile=jit, autograph=False)
    def finish(meta, tasks, thetas):
        def adapted(pair):
            task, theta = pair
            return meta_gradient(meta, task, lambda *_: theta)

        return sum_finite(*over_tasks(adapted, task_axis)((tasks, thetas)))

    chunks = [min(chunk_steps, steps - done) for done in range(0, steps, chunk_steps)]
    return ChunkedCore(begin, advance, finish, chunks)
