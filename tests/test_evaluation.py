"""Held-out evaluation: groups of tasks, validation tasks, schemes and their settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import build, evaluate, evaluation, open_workdir, train
from meta_shrink.experiments.defaults import EvalOptions
from meta_shrink.experiments.subsets import (
    adapt_subset,
    evaluated_steps,
    heldout_evaluators,
    module_subsets,
)
from meta_shrink.training.distribution import make_strategy
from tests.tiny_runs import NO_LOG, tiny_config

STEPS = [0, 2, 4]


@pytest.mark.parametrize("task_axis", ["sequential", "vectorized"])
def test_two_replicas_share_the_tasks_and_find_the_same(task_axis):
    """Five tasks on two replicas, three and two; the truth of the Gaussian is there too."""
    experiment = build(tiny_config("sigma_reptile", {"train.task_axis": task_axis}))
    one, two = (
        experiment.held_out(strategy=strategy).curves(experiment.initial, count=5, steps=STEPS)
        for strategy in (None, make_strategy("mirrored"))
    )
    assert two.metric.shape == one.metric.shape == (5, len(STEPS))
    np.testing.assert_allclose(two.metric, one.metric, rtol=1e-6)
    assert one.parameter_error is not None and two.parameter_error is not None
    np.testing.assert_allclose(two.parameter_error, one.parameter_error, rtol=1e-5, atol=1e-6)


def test_an_adapted_task_is_the_same_on_two_replicas():
    experiment = build(tiny_config())
    one, two = (
        experiment.held_out(strategy=strategy).adapted(experiment.initial, index=3, steps=4)
        for strategy in (None, make_strategy("mirrored"))
    )
    for value, other in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-6)


def test_tasks_in_groups_give_what_all_at_once_give(monkeypatch):
    experiment = build(tiny_config())
    whole = experiment.held_out().curves(experiment.initial, count=7, steps=STEPS)
    monkeypatch.setattr(evaluation, "TASKS_AT_ONCE", 3)
    parts = experiment.held_out().curves(experiment.initial, count=7, steps=STEPS)
    assert whole.metric.shape == (7, 3)
    np.testing.assert_array_equal(parts.metric, whole.metric)
    np.testing.assert_array_equal(parts.parameter_error, whole.parameter_error)


def test_some_of_the_tasks_are_a_part_of_all():
    experiment = build(tiny_config())
    held_out = experiment.held_out()
    whole = held_out.curves(experiment.initial, count=7, steps=STEPS)
    for first, count in ((0, 2), (3, 1), (5, 2)):
        part = held_out.curves(experiment.initial, count=count, first=first, steps=STEPS)
        np.testing.assert_allclose(part.metric, whole.metric[first : first + count], rtol=1e-6)


def test_validation_tasks_are_the_source_s_own_or_other_held_out_tasks():
    experiment = build(tiny_config())
    test, val = (
        experiment.held_out().curves(experiment.initial, count=3, steps=[2], validation=flag)
        for flag in (False, True)
    )
    assert not np.array_equal(test.metric, val.metric)
    same = experiment._replace(
        source=experiment.source._replace(validation=experiment.source.heldout)
    )
    own = same.held_out().curves(experiment.initial, count=3, steps=[2], validation=True)
    np.testing.assert_array_equal(own.metric, test.metric)


def options(**changes) -> EvalOptions:
    given = {"num_tasks": 4, "horizon": 3, "groups": {}, "selection": {}, "examples": 0}
    return EvalOptions(**{**given, **changes})


def test_recorded_steps_hold_the_trained_and_the_quoted_ones():
    experiment = build(tiny_config())  # 4 steps of adaptation
    assert evaluated_steps(experiment, options(points=2), 12)[0] == 0
    assert {4, 12} <= set(evaluated_steps(experiment, options(points=2), 12))
    assert {4, 7, 14} <= set(evaluated_steps(experiment, options(points=2, steps=7), 14))


def test_a_single_group_has_its_own_tasks_and_horizon():
    experiment = build(tiny_config())
    wanted = options(group_tasks=2, group_horizon=1)
    everything, *groups = module_subsets(experiment, wanted, [])
    for scheme, count, last in ((everything, 4, 12), (groups[0], 2, 4)):
        curves, tasks = adapt_subset(
            experiment,
            experiment.initial,
            scheme,
            options=wanted,
            evaluator_of=heldout_evaluators(experiment),
        )
        assert tasks == count == len(curves.metric) and curves.steps[-1] == last


@pytest.mark.parametrize("kinds", [["all"], ["selected"], ["all", "single"]])
def test_only_the_kinds_asked_for_are_adapted(kinds, tmp_path):
    config = tiny_config(changes={"train.steps": 2, "train.eval_every": 0})
    with open_workdir(str(tmp_path), config, **NO_LOG) as workdir:
        train(build(config), workdir, **NO_LOG)
    evaluate(str(tmp_path), overrides={"kinds": kinds, "points": 3}, **NO_LOG)
    rows = json.loads((tmp_path / "evaluation.json").read_text())["schemes"]
    assert {row["kind"] for row in rows} == set(kinds) | ({"none"} if "all" in kinds else set())


def test_each_scheme_is_compiled_once_and_all_together_under_xla():
    for jit, different in (("off", 3), ("on", 1)):
        experiment = build(tiny_config(changes={"train.jit": jit}))
        found, evaluator_of = (
            module_subsets(experiment, options(), []),
            heldout_evaluators(experiment),
        )
        assert len({id(evaluator_of(scheme)) for scheme in found * 2}) == different


def test_frozen_modules_are_left_out_of_the_graph_without_xla():
    experiment = build(tiny_config())
    assert not experiment.jit
    scheme = module_subsets(experiment, options(), [])[1]
    curves, _ = adapt_subset(
        experiment,
        experiment.initial,
        scheme,
        options=options(horizon=1, group_horizon=1),
        evaluator_of=heldout_evaluators(experiment),
    )
    frozen = tf.constant([0.0, -np.inf], tf.float32) + experiment.initial.log_sigma2
    meta = experiment.initial._replace(log_sigma2=frozen)
    steps = curves.steps.tolist()
    by_prior = experiment.held_out().curves(meta, count=4, steps=steps)
    np.testing.assert_allclose(curves.metric, by_prior.metric, rtol=1e-6)
