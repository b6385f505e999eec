"""Which meta-steps a trace is of, and that it changes none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from meta_shrink import UsageError, build, open_workdir, train
from meta_shrink.training.profiling import Span, parse_span, traced
from tests.tiny_runs import NO_LOG, assert_same_run, tiny_config


@pytest.mark.parametrize(
    "text", ["", "3", "3:", "3:3", "4:3", "-1:3", "1:3:5", "a:b", "5:11", "1.5:2"]
)
def test_what_is_no_span_is_refused(text):
    with pytest.raises(UsageError, match=f"^--profile={text}: expected START:STOP .* is 10"):
        parse_span(text, 10)


def test_spans():
    assert parse_span(None, 10) is None
    assert parse_span("0:10", 10) == Span(0, 10)


class Traces:
    """In place of TensorFlow's profiler: what happened, in order."""

    def __init__(self, monkeypatch, failing: str = ""):
        self.events: list[object] = []
        for name in ("start", "stop"):
            monkeypatch.setattr(tf.profiler.experimental, name, self._event(name, failing == name))

    def _event(self, name, fails):
        def event(*_):
            if fails:
                raise tf.errors.UnavailableError(None, None, "no profiler here\nmore")
            self.events.append(name)

        return event

    def run(self, bursts, span, at=0, done=None):
        """Bursts of a run that stands at a meta-step; `done` of each call, all by default."""
        step, said = tf.Variable(at, dtype=tf.int64), []

        def run(num_steps):
            count = num_steps if done is None else done
            step.assign_add(count)
            self.events.append(count)
            return count

        with traced(run, step, span, "folder", said.append) as traced_run:
            self.counts = [traced_run(burst) for burst in bursts]
        return said


def test_a_trace_begins_and_ends_at_its_meta_steps(monkeypatch):
    traces = Traces(monkeypatch)
    assert traces.run([1, 8, 4], Span(3, 6)) == ["A trace is in folder."]
    assert traces.events == [1, 2, "start", 3, "stop", 3, 4]
    assert traces.counts == [1, 8, 4]


def test_a_trace_goes_over_several_bursts(monkeypatch):
    traces = Traces(monkeypatch)
    traces.run([2, 2, 2, 2], Span(0, 5))
    assert traces.events == ["start", 2, 2, 1, "stop", 1, 2]


def test_one_that_is_cut_off_is_written(monkeypatch):
    traces = Traces(monkeypatch)
    assert traces.run([2], Span(1, 9)) == ["A trace is in folder."]
    assert traces.events == [1, "start", 1, "stop"]


def test_a_resumed_run_traces_what_is_left_or_says_that_nothing_is(monkeypatch):
    traces = Traces(monkeypatch)
    traces.run([3], Span(3, 6), at=5)
    assert traces.events == ["start", 1, "stop", 2]
    assert Traces(monkeypatch).run([3], Span(3, 6), at=6) == ["No trace: meta-step 6 is done."]


def test_a_stop_within_a_burst_ends_it(monkeypatch):
    traces = Traces(monkeypatch)
    traces.run([4], Span(2, 3), done=0)
    assert (traces.counts, traces.events) == ([0], [0])


@pytest.mark.parametrize("failing", ["start", "stop"])
def test_a_trace_that_fails_stops_nothing(monkeypatch, failing):
    traces = Traces(monkeypatch, failing)
    said = traces.run([4], Span(1, 2))
    assert set(said) == {"No trace (no profiler here)."}
    assert traces.counts == [4]


def test_a_traced_run_is_the_same_run(tmp_path):
    experiment = build(tiny_config(changes={"train.steps": 12, "train.eval_every": 0}))

    def trained(name: str, **options: Any) -> Path:
        with open_workdir(str(tmp_path / name), experiment.config, **NO_LOG) as workdir:
            train(experiment, workdir, **options, **NO_LOG)
        return tmp_path / name

    traced_run = trained("traced", profile=Span(3, 5))
    assert_same_run(traced_run, trained("plain"))
    assert len(list(traced_run.glob("tensorboard/plugins/profile/*/*.xplane.pb"))) == 1
    assert not (tmp_path / "plain" / "tensorboard" / "plugins").exists()
