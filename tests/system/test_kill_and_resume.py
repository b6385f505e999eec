"""A training job cut off at any meta-step and started again ends as if nothing had happened.

A kill is an exception out of the meta-steps: what follows the last checkpoint is lost, as it is
with SIGKILL (test_programs.py has real ones). The compiled meta-step is shared by the runs of one
algorithm; every "process" starts from the initial variables.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import ArtefactError, DivergedError, Preempted, build, open_workdir, train
from meta_shrink.experiments import resume
from meta_shrink.experiments import train as training_job
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.train import Training
from meta_shrink.rng import root_key
from meta_shrink.stopping import SIGNALS
from meta_shrink.training.distribution import make_strategy
from meta_shrink.training.meta_step import task_keys
from tests.tiny_runs import (
    ALGORITHMS,
    NO_LOG,
    assert_same_run,
    checkpoint_values,
    set_values,
    tiny_config,
    tiny_training,
    values_of,
)

STEPS = 60
QUICK = {"train.eval_every": 0}


class Killed(Exception):
    """Stands for SIGKILL."""


class Job:
    """Starts one algorithm's training job again and again, compiled once."""

    def __init__(self, monkeypatch, experiment: Experiment, training: Training) -> None:
        self.experiment, self._training = experiment, training
        self._initial = values_of(training)
        self._before_step: Callable[[int], None] = lambda step: None
        self._stop: Callable[[], bool] = lambda: False
        monkeypatch.setattr(training_job, "set_up", self._set_up)

    def _set_up(self, experiment, strategy, stop_requested) -> Training:
        set_values(self._training, self._initial)
        self._stop = stop_requested
        return self._training._replace(run=self._run)

    def _run(self, num_steps: int) -> int:
        for _ in range(num_steps):
            self._before_step(int(self._training.state.step))
            self._training.run(1)
        return num_steps

    def start(self, path: Path, before_step: Callable[[int], None] = lambda step: None) -> None:
        """One process: returns when training is done."""
        self._before_step = before_step
        with open_workdir(str(path), self.experiment.config, **NO_LOG) as workdir:
            train(self.experiment, workdir, **NO_LOG)


def killed_at(step: int) -> Callable[[int], None]:
    def before_step(now: int) -> None:
        if now >= step:
            raise Killed

    return before_step


def tiny_job(monkeypatch, algorithm: str = "sigma_reptile", changes=None) -> Job:
    return Job(monkeypatch, *tiny_training(algorithm, changes))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_killed_runs_end_bit_equal(algorithm, tmp_path, monkeypatch):
    job = tiny_job(monkeypatch, algorithm, {} if algorithm == "sigma_reptile" else QUICK)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    job.start(whole)
    steps = sorted(random.Random(algorithm).sample(range(1, STEPS), 4))
    for step in steps:
        with pytest.raises(Killed):
            job.start(killed, killed_at(step))
    job.start(killed)
    assert_same_run(whole, killed)
    assert len(checkpoint_values(whole)) == len(job.experiment.initial.phi) + len(
        [name for name in values_of(job._training) if not name.startswith("phi")]
    )


