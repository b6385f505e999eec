"""The host loop of meta-training: bursts of meta-steps between logging, evaluation, saving."""

from __future__ import annotations

import contextlib
import itertools
import math
import resource
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from meta_shrink.errors import DivergedError, Preempted, UsageError
from meta_shrink.runs.metrics_log import MetricsLog
from meta_shrink.stopping import StopSignal
from meta_shrink.training.meta_state import MetaState
from meta_shrink.training.meta_step import Run

BURST_SECONDS = 0.5  # a stop request waits for one burst at most


class Intervals(NamedTuple):
    """When things happen, in meta-steps.

    steps: the end. log_every, eval_every, checkpoint_every: between rows, evaluations (0 for
    never) and checkpoints. max_bad_steps: in a row without one finite task that end the run.
    """

    steps: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    max_bad_steps: int


class Log(Protocol):
    """Takes rows of named numbers."""

    def append(self, row: dict[str, Any]) -> None:
        """Add one row."""


def fit(
    run: Run,
    state: MetaState,
    every: Intervals,
    *,
    row_names: tuple[str, ...],
    module_names: tuple[str, ...],
    metrics: Log,
    timing: Log,
    evaluate: Callable[[], dict[str, float]],
    save: Callable[[int], Any],
    progress: Callable[[int, dict[str, float]], Any],
    agree: Callable[[int], tuple[int, bool]],
    owed: bool = False,
) -> None:
    """Run meta-training from state.step to every.steps.

    Args:
      run: meta-steps -> those done.
      metrics, timing: get rows; an interrupted run writes the same metrics.
      evaluate: held-out metrics of Phi.
      save: step -> saves a checkpoint. progress: gets the step and the latest numbers.
      agree: asked between bursts: length of the next -> that of the whole job, whether to stop.
      owed: evaluate at state.step, where the run was stopped.

    Raises:
      Preempted: stopped on request; the state was saved.
      DivergedError: every.max_bad_steps was reached; the last checkpoint before is kept.
    """
    check_intervals(every)
    step, burst, latest = _number(state.step), 1, {}
    if owed:
        metrics.append({"step": step, "kind": "eval", **evaluate()})
    while step < every.steps:
        done, seconds = _timed(run, _until_boundary(step, burst, every))
        step, burst = step + done, _next_burst(burst, done, seconds)
        _refuse_divergence(state, every.max_bad_steps)
        if done and step % every.log_every == 0:
            latest = window_row(state, row_names, module_names)
            metrics.append({"step": step, "kind": "train", **latest})
            timing.append({"step": step, **_timing_row(seconds / done)})
        if done and every.eval_every and step % every.eval_every == 0:
            metrics.append({"step": step, "kind": "eval", **evaluate()})
        burst, stop = agree(burst)
        if stop and step < every.steps:
            save(step)
            raise Preempted(f"Stopped at meta-step {step}; the same command resumes.")
        if done and (step % every.checkpoint_every == 0 or step == every.steps):
            save(step)
        progress(step, latest)


def abandonable_at_first(run: Run, stop: StopSignal) -> Run:
    """The first call traces and compiles; there is nothing yet to lose."""
    calls = itertools.count()

    def run_or_stop(num_steps: int) -> int:
        with stop.abandonable() if next(calls) == 0 else contextlib.nullcontext():
            return run(num_steps)

    return run_or_stop


def abandonable(
    evaluate: Callable[[], dict[str, float]],
    state: MetaState,
    save: Callable[[int], None],
    stop: StopSignal,
) -> Callable[[], dict[str, float]]:
    """An evaluation that a signal ends; the run goes on with it when it resumes."""

    def evaluate_or_stop() -> dict[str, float]:
        step = _number(state.step)
        message = f"Stopped at meta-step {step}; the same command resumes."
        with stop.abandonable(lambda: save(step), message):
            return evaluate()

    return evaluate_or_stop


def owes_evaluation(rows: MetricsLog, step: int, eval_every: int) -> bool:
    """Whether a run that resumes here was stopped within the evaluation of this meta-step."""
    if not step or not eval_every or step % eval_every:
        return False
    return not any(row.get("step") == step and row.get("kind") == "eval" for row in rows.rows())


def window_row(
    state: MetaState, row_names: tuple[str, ...], module_names: tuple[str, ...]
) -> dict[str, float]:
    """Mean of each metric since the last row, sigma^2 of each module; empties the window.

    Means are over the meta-steps with a finite task, NaN if there was none; "tasks/nonfinite" is
    the total.
    """
    window = state.window.numpy().astype(float)
    state.window.assign(np.zeros_like(window))
    totals, count = window[:-1], window[-1] or math.nan
    row = {
        name: float(total if name == "tasks/nonfinite" else total / count)
        for name, total in zip(row_names, totals, strict=True)
    }
    sigma2 = np.exp(state.meta().log_sigma2.numpy().astype(float))
    return row | {f"sigma2/{n}": float(s) for n, s in zip(module_names, sigma2, strict=True)}


def check_intervals(every: Intervals) -> None:
    """All are at least 1; eval_every may be 0, and so may steps: a warm start alone.

    Raises:
      UsageError: one is not.
    """
    if min(every._replace(eval_every=1, steps=1)) < 1 or min(every.eval_every, every.steps) < 0:
        got = ", ".join(f"{name}={value}" for name, value in every._asdict().items())
        raise UsageError(
            f"train got {got}; expected at least 1 each (eval_every may be 0, and steps after a "
            "warm start)."
        )


def _timed(run: Run, num_steps: int) -> tuple[int, float]:
    started = time.monotonic()
    return run(num_steps), time.monotonic() - started


def _timing_row(seconds_per_step: float) -> dict[str, float]:
    """Speed, the process's peak memory in MiB (not a GPU's), and the clock."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds_per_step": seconds_per_step, "peak_rss_mib": peak, "time": time.time()}


def _until_boundary(step: int, burst: int, every: Intervals) -> int:
    intervals = [every.log_every, every.checkpoint_every, every.eval_every or every.steps]
    return min(burst, every.steps - step, *(interval - step % interval for interval in intervals))


def _next_burst(burst: int, done: int, seconds: float) -> int:
    if done == 0 or seconds <= 0:
        return burst
    return max(1, min(2 * burst, int(BURST_SECONDS * done / seconds)))


def _number(counter: tf.Variable) -> int:
    """Its value; a variable of a distribution strategy has no int() of its own."""
    return int(counter.numpy())


def _refuse_divergence(state: MetaState, max_bad_steps: int) -> None:
    if _number(state.bad_steps) >= max_bad_steps:
        raise DivergedError(
            f"No task of {max_bad_steps} meta-steps in a row stayed finite, by meta-step "
            f"{_number(state.step)}; lower adapt.learning_rate or the meta learning rates, or "
            "raise algorithm.damping, and start in a new workdir (or from the last checkpoint)."
        )
