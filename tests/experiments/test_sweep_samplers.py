"""What a search tries next, however it was cut off, and which trials it ends early."""

from __future__ import annotations

import math
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from meta_shrink import Preempted, UsageError
from meta_shrink.experiments import sweep as sweep_job
from meta_shrink.experiments.sweep import sweep
from meta_shrink.experiments.sweep_journal import JOURNAL
from meta_shrink.experiments.sweep_trials import PRUNERS, SAMPLERS, WatchedRows
from tests.system.test_sweep import search_config
from tests.tiny_runs import NO_LOG, changed

BEST = {"adapt.learning_rate": math.log(0.03), "prior.beta": 0.4}


def distance(settings: dict[str, Any]) -> float:
    """From the best settings there are, in units of the ranges."""
    rate = (math.log(settings["adapt.learning_rate"]) - BEST["adapt.learning_rate"]) / math.log(10)
    return math.hypot(rate, settings["prior.beta"] - BEST["prior.beta"])


class Log:
    """Rows in memory."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.append = self.rows.append


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch):
    facts = SimpleNamespace(lower_is_better=True)
    monkeypatch.setattr(
        sweep_job,
        "build",
        lambda config, components: SimpleNamespace(metric_facts=facts, config=dict(config)),
    )


@pytest.fixture
def instant(monkeypatch):
    def run(config, *, trial, **_):
        return distance(trial.params)

    monkeypatch.setattr(sweep_job, "_run", run)


def tried(study) -> list[tuple[dict[str, Any], float]]:
    return [(trial.params, trial.value) for trial in study.trials if trial.params]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_cut_off_anywhere_tries_the_same(tmp_path, instant, sampler):
    """After any record of its journal, within that of a trial's settings too."""
    config = search_config(13)
    whole = tried(sweep(config, str(tmp_path / "whole"), sampler=sampler, **NO_LOG))
    assert len({str(settings) for settings, _ in whole}) == 13
    lines = (tmp_path / "whole" / JOURNAL).read_bytes().splitlines(keepends=True)
    for count in [*range(3, len(lines), 19), len(lines) - 1]:
        folder = tmp_path / str(count)
        sweep(search_config(1), str(folder), sampler=sampler, **NO_LOG)
        (folder / JOURNAL).write_bytes(b"".join(lines[:count]))
        again = [
            (s, v) for s, v in tried(sweep(config, str(folder), sampler=sampler, **NO_LOG)) if v
        ]
        assert again == whole, count


def test_a_search_that_is_done_writes_its_table_again(tmp_path, instant):
    sweep(search_config(3), str(tmp_path), **NO_LOG)
    table = (tmp_path / "trials.json").read_text()
    (tmp_path / "trials.json").unlink()
    sweep(search_config(3), str(tmp_path), **NO_LOG)
    assert (tmp_path / "trials.json").read_text() == table


def test_tpe_goes_where_it_was_best_and_random_does_not(tmp_path, instant):
    late = {}
    for sampler in SAMPLERS:
        values = [
            v
            for _, v in tried(
                sweep(search_config(40), str(tmp_path / sampler), sampler=sampler, **NO_LOG)
            )
        ]
        late[sampler] = np.mean(values[-10:])
    assert late["tpe"] < 0.5 * late["random"]


@pytest.mark.parametrize(("pruner", "ended"), [("median", [5, 7]), ("none", [])])
def test_what_is_worse_than_half_of_the_others_ends_early(tmp_path, monkeypatch, pruner, ended):
    """Trials 5 and 7 are worse than the median of those before, from the first look on."""
    levels, seen = [1.0, 2.0, 3.0, 4.0, 5.0, 3.5, 2.5, 9.0], []

    def run(config, *, trial, **_):
        watched = WatchedRows(log_of_it := Log(), trial)
        seen.append(log_of_it.rows)
        for step in (1, 2):
            watched.append({"step": step, "kind": "train", "nll": 0.0})
            watched.append({"step": step, "kind": "eval", "metric": levels[trial.number]})
        return levels[trial.number]

    monkeypatch.setattr(sweep_job, "_run", run)
    study = sweep(search_config(8), str(tmp_path), pruner=pruner, **NO_LOG)
    states = [trial.state for trial in study.trials]
    assert [n for n, state in enumerate(states) if state == TrialState.PRUNED] == ended
    assert [len(rows) for rows in seen] == [2 if n in ended else 4 for n in range(8)]


def test_how_it_searches_is_part_of_the_search(tmp_path, instant):
    sweep(search_config(1), str(tmp_path), **NO_LOG)
    for how in ({"sampler": "random"}, {"pruner": "none"}):
        with pytest.raises(UsageError, match=rf"search\.{next(iter(how))}"):
            sweep(search_config(2), str(tmp_path), **how, **NO_LOG)


@pytest.mark.parametrize("how", [{"sampler": "grid"}, {"pruner": "hyperband"}])
def test_others_are_refused(tmp_path, how):
    ((name, given),) = how.items()
    table = SAMPLERS if name == "sampler" else PRUNERS
    with pytest.raises(UsageError, match=f"{name} is '{given}'; expected one of {min(table)}"):
        sweep(search_config(1), str(tmp_path), **how, **NO_LOG)


def test_a_stopped_trial_is_pruned_as_if_it_had_not_been(tmp_path, monkeypatch):
    """Stopped once its evaluation was known and before the pruner had spoken; then seen again."""
    levels, stops = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0], [True]

    def run(config, *, trial, **_):
        watched = WatchedRows(Log(), trial)
        for step in (1, 2):
            row = {"step": step, "kind": "eval", "metric": levels[trial.number]}
            if trial.number == 5 and stops and stops.pop():
                trial.report(row["metric"], step)
                raise Preempted("between the look and its verdict.")
            watched.append(row)
        return levels[trial.number]

    monkeypatch.setattr(sweep_job, "_run", run)
    with pytest.raises(Preempted):
        sweep(search_config(6), str(tmp_path), **NO_LOG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = sweep(search_config(6), str(tmp_path), **NO_LOG)
    assert study.trials[5].state == TrialState.PRUNED
    assert study.trials[5].intermediate_values == {1: 9.0}


def test_what_cannot_be_evaluated_is_refused_before_the_first_trial(tmp_path, monkeypatch):
    """As `build` does where there are too few validation tasks, if it is to evaluate at all."""

    def build(config, components):
        if config["train"]["eval_every"]:
            raise UsageError("too few validation tasks.")

    monkeypatch.setattr(sweep_job, "build", build)
    with pytest.raises(UsageError, match="too few"):
        sweep(search_config(1), str(tmp_path / "search"), **NO_LOG)
    assert not (tmp_path / "search").exists()


def test_trials_have_evaluations_to_be_judged_by(tmp_path, monkeypatch):
    seen = []

    def run(config, *, trial, **_):
        seen.append(config["train"]["eval_every"])
        return 0.0

    monkeypatch.setattr(sweep_job, "_run", run)
    config = changed(search_config(1), {"search.steps": 5000})
    sweep(config, str(tmp_path / "a"), **NO_LOG)
    sweep(config, str(tmp_path / "b"), pruner="none", **NO_LOG)
    sweep(changed(config, {"train.eval_every": 7}), str(tmp_path / "c"), **NO_LOG)
    assert seen == [1001, 0, 7]
