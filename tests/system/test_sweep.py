"""Search for settings: trials, what is cut off goes on, processes that share the work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from optuna.trial import TrialState

from meta_shrink import Preempted, UsageError
from meta_shrink.experiments import sweep as sweep_job
from meta_shrink.experiments.sweep import sweep
from meta_shrink.experiments.sweep_journal import open_study
from meta_shrink.experiments.sweep_space import Search, distribution_of, with_settings
from meta_shrink.experiments.sweep_trials import claim_trial
from meta_shrink.training.distribution import make_strategy
from tests.tiny_runs import NO_LOG, changed, tiny_config

ROOT = Path(__file__).resolve().parent.parent.parent
SPACE = [
    ("adapt.learning_rate", "log", 0.01, 0.1),
    ("adapt.steps", "int", 1, 3),
    ("prior.beta", "linear", 0.0, 1.0),
    ("train.clip_norm", "choice", [0.0, 1.0]),
]
KEYS = {row[0] for row in SPACE}


def search_config(num_trials: int) -> dict[str, Any]:
    changes = {"search.space": SPACE, "search.num_trials": num_trials, "train.eval_every": 0}
    return tiny_config("reptile", changes)


def instant(monkeypatch, outcomes: list[Any]) -> list[dict[str, Any]]:
    """Replace what runs a trial: each takes the next outcome. The settings that were run."""
    started: list[dict[str, Any]] = []

    def run(config, *, trial, **_):
        started.append(trial.params)
        outcome = outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(sweep_job, "_run", run)
    return started


def test_two_trials_and_their_table(tmp_path):
    study = sweep(search_config(2), str(tmp_path), **NO_LOG)
    table = json.loads((tmp_path / "trials.json").read_text())
    assert [row["metric"] for row in table] == sorted(trial.values[0] for trial in study.trials)
    # What the pruner saw; the last one is what the trial came to.
    for trial in study.trials:
        assert list(trial.intermediate_values) == [1, 2, 3, 4]
        assert trial.intermediate_values[4] == trial.value
    for row in table:
        recorded = json.loads((tmp_path / f"trial_{row['trial']:04d}" / "config.json").read_text())
        assert recorded["train"]["steps"] == 4
        assert recorded["adapt"]["steps"] == row["settings"]["adapt.steps"] in (1, 2, 3)
        assert row["settings"].keys() == KEYS
    messages: list[str] = []
    assert len(sweep(search_config(2), str(tmp_path), log=messages.append).trials) == 2
    assert messages == []


def test_a_trial_that_was_cut_off_goes_on_as_itself(tmp_path, monkeypatch):
    started = instant(monkeypatch, [1.0, Preempted("stopped."), 2.0, 3.0, 4.0])
    with pytest.raises(Preempted):
        sweep(search_config(4), str(tmp_path), **NO_LOG)
    study = sweep(search_config(4), str(tmp_path), **NO_LOG)
    assert [trial.value for trial in study.trials] == [1.0, 2.0, 3.0, 4.0]
    assert started[1] == started[2]
    assert len({str(settings) for settings in started}) == 4


def test_a_failed_trial_counts(tmp_path, monkeypatch):
    instant(monkeypatch, [None, 2.0, None])
    study = sweep(search_config(3), str(tmp_path), **NO_LOG)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL]


def test_a_trial_that_runs_elsewhere_is_left_alone(tmp_path, monkeypatch):
    config = search_config(2)
    instant(monkeypatch, [1.0])
    search = Search(**config["search"])
    how = {"sampler": "tpe", "pruner": "median"}
    study = open_study(str(tmp_path), {**config, "search": config["search"] | how}, minimise=True)
    ranges = {row[0]: distribution_of(row) for row in search.space}
    claimed = claim_trial(study, ranges, 2, str(tmp_path), sampler="tpe", seed=7)
    assert claimed is not None
    trial, claim = claimed
    with claim:
        sweep(config, str(tmp_path), **NO_LOG)
        states = [t.state for t in study.get_trials()]
        assert states == [TrialState.RUNNING, TrialState.COMPLETE]
        assert trial.number == 0


def test_a_stop_between_trials(tmp_path, monkeypatch):
    instant(monkeypatch, [1.0])
    with pytest.raises(Preempted, match="between trials"):
        sweep(search_config(2), str(tmp_path), stop_requested=lambda: True, **NO_LOG)


def test_with_settings_leaves_the_config_as_it_is():
    config = search_config(2)
    changed = with_settings(config, {"adapt.steps": 9}, 5)
    assert (changed["adapt"]["steps"], changed["train"]["steps"]) == (9, 5)
    assert (config["adapt"]["steps"], config["train"]["steps"]) == (4, 60)


PROCESS = """
import sys, time
from meta_shrink.experiments import sweep as sweep_job
from tests.system.test_sweep import search_config

def run(config, *, trial, **_):
    time.sleep(0.2)
    return 1.0

sweep_job._run = run
messages = []
sweep_job.sweep(search_config(10), sys.argv[1], log=messages.append)
print(len(messages))
"""


def test_processes_share_the_trials(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    shares = [int(process.communicate(timeout=3600)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(shares) == 10
    assert len(json.loads((tmp_path / "trials.json").read_text())) == 10


def is_strategy(value: Any) -> bool:
    return isinstance(value, tf.distribute.Strategy)


def test_a_trial_trains_and_validates_on_all_replicas(tmp_path, monkeypatch):
    seen: list[int] = []

    def spied(function):
        def call(*args, **options):
            seen.extend(
                x.num_replicas_in_sync for x in (*args, *options.values()) if is_strategy(x)
            )
            return function(*args, **options)

        return call

    for name in ("check_trainable", "train", "validation"):
        monkeypatch.setattr(sweep_job, name, spied(getattr(sweep_job, name)))
    config, values = search_config(1), {}
    for name in ("one", "mirrored"):
        study = sweep(config, str(tmp_path / name), strategy=make_strategy(name), **NO_LOG)
        values[name] = [trial.value for trial in study.trials]
    assert seen == [1] * 3 + [2] * 3
    np.testing.assert_allclose(values["mirrored"], values["one"], rtol=1e-5)


def test_a_meta_batch_that_replicas_cannot_share_is_refused_unless_it_is_searched(tmp_path):
    config = changed(search_config(1), {"train.meta_batch_size": 3})
    mirrored = {"strategy": make_strategy("mirrored"), **NO_LOG}
    with pytest.raises(UsageError, match="meta_batch_size is 3; expected a positive multiple of"):
        sweep(config, str(tmp_path / "refused"), **mirrored)
    assert not (tmp_path / "refused").exists()
    space = [*SPACE, ("train.meta_batch_size", "choice", [2])]
    (trial,) = sweep(changed(config, {"search.space": space}), str(tmp_path), **mirrored).trials
    assert trial.state == TrialState.COMPLETE
