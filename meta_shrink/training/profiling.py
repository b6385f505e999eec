"""A trace of some meta-steps for TensorBoard: which operations took their time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.runs.checkpoints import first_line
from meta_shrink.training.meta_step import Run


class Span(NamedTuple):
    """The meta-steps start + 1 to stop."""

    start: int
    stop: int


def parse_span(text: str | None, steps: int) -> Span | None:
    """The span of "START:STOP"; None of None.

    Args:
      steps: meta-steps of the run.

    Raises:
      UsageError: it is no span, empty, or not within the run.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    span = Span(*map(int, match.groups())) if match else Span(0, 0)
    if not span.start < span.stop <= steps:
        raise UsageError(
            f"--profile={text}: expected START:STOP with START < STOP <= train.steps, which is "
            f"{steps}."
        )
    return span


@contextmanager
def traced(
    run: Run, state_step: tf.Variable, span: Span | None, folder: str, log: Callable[[str], Any]
) -> Iterator[Run]:
    """`run`, which also writes a trace of the meta-steps of a span; the same if there is none.

    A trace that cannot be written, or that is cut off, never stops the run.

    Args:
      state_step: meta-steps done.
      folder: of TensorBoard; the trace goes below plugins/profile.
    """
    trace = _Trace(folder, log)

    def run_traced(span: Span, num_steps: int) -> int:
        done, step = 0, int(state_step.numpy())
        for end in _ends(step, num_steps, span):
            if span.start <= step < span.stop:
                trace.begin()
            part = run(end - step)
            done, step = done + part, step + part
            if step >= span.stop:
                trace.end()
            if step < end:  # Stopped on request.
                break
        return done

    if span is not None and int(state_step.numpy()) >= span.stop:
        log(f"No trace: meta-step {span.stop} is done.")
        span = None
    try:
        yield run if span is None else lambda num_steps: run_traced(span, num_steps)
    finally:
        trace.end()


def _ends(step: int, num_steps: int, span: Span) -> list[int]:
    """Where the parts of a burst end: at the span's bounds, if they lie within, and its end."""
    return [*(bound for bound in span if step < bound < step + num_steps), step + num_steps]


class _Trace:
    def __init__(self, folder: str, log: Callable[[str], Any]) -> None:
        self._folder, self._log, self._running = folder, log, False

    def begin(self) -> None:
        """Begin, unless it has."""
        if not self._running:
            self._running = self._tried(lambda: tf.profiler.experimental.start(self._folder))

    def end(self) -> None:
        """Write what there is, if it has begun."""
        if self._running and self._tried(tf.profiler.experimental.stop):
            self._log(f"A trace is in {self._folder}.")
        self._running = False

    def _tried(self, action: Callable[[], Any]) -> bool:
        try:
            action()
        except (RuntimeError, OSError, tf.errors.OpError) as error:
            self._log(f"No trace ({first_line(error)}).")
            return False
        return True
