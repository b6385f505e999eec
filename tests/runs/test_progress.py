"""What the progress display prints, on a terminal and elsewhere."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from meta_shrink.runs.progress import Progress, format_duration, format_number, format_rate


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError(32, "Broken pipe")


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(stream: io.StringIO, *, total: int, seconds_per_step: float, start: int = 0) -> list[str]:
    clock = Clock()
    with Progress(total, start=start, stream=stream, clock=clock) as progress:
        for step in range(start + 1, total + 1):
            clock.now += seconds_per_step
            progress.update(step, loss=1 / step, sigma2=np.float32(1e-5))
    return stream.getvalue().splitlines()


def test_plain_lines_come_first_last_and_every_ten_seconds():
    lines = run(io.StringIO(), total=300, seconds_per_step=0.1)
    steps = [int(line.split()[1].split("/")[0]) for line in lines]
    assert steps == [1, 101, 201, 300] or steps == [1, 102, 203, 300]
    assert lines[0] == "meta-training: 1/300 (0 %)  - steps/s  ETA -  loss 1  sigma2 1e-05"
    assert lines[-1].startswith(
        "meta-training: 300/300 (100 %)  10 steps/s  ETA 0:00:00  loss 0.003"
    )


def test_rate_and_time_left_of_a_resumed_run():
    lines = run(io.StringIO(), total=110, seconds_per_step=20.0, start=100)
    assert len(lines) == 10
    assert lines[4].startswith("meta-training: 105/110 (95 %)  20 s/step  ETA 0:01:40")


def test_the_last_state_is_printed_when_the_loop_ends_early():
    stream, clock = io.StringIO(), Clock()
    with pytest.raises(KeyError), Progress(100, label="x", stream=stream, clock=clock) as progress:
        for step in (1, 2, 3):
            clock.now += 1
            progress.update(step)
        raise KeyError
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["1/100", "3/100"]


def test_nothing_to_do():
    stream = io.StringIO()
    with Progress(0, stream=stream):
        pass
    assert stream.getvalue() == ""


def test_terminal_shows_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "150")
    text = "\n".join(run(Terminal(), total=40, seconds_per_step=0.1))
    assert "\x1b[" in text and "━" in text
    assert (
        "40/40" in text and "10 steps/s" in text and "ETA 0:00:00" in text and "loss 0.025" in text
    )


@pytest.mark.parametrize("closed", [True, False])
def test_a_broken_stream_does_not_stop_the_loop(closed):
    stream, clock, seen = Broken(), Clock(), []
    if closed:
        stream.close()
        stream.isatty = lambda: False
    with Progress(3, stream=stream, clock=clock) as progress:
        for step in (1, 2, 3):
            progress.update(step)
            seen.append(step)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (7, "7"),
        (1234567, "1,234,567"),
        (0.0123456, "0.01235"),
        (-3.14159, "-3.142"),
        (1e-5, "1e-05"),
        (1.23456e-6, "1.23e-06"),
        (12345.6, "12,346"),
        (1.5e12, "1.5e+12"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (np.float32(0.1), "0.1"),
    ],
)
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0, "- steps/s"), (0.05, "20 s/step"), (1, "1 steps/s"), (1234.5, "1,230 steps/s")],
)
def test_rates(rate, text):
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (59.6, "0:01:00"),
        (3725, "1:02:05"),
        (200_000, "2 d 7:33:20"),
        (math.nan, "-"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text
