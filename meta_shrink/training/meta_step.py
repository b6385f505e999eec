"""Meta-training steps: meta-gradients averaged over tasks and replicas, then one update of Phi.

One meta-step: every replica adapts its share of the meta-batch and sums the meta-gradients of the
tasks that stayed finite; the sums are averaged over all replicas; each learned component of Phi
takes one step of its meta-optimizer (Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.params import global_norm
from meta_shrink.prior import clip_log_sigma2, regulariser_gradient
from meta_shrink.rng import fold_in, root_key
from meta_shrink.training.meta_batch import ChunkedCore, Core, Totals
from meta_shrink.training.meta_state import MetaState
from meta_shrink.types import MetaParams

# number of meta-steps wanted -> number done; fewer only when a stop was requested.
Run = Callable[[int], int]

# The last is a sum, the others are means over the meta-steps with a finite task.
EXTRA_METRICS = ("meta/phi_gradient_norm", "meta/log_sigma2_gradient_norm", "tasks/nonfinite")


def make_run(
    core: Core,
    state: MetaState,
    strategy: tf.distribute.Strategy,
    *,
    jit: bool,
    seed: int,
    meta_batch_size: int,
    **end_options: Any,
) -> Run:
    """A function that runs n meta-steps in one call.

    The tasks of a meta-step depend on (seed, meta-step, task number) alone: neither a resume nor
    the number of replicas changes them.

    Args:
      core: of make_core.
      jit: compile the loop over meta-steps as well, updates included, on one replica (collectives
        do not compile): a small network's meta-step costs less than its dispatch.
      meta_batch_size: tasks of a meta-step, over all replicas.
      **end_options: of make_end.

    Raises:
      UsageError: meta_batch_size is not a positive multiple of the number of replicas.
    """
    keys = make_keys(state, strategy, seed=seed, meta_batch_size=meta_batch_size)
    end = make_end(state, strategy, meta_batch_size=meta_batch_size, **end_options)

    def one_step(done: tf.Tensor) -> tf.Tensor:
        strategy.run(lambda: end(core(state.meta(), keys())))
        return done + 1

    return _repeat(one_step, jit=jit and strategy.num_replicas_in_sync == 1)


def _repeat(one_step: Callable[[tf.Tensor], tf.Tensor], *, jit: bool) -> Run:
    @tf.function(autograph=False, jit_compile=jit)
    def run_steps(num_steps: tf.Tensor) -> None:
        tf.while_loop(lambda done: done < num_steps, one_step, [tf.constant(0)])

    def run(num_steps: int) -> int:
        run_steps(tf.constant(num_steps))
        return num_steps

    return run


def make_chunked_run(
    core: ChunkedCore,
    state: MetaState,
    strategy: tf.distribute.Strategy,
    *,
    stop_requested: Callable[[], bool],
    seed: int,
    meta_batch_size: int,
    **end_options: Any,
) -> Run:
    """As make_run for a core of make_chunked_core, one meta-step a call.

    Args:
      stop_requested: asked between chunks; once true, the meta-step is given up. The processes of
        a job must hear the same: those that go on would wait for the others' totals.
    """
    keys = make_keys(state, strategy, seed=seed, meta_batch_size=meta_batch_size)
    end = make_end(state, strategy, meta_batch_size=meta_batch_size, **end_options)

    def on_replicas(function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(lambda *args: strategy.run(function, args=args), autograph=False)

    # Each replica's tasks and states stay its own from chunk to chunk.
    begin = on_replicas(lambda: core.begin(state.meta(), keys()))
    advance = on_replicas(lambda *own: core.advance(state.meta(), *own))
    finish = on_replicas(lambda *own: end(core.finish(state.meta(), *own)))

    def run(_: int) -> int:
        tasks, states = begin()
        for steps in core.chunks:
            if stop_requested():
                return 0
            states = advance(tasks, states, tf.constant(steps))
        finish(tasks, states.theta)
        return 1

    return run


def share_of_replica(meta_batch_size: int, replicas: int) -> int:
    """Tasks of one replica.

    Raises:
      UsageError: meta_batch_size is not a positive multiple of the number of replicas.
    """
    if meta_batch_size < 1 or meta_batch_size % replicas:
        raise UsageError(
            f"train.meta_batch_size is {meta_batch_size}; expected a positive multiple of the "
            f"{replicas} replica(s)."
        )
    return meta_batch_size // replicas


def make_keys(
    state: MetaState, strategy: tf.distribute.Strategy, *, seed: int, meta_batch_size: int
) -> Callable[[], tf.Tensor]:
    """A function, called on each replica, that gives the keys of its share of a meta-step's tasks.

    Raises:
      UsageError: meta_batch_size is not a positive multiple of the number of replicas.
    """
    share = share_of_replica(meta_batch_size, strategy.num_replicas_in_sync)
    root = root_key(seed, "train_tasks")

    def keys() -> tf.Tensor:
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        return task_keys(root, state.step, first, share)

    return keys


def task_keys(root: tf.Tensor, step: tf.Tensor, first: Any, count: int) -> tf.Tensor:
    """Keys [count, 2] of the tasks first, first + 1, ... of a meta-step."""
    step_key = fold_in(root, "meta_step", step)
    return tf.stack([fold_in(step_key, "task", first + number) for number in range(count)])


def make_end(
    state: MetaState,
    strategy: tf.distribute.Strategy,
    *,
    meta_batch_size: int,
    sigma2_range: tuple[float, float],
    **update_options: Any,
) -> Callable[[Totals], None]:
    """A function, called on each replica with its own totals, that ends a meta-step.

    Args:
      sigma2_range: least and largest sigma^2.
      **update_options: of make_update.
    """
    update = make_update(state, **update_options)

    def end(totals: Totals) -> None:
        if strategy.num_replicas_in_sync > 1:
            context = tf.distribute.get_replica_context()
            totals = context.all_reduce(tf.distribute.ReduceOp.SUM, totals)
        # Every replica has the same totals and writes the same values, each its own copy.
        finish_step(state, *update(totals, meta_batch_size), sigma2_range)

    return end


def make_update(
    state: MetaState,
    *,
    metric_names: tuple[str, ...],
    beta: float,
    clip_norm: float,
) -> Callable[[Totals, int], tuple[tf.Tensor, tf.Tensor]]:
    """The meta-update of one step from the totals over all replicas.

    Args:
      metric_names: order of the core's metrics in state.window.
      beta: strength of the inverse-Gamma regulariser of sigma^2 (Eq. 49); 0 for none.
      clip_norm: largest global norm of the mean meta-gradient, for phi, log sigma^2 and log alpha
        each on its own (their scales differ by 1/sigma^2); 0 for none.

    A meta-step without a finite task has a zero gradient: momentum and the regulariser of sigma^2
    alone move Phi.

    Returns:
      (totals, meta_batch_size) -> (row of metrics [K], whether any task was finite [] bool).
    """

    def update(totals: Totals, meta_batch_size: int) -> tuple[tf.Tensor, tf.Tensor]:
        deltas, count, metrics = totals
        mean = tf.nest.map_structure(lambda x: x / tf.maximum(count, 1), deltas)
        norms = {}
        for component, gradient in _by_component(mean).items():
            if component == "log_sigma2" and component in state.optimizers and beta > 0:
                gradient = [gradient[0] + regulariser_gradient(state.meta().log_sigma2, beta=beta)]
            gradient, norms[component] = _clip(gradient, clip_norm)
            if component in state.optimizers:
                state.optimizers[component].apply(gradient, state.components[component])
        row = [metrics[name] / tf.maximum(count, 1) for name in metric_names]
        extra = [norms["phi"], norms["log_sigma2"], meta_batch_size - count]
        return tf.stack(row + extra), count > 0

    return update


def finish_step(
    state: MetaState, row: tf.Tensor, good: tf.Tensor, sigma2_range: tuple[float, float]
) -> None:
    """Clip sigma^2 to its range, count the step, add its metrics to the window.

    A step without a finite task has no means, only its number of such tasks: the row's last.
    """
    if "log_sigma2" in state.optimizers:
        log_sigma2, (low, high) = state.components["log_sigma2"][0], sigma2_range
        log_sigma2.assign(clip_log_sigma2(log_sigma2.value, low=low, high=high))
    means, nonfinite = tf.where(good, row[:-1], tf.zeros_like(row[:-1])), row[-1:]
    counted = tf.cast([good], row.dtype)
    state.window.assign_add(tf.concat([means, nonfinite, counted], axis=0))
    state.count_step(good)


def _by_component(delta: MetaParams) -> dict[str, list[tf.Tensor]]:
    alpha = delta.log_alpha
    return {
        "phi": list(delta.phi),
        "log_sigma2": [delta.log_sigma2],
        "log_alpha": list(alpha) if isinstance(alpha, (list, tuple)) else [alpha],
    }


def _clip(gradient: list[tf.Tensor], clip_norm: float) -> tuple[list[tf.Tensor], tf.Tensor]:
    norm = global_norm(gradient)
    if clip_norm > 0:
        scale = clip_norm / tf.maximum(norm, clip_norm)
        gradient = [g * scale for g in gradient]
    return gradient, norm
