"""Task adaptation: theta_hat(Phi) of Eq. 4 by proximal steps, for any number of steps.

The loop keeps the current parameters only, so memory does not grow with the number of steps,
except where somebody differentiates through it (MAML).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.network_loss import STEP, noise_key, noisy
from meta_shrink.params import dense, from_vector, spread_vector, to_vector
from meta_shrink.registry import ModuleRegistry
from meta_shrink.rng import fold_in, uniform
from meta_shrink.types import (
    Adapt,
    Augment,
    Batch,
    MetaParams,
    NegLogLik,
    Params,
    Task,
    TaskOptimizer,
    weights_of,
)

NextBatch = Callable[[Task, tf.Tensor], Batch]


class AdaptState(NamedTuple):
    """Where an adaptation stands: parameters, optimizer state, number of steps done [].

    Between pieces of `adaptation` theta holds all parameters, one tensor per variable, and the
    optimizer's state is that of one vector of those that move.
    """

    theta: Params
    optimizer: Any
    step: tf.Tensor


def full_batch(*, augment: Augment | None = None) -> NextBatch:
    """Every step sees the task's whole training batch."""

    def next_batch(task: Task, step: tf.Tensor) -> Batch:
        return _augmented(augment, task.key, step, task.train)

    return next_batch


def mini_batch_key(task: Task, step: tf.Tensor) -> tf.Tensor:
    """The key [2] that draws the mini-batch of a step, however it is drawn."""
    return fold_in(task.key, "mini_batch", step)


def random_batch(*, size: int, augment: Augment | None = None) -> NextBatch:
    """Every step sees `size` training examples drawn without replacement, keyed by the step;
    padding (weight 0) where a task has fewer, and only then."""

    def next_batch(task: Task, step: tf.Tensor) -> Batch:
        drawn = random_examples(task.train, size, mini_batch_key(task, step))
        return _augmented(augment, task.key, step, drawn)

    return next_batch


def random_examples(batch: Batch, size: int, key: tf.Tensor) -> Batch:
    """`size` of the batch's examples, drawn without replacement by the key [2], padding last."""
    count = tf.shape(tf.nest.flatten(batch)[0])[0]
    lot = uniform(key, "examples", [count])
    weights = weights_of(batch)
    if weights is not None:
        there = tf.reduce_any(tf.reshape(weights > 0, [count, -1]), axis=1)
        lot = tf.where(there, lot, lot - 1)
    chosen = tf.math.top_k(lot, k=size).indices
    drawn = tf.nest.map_structure(lambda x: tf.gather(x, chosen), batch)
    return tf.nest.map_structure(_static(size), drawn)


def require_examples(batch: Batch, size: int, setting: str, kind: str) -> None:
    """Raises UsageError if the batch has fewer `kind` examples than the setting's `size`."""
    examples = tf.nest.flatten(batch)[0].shape[0]
    if size > examples:
        raise UsageError(
            f"{setting} is {size}, but a task has {examples} {kind} examples; lower it, or 0 for "
            "all of them."
        )


