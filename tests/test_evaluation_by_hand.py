"""Evaluations whose numbers are worked out by hand: three tasks, one parameter.

Task i: theta is one number with a mean negative log-likelihood (theta - x)^2 / 2, training and
validation observations below, phi = 0, sigma^2 = 1, alpha = 1/2. After one proximal step

    theta_i = (0 + train_i / 2) / (1 + 1/2) = train_i / 3:  1, 2, 3

and the metric is (theta_i - val_i)^2 / 2.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import MetaParams, Task, build
from meta_shrink.evaluation import Curves
from meta_shrink.experiments import train as training_job
from meta_shrink.experiments.defaults import EvalOptions
from meta_shrink.experiments.subsets import (
    ModuleSubset,
    adapt_subset,
    heldout_evaluators,
    less_everything,
    module_rows,
    select,
    summary,
    without_adaptation,
)
from meta_shrink.intervals import mean_and_ci95
from tests.tiny_runs import tiny_config
from tests.training.test_meta_step_by_hand import ONE_NUMBER

TRAIN, VAL = np.array([3.0, 6.0, 9.0]), np.array([1.0, 4.0, -1.0])
THETA = TRAIN / 3
BEFORE = VAL**2 / 2  # 0.5, 8, 0.5
AFTER = (THETA - VAL) ** 2 / 2  # 0, 2, 8
TRUTH = np.array([1.5, 1.5, 1.5])


def task_of(train, val):
    def task(index: tf.Tensor) -> Task:
        both = [
            tf.reshape(tf.gather(tf.constant(x, tf.float32), index), [1, 1]) for x in (train, val)
        ]
        return Task((both[0], both[0]), (both[1], both[1]), tf.stack([index, 0]))

    return task


def never(index: tf.Tensor) -> Task:
    """A task that nobody may adapt: its metric is not finite."""
    return task_of([np.inf], [np.inf])(0 * index)


def experiment_of(source: dict[str, Any], **changes: Any):
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    config = tiny_config("sigma_reptile", ONE_NUMBER | {"loss.reduction": "mean"} | dotted)
    experiment = build(config)
    zero = [tf.zeros_like(phi) for phi in experiment.initial.phi]
    return experiment._replace(
        source=experiment.source._replace(truth=None)._replace(**source),
        initial=experiment.initial._replace(phi=zero),
    )


def options(**changes: Any) -> EvalOptions:
    given = {"num_tasks": 3, "horizon": 1, "groups": {}, "selection": {}, "examples": 0}
    return EvalOptions(**{**given, **changes})


def curves_of(experiment, scheme: ModuleSubset, **changes: Any) -> Curves:
    wanted = options(**changes)
    curves, _ = adapt_subset(
        experiment,
        experiment.initial,
        scheme,
        options=wanted,
        evaluator_of=heldout_evaluators(experiment),
    )
    return curves


@pytest.mark.parametrize("jit", ["on", "off"])
def test_three_held_out_tasks(jit):
    source = {"heldout": task_of(TRAIN, VAL), "sample": never, "validation": never}
    experiment = experiment_of(source | {"truth": lambda i: tf.constant([1.5])}, train__jit=jit)
    scheme = ModuleSubset("all modules", "all", experiment.registry.names)
    curves = curves_of(experiment, scheme)
    assert curves.steps.tolist() == [0, 1]
    np.testing.assert_allclose(curves.metric, np.stack([BEFORE, AFTER], 1), rtol=1e-5, atol=1e-6)
    error = np.abs(np.stack([0 * THETA, THETA], 1) - 1.5)
    assert curves.parameter_error is not None
    np.testing.assert_allclose(curves.parameter_error[:, :, 0], error, rtol=1e-5)
    row = summary(scheme, curves, 3)
    # The variances of (0.5, 8, 0.5) and (0, 2, 8) with n - 1 are 18.75 and 52/3.
    np.testing.assert_allclose(row["mean"], [3.0, 10 / 3], rtol=1e-5)
    # Student's t of 2 degrees of freedom at 97.5 %: 4.302653.
    half_widths = 4.302653 * np.sqrt(np.array([18.75, 52 / 3]) / 3)
    np.testing.assert_allclose(row["ci95"], half_widths, rtol=1e-5)
    start = without_adaptation(curves)
    np.testing.assert_allclose(start.metric, np.stack([BEFORE, BEFORE], 1), rtol=1e-5)
    # (0.5, 8, 0.5) less (0, 2, 8) is (0.5, 6, -7.5), with variance 553/12.
    less = less_everything(start, curves, 1)
    assert (less["step"], less["num_tasks"]) == (1, 3)
    np.testing.assert_allclose(less["mean"], -1 / 3, rtol=1e-4)
    np.testing.assert_allclose(less["ci95"], 4.302653 * np.sqrt(553 / 12 / 3), rtol=1e-4)
    # Of fewer tasks, the first ones are compared.
    two = curves._replace(metrics=[curves.metric[:2] + 1.0])
    less = less_everything(two, curves, 0)
    assert less["num_tasks"] == 2
    np.testing.assert_allclose([less["mean"], less["ci95"]], [1.0, 0.0], atol=1e-5)


def test_the_interval_of_one_task_is_unknown():
    mean, ci95 = mean_and_ci95(np.array([[2.0, 4.0]]))
    assert mean.tolist() == [2.0, 4.0] and np.isnan(ci95).all()


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.7062), (5, 2.77645), (10, 2.26216)])
def test_intervals_of_few_values_are_student_s(count, quantile):
    values = np.random.default_rng(0).normal(size=[count, 3])
    mean, ci95 = mean_and_ci95(values)
    np.testing.assert_allclose(mean, values.mean(0))
    spread = np.sqrt(((values - mean) ** 2).sum(0) / (count - 1))
    np.testing.assert_allclose(ci95, quantile * spread / np.sqrt(count), rtol=1e-5)


def test_evaluations_during_training_adapt_validation_tasks():
    # Of validation tasks 0 and 1 only, as eval.validation_tasks has it.
    source = {"validation": task_of(TRAIN, VAL), "sample": never, "heldout": never}
    experiment = experiment_of(source, eval__num_tasks=3, eval__validation_tasks=2)
    training = training_job.set_up(experiment, tf.distribute.get_strategy())
    found = training_job.validation(experiment, training.state)()
    # At phi = 0: AFTER is (0, 2), with variance 2; t of 1 degree of freedom: 12.706205.
    assert found["metric"] == pytest.approx(1.0, rel=1e-5)
    assert found["ci95"] == pytest.approx(12.706205, rel=1e-5)


def test_without_a_validation_split_later_held_out_tasks_serve():
    asked = []

    def heldout(index: tf.Tensor) -> Task:
        tf.py_function(lambda i: asked.append(int(i)), [index], [])
        return task_of(TRAIN, VAL)(index % 3)

    source = {"heldout": heldout, "validation": None, "sample": never}
    held_out = experiment_of(source).held_out()
    held_out.curves(experiment_of(source).initial, count=3, steps=[1], validation=True)
    assert asked == [1_000_000, 1_000_001, 1_000_002]


TWO_NUMBERS = {
    "task.phi": [0.0, 0.0],
    "task.sigma": [1.0, 1.0],
    "task.noise": [1.0, 1.0],
    "model": {"name": "gaussian", "dimensions": 2, "mean": "identity"},
    "loss.noise": [1.0, 1.0],
}


def pair_task(index: tf.Tensor) -> Task:
    """Two numbers: 3 and 6 to adapt to, 1 and 4 to be measured on."""
    train, val = (
        tf.constant([pair]) + 0.0 * tf.cast(index, tf.float32) for pair in ((3.0, 6.0), (1.0, 4.0))
    )
    return Task((train, train), (val, val), tf.stack([index, 0]))


@pytest.mark.parametrize("jit", ["on", "off"])
@pytest.mark.parametrize(
    ("kind", "position", "metric"),
    # Adapted, the halves of the metric are 0 and 2; at phi = 0 they are 0.5 and 8.
    [("all", None, 0 + 2), ("single", 0, 0 + 8), ("single", 1, 0.5 + 2), ("selected", 1, 0.5 + 2)],
)
def test_only_the_modules_of_a_scheme_adapt(jit, kind, position, metric):
    experiment = experiment_of({"heldout": pair_task}, **TWO_NUMBERS, train__jit=jit)
    names = experiment.registry.names
    chosen = names if position is None else names[position : position + 1]
    curves = curves_of(experiment, ModuleSubset("some", kind, chosen), num_tasks=2, group_horizon=1)
    np.testing.assert_allclose(curves.metric, [[8.5, metric]] * 2, rtol=1e-5)


def test_modules_are_described_and_selected_by_their_variance():
    experiment = experiment_of({}, **TWO_NUMBERS)
    sigma2 = tf.math.log(tf.constant([0.25, 4.0]))
    meta: MetaParams = experiment.initial._replace(log_sigma2=sigma2)
    found = select(experiment, meta, {"rule": "threshold", "value": 1.0})
    name = experiment.registry.names[1]
    assert found["modules"] == [name] and found["bytes"] == 4 and found["share"] == 0.5
    rows = module_rows(experiment, meta, [name])
    assert [row["task_specific"] for row in rows] == [False, True]
    assert [(row["size"], row["bytes"], row["share"]) for row in rows] == [(1, 4, 0.5)] * 2
    np.testing.assert_allclose([row["sigma2"] for row in rows], [0.25, 4.0], rtol=1e-6)
    json.dumps(rows)
