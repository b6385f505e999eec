"""Warm start without classes: the network itself, trained on all meta-training tasks mixed.

The paper pre-trains its vocoder so on all training speakers (App. E.2). It takes hours, so it
resumes, shows a learning curve, and a run that wants more steps goes on where another ended.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import DivergedError, Preempted, UsageError
from meta_shrink.network_loss import WARM_START, noise_key, noisy
from meta_shrink.rng import root_key
from meta_shrink.training.pretraining_state import PretrainingState, kept_params, mend
from meta_shrink.types import Mixed, NegLogLik, Params

_BURST = 10  # Steps of one call; a stop waits for it.


class Schedule(NamedTuple):
    """The options of the section `warm_start` that belong here.

    steps, batch_size, seed: of the mini-batches. learning_rate: of Adam, halved every
    `halve_every` steps (0: never), so that more steps change no earlier one. clip_norm: largest
    global norm of a gradient, 0 for none. validation_size: examples of the validation batch.
    validate_every: steps between two points of the curve; the state is saved there too, and the
    parameters are kept at about 16 of them and where a run ends.
    """

    steps: int
    batch_size: int
    seed: int
    learning_rate: float
    halve_every: int = 0
    clip_norm: float = 1.0
    validation_size: int = 16
    validate_every: int = 200


def pretrain(
    model: keras.Model,
    mixed: Mixed,
    nll: NegLogLik,
    metric: NegLogLik,
    schedule: Schedule,
    *,
    folder: str,
    metric_name: str,
    jit: bool,
    log: Callable[[str], Any] = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Params:
    """Values of the model's trainable variables after schedule.steps steps of Adam.

    Args:
      model: newly built; its variables are the start.
      mixed: of the task source.
      nll, metric, metric_name: (params, batch) -> scalar; the metric is the curve's.
      folder: for the state, the curve (curve.jsonl), the parameters at some of its points; what
        is there is used.

    Raises:
      UsageError: a number out of range, or the folder is beyond these steps.
      Preempted: stopped on request; the same command resumes.
      DivergedError: the loss is not finite.
    """
    check_schedule(schedule)
    mend(folder, model)
    if (kept := kept_params(folder, schedule.steps, model, log)) is not None:
        return kept
    os.makedirs(folder, exist_ok=True)
    state = PretrainingState.create(model, schedule.learning_rate, schedule.halve_every)
    state.restore(folder, schedule.steps, log)
    advance = _step(nll, mixed, schedule, state, jit)
    batch = mixed.validation(schedule.validation_size)
    validate = tf.function(lambda params: metric(params, batch), jit_compile=jit, autograph=False)
    while state.done < schedule.steps:
        end = min(_next_point(state.done, schedule.validate_every), schedule.steps)
        loss = _until(end, state, advance, stop_requested, folder)
        started = time.process_time()
        value = float(validate(state.params()))
        state.seconds += time.process_time() - started
        state.point(folder, loss, value, schedule.validate_every, is_end=end == schedule.steps)
        log(
            f"warm start: {state.done}/{schedule.steps}, loss {loss:.4f}, validation "
            f"{metric_name} {value:.4f}, {state.seconds:.0f} processor seconds"
        )
    return state.params()


def _until(
    end: int, state: PretrainingState, advance, stop_requested: Callable[[], bool], folder: str
) -> float:
    """Mean loss of the steps since the last point of the curve up to `end`.

    Raises:
      Preempted: a stop, which is noticed between bursts of steps; all of them are saved.
    """
    while state.done < end:
        if stop_requested():
            state.save(folder)
            raise Preempted(f"Stopped at warm-start step {state.done}; the same command goes on.")
        started, count = time.process_time(), min(_BURST, end - state.done)
        state.losses += [float(advance(tf.constant(count)))] * count  # Each step counts alike.
        state.seconds += time.process_time() - started
        if not np.isfinite(state.losses[-1]):
            raise DivergedError(
                f"The loss of the warm start is not finite at step {state.done}; lower "
                "warm_start.learning_rate and start with another cache."
            )
    return float(np.mean(state.losses))


def check_schedule(schedule: Schedule) -> None:
    """Refuse numbers that no pre-training can have.

    Raises:
      UsageError: one is out of range.
    """
    counts = (schedule.steps, schedule.batch_size, schedule.validation_size)
    positive = min(*counts, schedule.validate_every) >= 1 and 0 < schedule.learning_rate < math.inf
    if not positive or min(schedule.halve_every, schedule.clip_norm) < 0:
        options = ", ".join(f"{name}={value}" for name, value in schedule._asdict().items())
        raise UsageError(
            f"warm_start got {options}; expected counts of at least 1, a positive finite rate, "
            "halve_every and clip_norm of at least 0."
        )


def _step(nll, mixed: Mixed, schedule: Schedule, state: PretrainingState, jit: bool):
    """A compiled function: number of steps -> mean loss of them."""
    variables = state.model.trainable_variables

    def one_step(done, total):
        key = root_key(schedule.seed, "warm_start", state.step)
        batch = mixed.draw(key, schedule.batch_size)
        with tf.GradientTape() as tape:
            params = [tf.convert_to_tensor(v.value) for v in variables]
            tape.watch(params)
            loss = noisy(nll, noise_key(nll, key, WARM_START))(params, batch)
        gradient = tape.gradient(loss, params, unconnected_gradients="zero")
        if schedule.clip_norm > 0:
            gradient, _ = tf.clip_by_global_norm(gradient, schedule.clip_norm)
        state.optimizer.apply(gradient, variables)
        state.step.assign_add(1)
        return done + 1, total + loss

    @tf.function(jit_compile=jit, autograph=False)
    def advance(count: tf.Tensor) -> tf.Tensor:
        start = (tf.constant(0), tf.constant(0.0))
        _, total = tf.while_loop(lambda done, _: done < count, one_step, start)
        return total / tf.cast(count, tf.float32)

    return advance


def _next_point(step: int, every: int) -> int:
    return (step // every + 1) * every
