"""Task adaptation: theta_hat(Phi) of Eq. 4 by proximal steps, for any number of steps.

The loop keeps the current parameters only, so memory does not grow with the number of steps,
except where somebody differentiates through it (MAML).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.registry import ModuleRegistry
from meta_shrink.rng import fold_in, uniform
from meta_shrink.types import (
    Adapt,
    Batch,
    MetaParams,
    NegLogLik,
    Params,
    Task,
    TaskOptimizer,
    TaskSource,
)

NextBatch = Callable[[Task, tf.Tensor], Batch]


class AdaptState(NamedTuple):
    """Where an adaptation stands: parameters, optimizer state, number of steps done []."""

    theta: Params
    optimizer: Any
    step: tf.Tensor


def full_batch() -> NextBatch:
    """Every step sees the task's whole training batch."""
    return lambda task, step: task.train


def random_batch(*, size: int) -> NextBatch:
    """Every step sees `size` training examples drawn without replacement, keyed by the step."""

    def next_batch(task: Task, step: tf.Tensor) -> Batch:
        count = tf.shape(tf.nest.flatten(task.train)[0])[0]
        noise = uniform(fold_in(task.key, step), [count])
        chosen = tf.math.top_k(noise, k=size).indices
        return tf.nest.map_structure(lambda x: tf.gather(x, chosen), task.train)

    return next_batch


class Adaptation(NamedTuple):
    """Adaptation in resumable pieces.

    start: MetaParams -> AdaptState at theta = phi; optimizer state starts afresh for each task.
    advance: (MetaParams, Task, AdaptState, num_steps) -> AdaptState after that many more steps;
        num_steps is an int, or a tensor [] together with a static max_steps.
    """

    start: Callable[[MetaParams], AdaptState]
    advance: Callable[..., AdaptState]


def adaptation(
    nll: NegLogLik,
    optimizer: TaskOptimizer,
    registry: ModuleRegistry,
    *,
    next_batch: NextBatch | None = None,
) -> Adaptation:
    """Proximal steps on nll + ||theta - phi||^2 / (2 sigma^2), module by module.

    Args:
      nll: (params, batch) -> scalar.
      optimizer: proximal_gd() or proximal_adam().
      registry: module of each variable.
      next_batch: (task, step []) -> batch; the whole training batch by default.
    """
    draw = next_batch or full_batch()

    def start(meta: MetaParams) -> AdaptState:
        phi = list(meta.phi)
        return AdaptState(phi, optimizer.init(phi), tf.constant(0))

    def advance(meta, task, state, num_steps, *, max_steps=None):
        precision = registry.spread(tf.exp(-meta.log_sigma2))
        alpha = learning_rates(meta, registry)

        def body(done, state):
            batch = draw(task, state.step)
            with tf.GradientTape() as tape:
                tape.watch(state.theta)
                loss = nll(state.theta, batch)
            grad = tape.gradient(loss, state.theta, unconnected_gradients="zero")
            theta, inner = optimizer.update(
                grad, state.optimizer, state.theta, meta.phi, precision, alpha
            )
            return done + 1, AdaptState(theta, inner, state.step + 1)

        _, state = tf.while_loop(
            lambda done, _: done < num_steps,
            body,
            (tf.constant(0), state),
            maximum_iterations=num_steps if max_steps is None else max_steps,
        )
        return state

    return Adaptation(start, advance)


def make_adapt(adaptation: Adaptation, *, steps: int) -> Adapt:
    """The function (MetaParams, Task) -> theta after `steps` proximal steps from phi.

    Raises:
      UsageError: fewer than one step.
    """
    if steps < 1:
        raise UsageError(f"adapt.steps is {steps}; expected at least 1.")

    def adapt(meta: MetaParams, task: Task) -> Params:
        return adaptation.advance(meta, task, adaptation.start(meta), steps).theta

    return adapt


def learning_rates(meta: MetaParams, registry: ModuleRegistry) -> list[tf.Tensor]:
    """alpha per variable: a scalar each (log_alpha is [M]) or a tensor each (Meta-SGD)."""
    if isinstance(meta.log_alpha, (list, tuple)):
        return [tf.exp(x) for x in meta.log_alpha]
    return registry.spread(tf.exp(meta.log_alpha))


def train_on_all(source: TaskSource) -> TaskSource:
    """Meta-training tasks whose training batch holds their validation examples too (Reptile)."""

    def sample(key: tf.Tensor) -> Task:
        task = source.sample(key)
        both = tf.nest.map_structure(lambda a, b: tf.concat([a, b], 0), task.train, task.val)
        return task._replace(train=both)

    return source._replace(sample=sample)
