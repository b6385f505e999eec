"""Which runs share a warm start through its cache: those alone whose phi would be equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import build, open_workdir
from meta_shrink.experiments import train as training_job
from meta_shrink.experiments import warm_start as warm_starts
from meta_shrink.training import warm_start as plain
from meta_shrink.types import Labelled, Mixed
from tests.tiny_runs import NO_LOG, tiny_config

EXAMPLES = Labelled(2, lambda key, size: (tf.zeros([size, 1]), tf.zeros([size], tf.int32)))


@pytest.fixture
def computed(monkeypatch) -> list[float]:
    """Warm starts that were computed; each is told from the others by its value."""
    values: list[float] = []

    def warm_start(model, source, **options):
        values.append(1.0 + len(values))
        return [tf.fill(v.shape, values[-1]) for v in model.trainable_variables]

    monkeypatch.setattr(warm_starts, "warm_start", warm_start)
    return values


def started(cache: Any, changes: dict[str, Any], algorithm: str = "sigma_reptile") -> float:
    """phi of a run after its warm start."""
    warm = {"warm_start.steps": 3, "warm_start.cache": str(cache)}
    experiment = build(tiny_config(algorithm, warm | changes))
    experiment = experiment._replace(source=experiment.source._replace(labelled=EXAMPLES))
    values = warm_starts.warm_started(experiment, "", print)
    phi = np.concatenate([np.ravel(value) for value in values])
    assert (phi == phi[0]).all()
    return float(phi[0])


def test_runs_that_differ_in_their_algorithm_or_seed_share_it(tmp_path, computed):
    first = started(tmp_path, {})
    assert started(tmp_path, {"seed": 5}) == first
    assert started(tmp_path, {}, "reptile") == first
    assert computed == [first]


@pytest.mark.parametrize(
    "changes",
    [
        # As another split of the data set would be, which must not hand on its test classes.
        {"task.num_train": 4},
        {"model.initial": 2.0},
        {"warm_start.seed": 1},
        {"warm_start.steps": 4},
        {"warm_start.learning_rate": 0.5},
        {"device.matmul_precision": "default"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_runs_with_other_data_model_or_schedule_do_not(tmp_path, computed, changes):
    first = started(tmp_path, {})
    assert started(tmp_path, changes) != first
    assert len(computed) == 2


MIXED = Mixed(lambda key, size: EXAMPLES.draw(key, size), lambda size: EXAMPLES.draw(None, size))


@pytest.fixture
def folders(monkeypatch) -> list[str]:
    """The folders of pre-trainings, which train nothing."""
    found: list[str] = []

    def pretrain(model, *given, folder, **options):
        found.append(folder)
        return [tf.zeros(v.shape) for v in model.trainable_variables]

    monkeypatch.setattr(warm_starts, "pretrain", pretrain)
    return found


def pretrained(cache: Any, changes: dict[str, Any], algorithm: str = "reptile", data="") -> None:
    warm = {"warm_start.steps": 3, "warm_start.cache": str(cache)}
    experiment = build(tiny_config(algorithm, warm | changes))
    source = experiment.source._replace(mixed=MIXED, data=data)
    warm_starts.warm_started(experiment._replace(source=source), "", print)


def test_what_decides_a_pretraining_decides_its_folder(tmp_path, folders, monkeypatch):
    pretrained(tmp_path, {})
    alike = [{"seed": 5}, {"warm_start.steps": 4}, {"adapt.steps": 2}, {"prior.beta": 0.1}]
    for changes in alike:
        pretrained(tmp_path, changes)
    pretrained(tmp_path, {}, "sigma_reptile")
    assert len(set(folders)) == 1
    others: list[dict[str, Any]] = [
        {"loss.noise": [1.0, 1.0, 0.01]},
        {"loss.reduction": "mean"},
        {"task.num_train": 4},
        {"model.initial": 2.0},
        {"warm_start.seed": 1},
        {"warm_start.clip_norm": 2.0},
        {"warm_start.learning_rate": 0.5},
        {"device.matmul_precision": "default"},
    ]
    for changes in others:
        pretrained(tmp_path, changes)
    pretrained(tmp_path, {}, data="other")
    monkeypatch.setattr(warm_starts, "STREAMS", warm_starts.STREAMS + 1)
    pretrained(tmp_path, {})
    assert len(set(folders)) == 1 + len(others) + 2


def test_other_random_streams_share_nothing(tmp_path, computed, monkeypatch):
    first = started(tmp_path, {})
    monkeypatch.setattr(plain, "STREAMS", plain.STREAMS + 1)
    assert started(tmp_path, {}) != first


def test_without_a_folder_nothing_is_kept(tmp_path, computed):
    assert started("", {}) != started("", {})
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_keeps_what_it_learned_after_its_warm_start(tmp_path, computed):
    schedule = {"warm_start.steps": 3, "train.steps": 2, "train.eval_every": 0}
    config = tiny_config("reptile", schedule)
    experiment = build(config)
    experiment = experiment._replace(source=experiment.source._replace(labelled=EXAMPLES))
    ends = []
    for _ in range(2):
        with open_workdir(str(tmp_path), config, **NO_LOG) as workdir:
            training = training_job.train(experiment, workdir, **NO_LOG)
        ends.append([p.numpy() for p in training.state.meta().phi])
    assert computed == [1.0]
    np.testing.assert_array_equal(ends[1], ends[0])
    assert not np.array_equal(ends[0], np.ones_like(ends[0]))


def test_a_warm_start_may_be_all_there_is(tmp_path, computed):
    schedule = {"warm_start.steps": 3, "train.steps": 0, "train.eval_every": 0}
    config = tiny_config("reptile", schedule)
    experiment = build(config)
    experiment = experiment._replace(source=experiment.source._replace(labelled=EXAMPLES))
    for _ in range(2):
        with open_workdir(str(tmp_path), config, **NO_LOG) as workdir:
            training = training_job.train(experiment, workdir, **NO_LOG)
        phi = np.concatenate([np.ravel(p) for p in training.state.meta().phi])
        assert (phi == 1).all() and int(training.state.step) == 0
    assert computed == [1.0]
