"""Warm start without classes: the network itself, trained on all meta-training tasks mixed.

The paper pre-trains its vocoder so on all training speakers (App. E.2). It takes hours, so it
resumes, shows a learning curve, and a run that wants more steps goes on where another ended.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.durable_files import write_atomically
from meta_shrink.errors import DivergedError, Preempted, UsageError
from meta_shrink.rng import fold_in, root_key
from meta_shrink.types import Mixed, NegLogLik, Params

STATE, CURVE = "state.npz", "curve.jsonl"
_BURST = 10  # Steps of one call; a stop waits for it.
_DAMAGED = (OSError, ValueError, KeyError, zipfile.BadZipFile)


class Schedule(NamedTuple):
    """The options of the section `warm_start` that belong here.

    steps, batch_size, seed: of the mini-batches. learning_rate: of Adam, halved every
    `halve_every` steps (0: never), so that more steps change no earlier one. clip_norm: largest
    global norm of a gradient, 0 for none. validation_size: examples of the validation batch.
    validate_every: steps between two points of the curve, which are saved too.
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
      nll, metric: (params, batch) -> scalar; the metric is the curve's.
      folder: for the state, the curve (curve.jsonl), the parameters at each of its points; what
        is there is used.
      metric_name: for people.
      jit: compile with XLA.

    Raises:
      UsageError: a number out of range.
      Preempted: stopped on request; the same command resumes.
      DivergedError: the loss is not finite.
    """
    _check(schedule)
    if (values := _read(_point(folder, schedule.steps))) is not None:
        log(f"warm start: {schedule.steps} steps were done before, in {folder}.")
        return [tf.constant(values[name]) for name in _names(model)]
    os.makedirs(folder, exist_ok=True)
    state = _State.create(model, schedule)
    state.restore(folder, log)
    advance = _step(nll, mixed, schedule, state, jit)
    batch = mixed.validation(schedule.validation_size)
    validate = tf.function(lambda params: metric(params, batch), jit_compile=jit, autograph=False)
    while state.done < schedule.steps:
        end = min(_next_point(state.done, schedule.validate_every), schedule.steps)
        started = time.process_time()
        loss = _until(end, state, advance, stop_requested)
        value = float(validate(state.params()))
        state.seconds += time.process_time() - started
        state.point(folder, {"step": state.done, "nll_train": loss, "metric": value})
        log(
            f"warm start: {state.done}/{schedule.steps}, loss {loss:.4f}, validation "
            f"{metric_name} {value:.4f}, {state.seconds:.0f} processor seconds"
        )
    return state.params()


def _until(end: int, state: _State, advance, stop_requested: Callable[[], bool]) -> float:
    """Mean loss of the steps up to `end`; a stop is noticed between bursts of them.

    Raises:
      Preempted: nothing is lost but what was done since the last point of the curve.
    """
    losses = []
    while state.done < end:
        if stop_requested():
            raise Preempted(
                f"Stopped at warm-start step {state.done}; the same command resumes it at the last "
                "point of its curve."
            )
        losses.append(float(advance(tf.constant(min(_BURST, end - state.done)))))
        if not np.isfinite(losses[-1]):
            raise DivergedError(
                f"The loss of the warm start is not finite at step {state.done}; lower "
                "warm_start.learning_rate and start with another cache."
            )
    return float(np.mean(losses))


def _check(schedule: Schedule) -> None:
    counts = (schedule.steps, schedule.batch_size, schedule.validation_size)
    positive = min(*counts, schedule.validate_every) >= 1 and schedule.learning_rate > 0
    if not positive or min(schedule.halve_every, schedule.clip_norm) < 0:
        options = ", ".join(f"{name}={value}" for name, value in schedule._asdict().items())
        raise UsageError(
            f"warm_start got {options}; expected counts of at least 1, a positive learning_rate, "
            "halve_every and clip_norm of at least 0."
        )


def _step(nll, mixed: Mixed, schedule: Schedule, state: _State, jit: bool):
    """A compiled function: number of steps -> mean loss of them."""
    root = root_key(schedule.seed, "warm_start")
    variables = state.model.trainable_variables

    def one(done, total):
        batch = mixed.draw(fold_in(root, state.step), schedule.batch_size)
        with tf.GradientTape() as tape:
            params = [tf.convert_to_tensor(v.value) for v in variables]
            tape.watch(params)
            loss = nll(params, batch)
        gradient = tape.gradient(loss, params, unconnected_gradients="zero")
        if schedule.clip_norm > 0:
            gradient, _ = tf.clip_by_global_norm(gradient, schedule.clip_norm)
        state.optimizer.apply(gradient, variables)
        state.step.assign_add(1)
        return done + 1, total + loss

    @tf.function(jit_compile=jit, autograph=False)
    def advance(count: tf.Tensor) -> tf.Tensor:
        start = (tf.constant(0), tf.constant(0.0))
        _, total = tf.while_loop(lambda done, _: done < count, one, start)
        return total / tf.cast(count, tf.float32)

    return advance


class _State:
    """Variables of the training, and the processor seconds that it has taken."""

    def __init__(self, model: keras.Model, optimizer, step: tf.Variable):
        self.model, self.optimizer, self.step, self.seconds = model, optimizer, step, 0.0

    @classmethod
    def create(cls, model: keras.Model, schedule: Schedule) -> _State:
        rate: Any = schedule.learning_rate
        if schedule.halve_every:
            rate = keras.optimizers.schedules.ExponentialDecay(
                rate, schedule.halve_every, 0.5, staircase=True
            )
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(model.trainable_variables)
        return cls(model, optimizer, tf.Variable(0, dtype=tf.int64, trainable=False))

    @property
    def done(self) -> int:
        return int(self.step.numpy())

    def params(self) -> Params:
        return [tf.convert_to_tensor(v.value) for v in self.model.trainable_variables]

    def _variables(self) -> dict[str, Any]:
        own = dict(zip(_names(self.model), self.model.trainable_variables, strict=True))
        for number, variable in enumerate(self.optimizer.variables):
            own[f"optimizer/{number}"] = variable
        return own

    def save(self, folder: str) -> None:
        values = {name: np.asarray(v.value) for name, v in self._variables().items()}
        _write(os.path.join(folder, STATE), {**values, "step": self.done, "seconds": self.seconds})

    def point(self, folder: str, row: dict[str, Any]) -> None:
        """Saves the state and one point of the curve."""
        self.save(folder)
        values = zip(_names(self.model), self.params(), strict=True)
        _write(_point(folder, self.done), {name: value.numpy() for name, value in values})
        row = {**row, "processor_seconds": round(self.seconds, 1), "time": round(time.time(), 1)}
        with open(os.path.join(folder, CURVE), "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def restore(self, folder: str, log: Callable[[str], Any]) -> None:
        values = _read(os.path.join(folder, STATE))
        variables = self._variables()
        if values is None or not set(variables) <= set(values):
            return
        for name, variable in variables.items():
            variable.assign(values[name])
        self.step.assign(int(values["step"]))
        self.seconds = float(values["seconds"])
        log(f"warm start: resuming at step {self.done}.")


def _names(model: keras.Model) -> list[str]:
    return [v.path.removeprefix(f"{model.name}/") for v in model.trainable_variables]


def _point(folder: str, step: int) -> str:
    return os.path.join(folder, f"step_{step:08}.npz")


def _next_point(step: int, every: int) -> int:
    return (step // every + 1) * every


def _write(path: str, values: dict[str, Any]) -> None:
    stream = io.BytesIO()
    np.savez(stream, **values)
    write_atomically(path, stream.getvalue())


def _read(path: str) -> dict[str, np.ndarray] | None:
    """The arrays of a file; None if it is missing or damaged."""
    try:
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGED:
        return None
