"""The host loop of meta-training: bursts of meta-steps between logging, evaluation, saving."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from meta_shrink.errors import DivergedError, Preempted, UsageError
from meta_shrink.meta_state import MetaState
from meta_shrink.training import Run

BURST_SECONDS = 0.5  # a stop request waits for one burst at most


class Log(Protocol):
    """Takes rows of named numbers."""

    def append(self, row: dict[str, Any]) -> None:
        """Add one row."""


def fit(
    run: Run,
    state: MetaState,
    *,
    steps: int,
    log_every: int,
    eval_every: int,
    checkpoint_every: int,
    max_bad_steps: int,
    row_names: tuple[str, ...],
    module_names: tuple[str, ...],
    metrics: Log,
    timing: Log,
    evaluate: Callable[[], dict[str, float]],
    save: Callable[[int], Any],
    progress: Callable[[int, dict[str, float]], Any],
    stop_requested: Callable[[], bool],
) -> None:
    """Run meta-training from state.step to `steps`.

    Args:
      run: number of meta-steps -> number done.
      log_every, eval_every, checkpoint_every: in meta-steps; eval_every 0 for never.
      max_bad_steps: meta-steps in a row without one finite task that end the run.
      metrics: gets deterministic rows (an interrupted run writes the same ones).
      timing: gets wall-clock rows.
      evaluate: held-out metrics of the present Phi.
      save: step -> saves a checkpoint.
      progress: called with the step and the latest numbers.
      stop_requested: asked between bursts.

    Raises:
      Preempted: stopped on request; the state was saved.
      DivergedError: max_bad_steps was reached; the last checkpoint before is kept.
      UsageError: an interval below 1.
    """
    if min(steps, log_every, checkpoint_every, max_bad_steps) < 1 or eval_every < 0:
        raise UsageError(
            f"train got steps={steps}, log_every={log_every}, eval_every={eval_every}, "
            f"checkpoint_every={checkpoint_every}, max_bad_steps={max_bad_steps}; expected at "
            "least 1 each (eval_every may be 0)."
        )
    step, burst, latest = int(state.step), 1, {}
    while step < steps:
        started, wanted = (
            time.monotonic(),
            _until_boundary(step, steps, burst, [log_every, checkpoint_every, eval_every or steps]),
        )
        done = run(wanted)
        seconds = time.monotonic() - started
        step += done
        burst = _next_burst(burst, done, seconds)
        _refuse_divergence(state, max_bad_steps)
        if done and step % log_every == 0:
            latest = window_row(state, row_names, module_names)
            metrics.append({"step": step, "kind": "train", **latest})
            timing.append({"step": step, "seconds_per_step": seconds / done, "time": time.time()})
        if done and eval_every and step % eval_every == 0:
            metrics.append({"step": step, "kind": "eval", **evaluate()})
        if stop_requested() and step < steps:
            save(step)
            raise Preempted(f"Stopped at meta-step {step}; the same command resumes.")
        if done and (step % checkpoint_every == 0 or step == steps):
            save(step)
        progress(step, latest)


def window_row(
    state: MetaState, row_names: tuple[str, ...], module_names: tuple[str, ...]
) -> dict[str, float]:
    """Mean of each metric since the last row, sigma^2 of each module; empties the window.

    "tasks/nonfinite" is the total, not the mean.
    """
    window = state.window.numpy().astype(float)
    state.window.assign(np.zeros_like(window))
    totals, count = window[:-1], max(window[-1], 1.0)
    row = {
        name: float(total if name == "tasks/nonfinite" else total / count)
        for name, total in zip(row_names, totals, strict=True)
    }
    sigma2 = np.exp(state.meta().log_sigma2.numpy().astype(float))
    return row | {f"sigma2/{n}": float(s) for n, s in zip(module_names, sigma2, strict=True)}


def _until_boundary(step: int, steps: int, burst: int, intervals: list[int]) -> int:
    distances = [interval - step % interval for interval in intervals]
    return min(burst, steps - step, *distances)


def _next_burst(burst: int, done: int, seconds: float) -> int:
    if done == 0 or seconds <= 0:
        return burst
    return max(1, min(2 * burst, int(BURST_SECONDS * done / seconds)))


def _refuse_divergence(state: MetaState, max_bad_steps: int) -> None:
    bad = int(state.bad_steps)
    if bad >= max_bad_steps:
        raise DivergedError(
            f"No task of {bad} meta-steps in a row stayed finite, up to meta-step "
            f"{int(state.step)}; lower adapt.learning_rate or the meta learning rates, or raise "
            "algorithm.damping, and start in a new workdir (or from the last checkpoint)."
        )