def test_a_kill_before_the_first_checkpoint_and_one_right_after_a_row(tmp_path, monkeypatch):
    job = tiny_job(monkeypatch, "fomaml", QUICK)
    job.start(tmp_path / "whole")
    for step in (0, 7, 10, 13, 30):
        with pytest.raises(Killed):
            job.start(tmp_path / "killed", killed_at(step))
    job.start(tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_a_finished_run_started_again_changes_nothing(tmp_path, monkeypatch):
    job = tiny_job(monkeypatch, "fomaml", QUICK)
    job.start(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*")}
    job.start(tmp_path, killed_at(0))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*")} == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_within_a_burst_loses_nothing(tmp_path, monkeypatch, number):
    job = tiny_job(monkeypatch, "fomaml", QUICK)
    job.start(tmp_path / "whole")

    def before_step(step: int) -> None:
        if step == 33:
            os.kill(os.getpid(), number)

    with pytest.raises(Preempted, match="the same command resumes") as caught:
        job.start(tmp_path / "stopped", before_step)
    assert caught.value.exit_code == 42
    reached = int(values_of(job._training)["step"])
    assert reached >= 34
    steps: list[int] = []
    job.start(tmp_path / "stopped", steps.append)
    assert steps[0] == reached
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_stop_within_an_evaluation_loses_nothing(tmp_path, monkeypatch, number, call):
    job = tiny_job(monkeypatch, "fomaml")
    job.start(tmp_path / "whole")
    evaluate, calls = training_job.validation(job.experiment, job._training.state), iter(range(9))

    def evaluate_or_stop() -> dict[str, float]:
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return evaluate()

    monkeypatch.setattr(training_job, "validation", lambda *_: evaluate_or_stop)
    with pytest.raises(Preempted, match=f"at meta-step {20 * (call + 1)}; the same command"):
        job.start(tmp_path / "stopped")
    steps: list[int] = []
    job.start(tmp_path / "stopped", steps.append)
    assert steps == list(range(20 * (call + 1), STEPS))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_within_the_first_burst_throws_it_away(tmp_path, monkeypatch, number):
    job = tiny_job(monkeypatch, "fomaml", QUICK)
    job.start(tmp_path / "whole")
    with pytest.raises(Preempted):
        job.start(tmp_path / "stopped", lambda step: os.kill(os.getpid(), number))
    assert not list((tmp_path / "stopped" / "checkpoints").iterdir())
    job.start(tmp_path / "stopped")
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_divergence_ends_the_run_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    changes = QUICK | {"train.max_bad_steps": 4}
    experiment = build(tiny_config("fomaml", changes))
    source = experiment.source
    root = root_key(experiment.config["seed"], "train_tasks")
    bad = tf.concat(
        [task_keys(root, tf.constant(s, tf.int64), 0, 2) for s in (15, *range(23, 40))], 0
    )

    def sample(key):
        task = source.sample(key)
        is_bad = tf.reduce_any(tf.reduce_all(tf.equal(bad, key), axis=1))
        train_batch = tuple(x * tf.where(is_bad, np.inf, 1.0) for x in task.train)
        return task._replace(train=train_batch)

    experiment = experiment._replace(source=source._replace(sample=sample))
    training = training_job.set_up(experiment, tf.distribute.get_strategy())
    job = Job(monkeypatch, experiment, training)
    with pytest.raises(DivergedError, match="in a row stayed finite") as caught:
        job.start(tmp_path)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoints" / "ckpt-20.index").exists()
    assert int(checkpoint_values(tmp_path)["step/.ATTRIBUTES/VARIABLE_VALUE"]) == 20
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {row["step"]: row["tasks/nonfinite"] for row in rows}[18] == 2


def test_a_last_checkpoint_that_can_not_be_saved_is_an_error(tmp_path, monkeypatch):
    job = tiny_job(monkeypatch, "fomaml", QUICK)
    save = resume.Checkpoints.save
    monkeypatch.setattr(
        resume.Checkpoints, "save", lambda self, step: step < STEPS and save(self, step)
    )
    with pytest.raises(ArtefactError, match=r"last checkpoint .* could not be saved"):
        job.start(tmp_path)


def test_a_run_resumes_on_another_number_of_replicas(tmp_path):
    experiment = build(tiny_config("sigma_reptile"))
    alone = training_job.set_up(experiment, tf.distribute.get_strategy())
    mirrored = training_job.set_up(experiment, make_strategy("mirrored"))
    initial = values_of(alone)
    # Who goes on to which meta-step.
    plans = {"alone": [(alone, 9)], "moved": [(mirrored, 3), (alone, 6), (mirrored, 9)]}
    for name, plan in plans.items():
        for training, end in plan:
            set_values(training, initial)
            train_until(end, training, tmp_path / name)
    values, others = (checkpoint_values(tmp_path / name) for name in plans)
    assert values.keys() == others.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, others[name], rtol=1e-4, atol=1e-5, err_msg=name)


def train_until(end: int, training: Training, path: Path) -> None:
    """What one process does that is stopped at meta-step `end`."""
    directory, objects = str(path / "checkpoints"), training.state.trackables()
    checkpoints = resume.Checkpoints(directory, objects, **NO_LOG)
    training.run(end - (checkpoints.restore() or 0))
    assert checkpoints.save(end)
