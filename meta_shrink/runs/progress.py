"""Progress of a long loop: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_SAMPLES = 0.5
_SAMPLES = 120  # The rate is that of the last minute.


class Progress:
    """`with Progress(total) as progress: progress.update(step, loss=...)`, step in [start, total].

    On a terminal: a bar with rate, time left and the numbers of the last update. Elsewhere: a line
    with the same content for the first and the last step and at most every 10 seconds in between.
    A stream that breaks (a closed pipe, a full disk) ends the display, not the loop.
    """

    def __init__(
        self,
        total: int,
        *,
        start: int = 0,
        label: str = "meta-training",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._step, self._label = total, start, label
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._last_line: tuple[float, int] | None = None
        self._bar = _bar(self._stream) if self._stream.isatty() else None
        self._silent = False

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._show(self._bar.start)
            self._task = self._bar.add_task(
                self._label, total=self._total, completed=self._step, facts=""
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show(self._bar.stop)
        elif self._last_line is not None and self._last_line[1] != self._step:
            self._show(self._print_line)

    def update(self, step: int, **numbers: Any) -> None:
        """Tell that `step` steps are done; the numbers (floats, ints, scalar tensors) are shown."""
        now = self._clock()
        self._step, self._numbers = step, numbers
        if not self._samples or now - self._samples[-1][0] >= _SECONDS_BETWEEN_SAMPLES:
            self._samples.append((now, step))
        self._show(self._print_line if self._bar is None else self._move_bar, now)

    def _show(self, display: Callable[..., object], *arguments: Any) -> None:
        if self._silent:
            return
        try:
            display(*arguments)
        except (OSError, ValueError):  # ValueError: the stream is closed.
            self._silent = True

    def _move_bar(self, now: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._step, facts=self._facts(now))

    def _print_line(self, now: float | None = None) -> None:
        """Print a line when one is due; without a time it always is."""
        last = self._last_line
        due = now is None or last is None or now - last[0] >= _SECONDS_BETWEEN_LINES
        if not due and self._step < self._total:
            return
        now = self._clock() if now is None else now
        self._last_line = (now, self._step)
        share = f"{100 * self._step / self._total:.0f} %" if self._total else "100 %"
        head = f"{self._label}: {self._step}/{self._total} ({share})"
        print(head, self._facts(now), sep="  ", file=self._stream, flush=True)

    def _facts(self, now: float) -> str:
        """Rate, time left and numbers, as one text."""
        rate = self._steps_per_second(now)
        left = (self._total - self._step) / rate if rate else math.nan
        facts = [format_rate(rate), f"ETA {format_duration(left)}"]
        facts += [f"{name} {format_number(value)}" for name, value in self._numbers.items()]
        return "  ".join(facts)

    def _steps_per_second(self, now: float) -> float:
        """Rate since the oldest sample; the first update, which compiles, is not in it."""
        if not self._samples or now <= self._samples[0][0]:
            return 0.0
        return (self._step - self._samples[0][1]) / (now - self._samples[0][0])


def _bar(stream: TextIO) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[facts]}"),
        console=Console(file=stream),
    )


def format_number(value: Any) -> str:
    """Four significant digits: 0.0123, 1,234,567, 1.5e-06, inf."""
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    if number == int(number) and abs(number) < 1e9:
        return f"{int(number):,}"
    if 1e-3 <= abs(number) < 1e4:
        return f"{number:.4g}"
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e9 else f"{number:.3g}"


def format_rate(steps_per_second: float) -> str:
    """Steps per second, or seconds per step where that reads better."""
    if not steps_per_second:
        return "- steps/s"
    if steps_per_second < 1:
        return f"{format_number(float(f'{1 / steps_per_second:.3g}'))} s/step"
    return f"{format_number(float(f'{steps_per_second:.3g}'))} steps/s"


def format_duration(seconds: float) -> str:
    """h:mm:ss, with days from one day on; "-" when unknown."""
    if not math.isfinite(seconds):
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour}:{minute:02}:{second:02}"
    return f"{days} d {clock}" if days else clock