def _static(size: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda x: tf.ensure_shape(x, [size, *x.shape[1:]])


def _augmented(augment: Augment | None, key: tf.Tensor, step: tf.Tensor, batch: Batch) -> Batch:
    """The batch with other inputs."""
    if augment is None:
        return batch
    inputs, *rest = batch
    return augment(fold_in(key, "augment_step", step), inputs), *rest


def augmented_once(augment: Augment | None, task: Task) -> Batch:
    """The task's training batch as the moments of its adapted network are taken of."""
    if augment is None:
        return task.train
    inputs, *rest = task.train
    return augment(fold_in(task.key, "augment_moments"), inputs), *rest


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
    modules: Sequence[str] | None = None,
    native: bool = False,
) -> Adaptation:
    """Proximal steps on nll + ||theta - phi||^2 / (2 sigma^2), module by module.

    What moves is one vector in the loop: an optimizer then has a few operations, not a few for each
    variable, and the numbers are the same, as all of them are elementwise.

    Args:
      nll: (params, batch) -> scalar.
      optimizer: proximal_gd() or proximal_adam().
      registry: module of each variable.
      next_batch: (task, step []) -> batch; the whole training batch by default.
      modules: names of those that adapt, all by default (UsageError: an unknown one). The others
        stay at phi, and nothing is computed for them but their part of the forward pass.
      native: it will run without XLA; a step's gradient is then a function of its own.
    """
    draw = next_batch or full_batch()
    pick, rest, whole = registry.parts(registry.names if modules is None else modules)
    shapes = pick(registry.shapes)

    def start(meta: MetaParams) -> AdaptState:
        moving = [to_vector(pick(meta.phi))]
        return AdaptState(list(meta.phi), optimizer.init(moving), tf.constant(0))

    gradient = _gradient(nll, whole, shapes, native)

    def advance(meta, task, state, num_steps, *, max_steps=None):
        precision = pick(registry.spread(tf.exp(-meta.log_sigma2)))
        per_variable = precision, pick(learning_rates(meta, registry))
        weight, rate = (spread_vector(values, shapes) for values in per_variable)
        end = proximal_steps(
            lambda moving, drawn: [gradient(moving[0], rest(meta.phi), *drawn)],
            optimizer,
            lambda step: (draw(task, step), noise_key(nll, task.key, STEP, step)),
            state._replace(theta=[to_vector(pick(state.theta))]),
            ([to_vector(pick(meta.phi))], [weight], [rate]),
            num_steps,
            max_steps=max_steps,
        )
        return end._replace(theta=whole(from_vector(end.theta[0], shapes), rest(meta.phi)))

    return Adaptation(start, advance)


def proximal_steps(
    gradient: Callable[[Params, Batch], Params],
    optimizer: TaskOptimizer,
    draw: Callable[[tf.Tensor], Batch],
    state: AdaptState,
    prior: tuple[Params, Sequence[Any], Sequence[Any]],
    num_steps: int | tf.Tensor,
    *,
    max_steps: int | None = None,
) -> AdaptState:
    """The state after `num_steps` more proximal steps, one after another in a loop.

    Args:
      gradient: (theta, batch) -> gradient of the negative log-likelihood.
      draw: number of the step [] -> batch.
      state: where adaptation stands.
      prior: phi, precisions and learning rates, a value per variable each.
      num_steps: an int, or a tensor [] together with a static max_steps.
    """

    def body(done, state):
        grad = gradient(state.theta, draw(state.step))
        theta, inner = optimizer.update(grad, state.optimizer, state.theta, *prior)
        return done + 1, AdaptState(theta, inner, state.step + 1)

    return tf.while_loop(
        lambda done, _: done < num_steps,
        body,
        (tf.constant(0), state),
        maximum_iterations=num_steps if max_steps is None else max_steps,
    )[1]


def _gradient(nll: NegLogLik, whole: Callable[[Params, Params], Params], shapes, native: bool):
    """(moving ones [D], the others, batch, key of the noise) -> gradient [D] in the moving ones.

    Without XLA a function of its own: in a loop, TensorFlow's layout pass leaves MaxPoolGrad to a
    kernel 20 times slower in some processes. Under XLA shapes would leave it as no constants.
    """

    def gradient(vector: tf.Tensor, others: Params, batch: Batch, key: tf.Tensor | None):
        moving = from_vector(vector, shapes)
        with tf.GradientTape() as tape:
            tape.watch(moving)
            loss = noisy(nll, key)(whole(moving, others), batch)
        return to_vector(dense(tape.gradient(loss, moving, unconnected_gradients="zero")))

    apart = tf.function(autograph=False, experimental_attributes={"_noinline": True})
    return apart(gradient) if native else gradient


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
