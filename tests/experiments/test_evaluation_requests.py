"""What an evaluation is asked for that there is not: refused before anything adapts."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from meta_shrink import TaskSource, UsageError, build, open_workdir, train
from meta_shrink.evaluation import HeldOutEvaluator
from meta_shrink.experiments.components import Components, default_components
from meta_shrink.experiments.evaluate import evaluate
from meta_shrink.experiments.subsets import require_possible
from tests.test_evaluation_by_hand import TRAIN, VAL, task_of
from tests.tiny_runs import NO_LOG, tiny_config
from tests.training.test_meta_step_by_hand import ONE_NUMBER

QUICK = {"train.steps": 1, "train.eval_every": 0, "eval.num_tasks": 2, "eval.horizon": 1}


def finite(*, seed: int, **options: Any) -> TaskSource:
    """Three test tasks and, unless options give them, none to validate on."""
    task = task_of(TRAIN, VAL)
    return TaskSource(sample=lambda key: task(tf.constant(0)), heldout=task, num_heldout=3)


def components(**fields: Any) -> Components:
    ours = default_components()

    def source(**options: Any) -> TaskSource:
        return finite(**options)._replace(**fields)

    return ours._replace(tasks={**ours.tasks, "finite": source})


def config(**changes: Any) -> dict[str, Any]:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    given = tiny_config("sigma_reptile", ONE_NUMBER | QUICK | dotted)
    given["task"] = {"name": "finite"}
    return given


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("run"))
    experiment = build(config(), components())
    with open_workdir(path, experiment.config, **NO_LOG) as opened:
        train(experiment, opened, **NO_LOG)
    return path


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"num_tasks": 4}, "eval.num_tasks asks for 4 tasks, but there are 3 test tasks"),
        ({"group_tasks": 50}, "eval.group_tasks asks for 50 tasks, but there are 3 test tasks"),
        ({"group_tasks": 4, "kinds": ["single"]}, "eval.group_tasks asks for 4 tasks"),
        ({"num_tasks": 4, "kinds": ["single"]}, "eval.num_tasks asks for 4 tasks"),
        ({"num_tasks": 4, "kinds": ["all"]}, "eval.num_tasks asks for 4 tasks"),
        ({"examples": 5}, "eval.examples asks for 5 tasks, but there are 3 test tasks"),
    ],
)
def test_more_tasks_than_there_are_name_their_setting(asked, sentence, workdir, monkeypatch):
    monkeypatch.setattr(HeldOutEvaluator, "curves", lambda *_, **__: pytest.fail("adapted"))
    monkeypatch.setattr("meta_shrink.experiments.evaluate.check_evaluation", lambda *_: None)
    with pytest.raises(UsageError, match=f"^{sentence}.*set it to 3 or less"):
        evaluate(workdir, overrides=asked, components=components(), **NO_LOG)


def test_all_there_are_may_be_asked_for(workdir):
    """And a number that nothing adapts by is not looked at."""
    asked = {"kinds": ["single"], "num_tasks": 9, "group_tasks": 3}
    found = evaluate(workdir, overrides=asked, components=components(), **NO_LOG)
    assert [scheme["num_tasks"] for scheme in found["schemes"]] == [3]
    assert found["num_tasks"] == 3  # Nothing else adapted, so none of the 9.


@pytest.mark.parametrize("drawn", [True, False])
def test_moments_of_training_data_that_are_no_batch_are_refused(drawn):
    experiment = build(config(), components())
    source = experiment.source._replace(draw=(lambda *_: None) if drawn else None)
    experiment = experiment._replace(source=source)
    asked = experiment.eval._replace(inductive=True)
    if drawn:
        with pytest.raises(UsageError, match=r"^eval.inductive .* set it to False"):
            require_possible(experiment, asked)
    else:
        require_possible(experiment, asked)
    require_possible(experiment, experiment.eval)


@pytest.mark.parametrize("count", [0, 1])
def test_test_tasks_validate_nothing(count):
    """Hyper-parameters would be chosen by the test."""
    often = config(train__eval_every=1, eval__validation_tasks=count)
    with pytest.raises(UsageError, match=r"has its 3 test tasks alone: give it `validation`"):
        build(often, components())
    assert build(config(), components())  # Without validation there is nothing to refuse.
    experiment = build(often, components(validation=task_of(TRAIN[:2], VAL[:2]), num_validation=2))
    held_out = experiment._replace(source=finite(seed=0)).held_out()
    with pytest.raises(UsageError, match="test tasks alone"):
        held_out.curves(experiment.initial, count=1, steps=[1], validation=True)


def test_endless_sources_validate_on_tasks_of_their_own():
    experiment = build(config(train__eval_every=1), components(num_heldout=0))
    assert experiment.source.validation is None
