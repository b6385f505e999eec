"""The host loop: when it logs, evaluates, saves and stops, whatever the bursts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import DivergedError, MetaParams, Preempted, UsageError
from meta_shrink.training import loop
from meta_shrink.training.loop import Intervals, fit
from meta_shrink.training.meta_state import MetaState

EVERY = Intervals(steps=20, log_every=5, eval_every=10, checkpoint_every=8, max_bad_steps=3)


class Fake:
    """A run that only counts, and what the loop did with it."""

    def __init__(self, start: int = 0, *, stop_at: int = 10**9, bad_at: int = 10**9) -> None:
        self.state: Any = SimpleNamespace(
            step=tf.Variable(start),
            bad_steps=tf.Variable(0),
            window=tf.Variable([0.0, 0.0]),
            meta=lambda: SimpleNamespace(log_sigma2=tf.zeros([1])),
        )
        self.stop_at, self.bad_at = stop_at, bad_at
        self.bursts: list[int] = []
        self.saves: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.timing: list[dict[str, Any]] = []

    def run(self, num_steps: int) -> int:
        for _ in range(num_steps):
            self.state.step.assign_add(1)
            self.state.window.assign_add([2.0, 1.0])
            self.state.bad_steps.assign_add(int(self.state.step) >= self.bad_at)
        self.bursts.append(num_steps)
        return num_steps

    def fit(self, every: Intervals = EVERY, agree: Any = None) -> None:
        log: Any = SimpleNamespace(append=self.rows.append)
        timing: Any = SimpleNamespace(append=self.timing.append)
        fit(
            self.run,
            self.state,
            every,
            row_names=("nll_val",),
            module_names=("a",),
            metrics=log,
            timing=timing,
            evaluate=lambda: {"metric": 1.0},
            save=self.saves.append,
            progress=lambda step, row: None,
            agree=agree or (lambda burst: (burst, int(self.state.step) >= self.stop_at)),
        )


def test_rows_evaluations_and_checkpoints_at_their_steps():
    fake = Fake()
    fake.fit()
    train = [row["step"] for row in fake.rows if row["kind"] == "train"]
    assert train == [5, 10, 15, 20]
    assert [row["step"] for row in fake.rows if row["kind"] == "eval"] == [10, 20]
    assert fake.saves == [8, 16, 20]
    assert [row["step"] for row in fake.timing] == train
    assert all(row["seconds_per_step"] > 0 and row["peak_rss_mib"] > 1 for row in fake.timing)
    assert all(row["nll_val"] == 2.0 for row in fake.rows if row["kind"] == "train")
    np.testing.assert_array_equal(fake.state.window.numpy(), [0.0, 0.0])


def test_a_finished_run_does_nothing():
    fake = Fake(20)
    fake.fit()
    assert fake.bursts == fake.saves == fake.rows == []


def test_a_stop_saves_and_raises():
    fake = Fake(stop_at=7)
    with pytest.raises(Preempted):
        fake.fit()
    assert 7 <= fake.saves[-1] == int(fake.state.step) <= 8


def test_bursts_and_stops_are_those_of_all_processes():
    """The chief's bursts are of two meta-steps here, and another process wants to stop."""
    fake, asked = Fake(), []

    def agree(burst: int) -> tuple[int, bool]:
        asked.append(burst)
        return 2, len(asked) == 4

    with pytest.raises(Preempted, match="meta-step 7"):
        fake.fit(EVERY._replace(log_every=20), agree=agree)
    assert fake.bursts == [1, 2, 2, 2]
    assert fake.saves == [7]


def test_a_stop_within_a_meta_step_saves_the_one_before():
    fake = Fake(6, stop_at=6)
    fake.run = lambda num_steps: 0  # type: ignore[method-assign]
    with pytest.raises(Preempted, match="meta-step 6"):
        fake.fit()
    assert fake.saves == [6] and fake.rows == []


def test_divergence_saves_nothing():
    fake = Fake(bad_at=9)
    with pytest.raises(DivergedError, match="meta-steps in a row"):
        fake.fit()
    assert fake.saves == [8]


def test_bursts_grow_to_half_a_second_and_no_further():
    assert loop._next_burst(1, 1, 0.001) == 2
    assert loop._next_burst(1000, 1000, 1.0) == 500
    assert loop._next_burst(4, 4, 100.0) == 1
    assert loop._next_burst(4, 0, 1.0) == 4


@pytest.mark.parametrize("name", Intervals._fields)
def test_intervals_out_of_range_are_refused(name):
    with pytest.raises(UsageError, match=f"{name}=-1"):
        Fake().fit(EVERY._replace(**{name: -1}))


def test_divergence_ends_after_the_number_of_bad_steps_allowed():
    fake = Fake(bad_at=9)
    with pytest.raises(DivergedError, match="No task of 3 meta-steps"):
        fake.fit(EVERY._replace(log_every=1))  # bursts of one meta-step
    assert int(fake.state.step) == 11


def test_a_row_has_means_and_the_total_of_tasks_that_are_not_finite():
    state: Any = SimpleNamespace(window=tf.Variable([6.0, 3.0, 2.0]), meta=Fake().state.meta)
    names = ("nll_val", "tasks/nonfinite")
    assert loop.window_row(state, names, ("a",)) == {
        "nll_val": 3.0, "tasks/nonfinite": 3.0, "sigma2/a": 1.0,
    }  # fmt: skip
    assert not state.window.numpy().any()
    assert np.isnan(loop.window_row(state, names, ("a",))["nll_val"])


@pytest.mark.parametrize("burst", [1, 3, 7, 20])
def test_divergence_between_two_looks_is_found_too(burst):
    """How long a burst is depends on the clock: what ends a run must not."""
    meta = MetaParams([tf.zeros([2])], tf.zeros([1]), tf.zeros([1]))
    state = MetaState.create(meta, {}, max_bad_steps=3, names=("a",))
    good = [True, False, False, True, *[False] * 3, *[True] * 13]
    for number, finite in enumerate(good):
        state.count_step(tf.constant(finite))
        if (number + 1) % burst == 0 and int(state.bad_steps.numpy()) >= 3:
            break
    assert int(state.bad_steps.numpy()) >= 3 and int(state.step.numpy()) >= 7
