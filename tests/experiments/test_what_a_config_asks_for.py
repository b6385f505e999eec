"""What a config asks for is what the functions of an experiment do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, build, make_adapt, open_workdir, proximal_gd, train
from meta_shrink.evaluation import Curves
from meta_shrink.experiments import sweep
from meta_shrink.experiments.adapt_section import adapt_settings
from meta_shrink.experiments.config import algorithm_name
from meta_shrink.experiments.defaults import EvalOptions
from meta_shrink.experiments.evaluate import _examples
from meta_shrink.experiments.ranges import check_keras
from meta_shrink.experiments.subsets import (
    ModuleSubset,
    heldout_evaluators,
    quoted_steps,
    select,
    summary,
)
from meta_shrink.rng import root_key
from tests.problems import regression
from tests.test_evaluation_by_hand import AFTER, TRAIN, VAL, experiment_of, never, task_of
from tests.tiny_runs import ALGORITHMS, NO_LOG, tiny_config

KEY = root_key(0, "train_tasks")


def options(**changes: Any) -> EvalOptions:
    given = {"num_tasks": 3, "horizon": 1, "groups": {}, "selection": {}, "examples": 0}
    return EvalOptions(**{**given, **changes})


@pytest.mark.parametrize(
    ("setting", "given", "model"),
    [
        ("backend", "jax", "mlp"),
        ("floatx", "float64", "mine"),  # Ended within the first meta-step, with a traceback.
        ("floatx", "float16", "mlp"),
        # convnet then took the rows of a picture for its channels, without a word.
        ("image_data_format", "channels_first", "convnet"),
    ],
)
def test_settings_of_keras_under_which_a_network_is_another_are_refused(
    setting, given, model, monkeypatch
):
    monkeypatch.setattr(keras.config, setting, lambda: given)
    with pytest.raises(UsageError, match=f"^Keras's {setting} is '{given}', and '.*' is expected"):
        check_keras(model)


def test_a_model_of_ones_own_may_have_its_channels_first(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    check_keras("mine")


def test_a_build_looks_at_them(monkeypatch):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    with pytest.raises(UsageError, match=r"^Keras's floatx is 'float64'"):
        build(tiny_config())


def test_data_all_adapts_on_training_and_validation_examples():
    counts = {"task.num_train": 3, "task.num_val": 2}
    some, everything = (
        build(tiny_config("reptile", counts | {"adapt.data": data})) for data in ("train", "all")
    )
    task = some.source.sample(KEY)
    np.testing.assert_array_equal(
        everything.source.sample(KEY).train[0], np.concatenate([task.train[0], task.val[0]])
    )
    assert some.source.sample(KEY).train[0].shape[0] == 3
    # A held-out task is measured on examples that it did not adapt on.
    assert everything.source.heldout(tf.constant(0)).train[0].shape[0] == 3


@pytest.mark.parametrize("batch_size", [0, 2])
def test_the_augmentation_of_a_source_reaches_the_mini_batches(batch_size):
    problem = regression()
    settings = adapt_settings(
        nll=problem.nll,
        registry=problem.registry,
        augment=lambda key, inputs: inputs + 100,
        optimizers={"proximal_gd": proximal_gd},
        optimizer="proximal_gd",
        learning_rate=0.1,
        steps=1,
        batch_size=batch_size,
    )
    inputs, _ = settings.next_batch(problem.task(), tf.constant(0))
    assert inputs.shape[0] == (batch_size or 6) and inputs.numpy().min() > 50


def test_the_hessian_of_the_last_mini_batch():
    """Its loss is what is logged as nll_train: that of the batch of the last adaptation step."""
    changes = {"adapt.batch_size": 2, "adapt.steps": 3, "algorithm.hessian_data": "last"}
    experiment = build(tiny_config("sigma_reptile", changes))
    task = experiment.source.sample(KEY)
    _, metrics = experiment.meta_gradient(experiment.initial, task, experiment.adapt.whole)
    theta = make_adapt(experiment.adapt.adaptation, steps=3)(experiment.initial, task)
    losses = [
        float(experiment.nll(theta, experiment.adapt.next_batch(task, tf.constant(step))))
        for step in range(4)
    ]
    assert float(metrics["nll_train"]) == pytest.approx(losses[2], rel=1e-6)
    assert len({round(loss, 4) for loss in losses}) > 1


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_are_named_by_what_they_learn(name):
    assert algorithm_name(tiny_config(name)) == name


def test_nothing_is_selected_where_sigma2_is_not_learned():
    experiment = build(tiny_config("imaml"))
    found = select(experiment, experiment.initial, {"rule": "relative", "value": 0.01})
    assert found == {"rule": "none", "value": 0, "modules": [], "share": 0.0, "bytes": 0}


def test_results_are_quoted_where_the_config_says():
    experiment = build(tiny_config())
    assert quoted_steps(experiment, options(steps=7)) == 7
    assert quoted_steps(experiment, options()) == experiment.adapt.steps == 4


def test_the_inductive_metric_has_its_own_columns():
    metrics = [np.array([[1.0], [3.0]]), np.array([[4.0], [8.0]])]
    row = summary(ModuleSubset("all modules", "all", ()), Curves(np.array([5]), metrics, None), 2)
    assert (row["mean"], row["inductive_mean"]) == ([2.0], [6.0])
    # Half widths of two values: 12.706 times half of their difference.
    half_widths = [row["ci95"], row["inductive_ci95"]]
    np.testing.assert_allclose(half_widths, [[12.706205], [25.41241]], rtol=1e-6)


def test_examples_show_each_scheme_as_it_adapts():
    changes = {
        "task": {"name": "sinusoid", "num_heldout_val": 5},
        "model": {"name": "mlp", "hidden": [4]},
        "loss": {"name": "squared_error", "reduction": "mean"},
        "train.jit": "on",
    }
    experiment = build(tiny_config("sigma_reptile", changes))
    wanted = options(examples=1)
    found = _examples(experiment, experiment.initial, wanted, [], heldout_evaluators(experiment))
    example = found["examples"][0]
    curves = [tuple(np.round(y, 5)) for y in map(np.array, example["predictions"].values())]
    assert len(set(curves)) == len(curves) == 1 + experiment.registry.num_modules
    assert (np.diff(example["x"]) > 0).all()


def by_hand(source: dict[str, Any], **changes: Any):
    """An experiment in which every validation task is known, whose phi hardly moves."""
    slow = {"phi": {"name": "sgd", "learning_rate": 1e-9}}
    train_a_step = {"train__steps": 1, "train__eval_every": 0, "eval__num_tasks": 3}
    return experiment_of(source, meta_optimizer=slow, **train_a_step, **changes)


def test_a_trial_is_valued_by_validation_tasks(tmp_path, monkeypatch):
    source = {"validation": task_of(TRAIN, VAL), "heldout": never}
    experiment = by_hand(source)
    monkeypatch.setattr(sweep, "build", lambda *_: experiment)

    class Trial:
        number = 0
        study = SimpleNamespace(
            get_trials=lambda deepcopy: [SimpleNamespace(intermediate_values={})]
        )

    value = sweep._run(
        experiment.config,
        trial=Trial(),
        components=None,
        strategy=tf.distribute.get_strategy(),
        directory=str(tmp_path),
        **NO_LOG,
    )
    assert value == pytest.approx(AFTER.mean(), rel=1e-4)


@pytest.mark.parametrize("kept", [1, 2])
def test_as_many_checkpoints_are_kept_as_the_config_says(kept, tmp_path):
    schedule = {"train.steps": 4, "train.eval_every": 0, "train.checkpoint_every": 1}
    config = tiny_config("reptile", schedule | {"train.keep_checkpoints": kept})
    with open_workdir(str(tmp_path), config, **NO_LOG) as workdir:
        train(build(config), workdir, **NO_LOG)
    found = {path.name for path in (tmp_path / "checkpoints").glob("*.index")}
    assert found == {f"ckpt-{step}.index" for step in range(5 - kept, 5)}


@pytest.mark.parametrize("algorithm", ["sigma_imaml", "imaml", "sigma_reptile"])
def test_a_sum_over_mini_batches_is_not_solved_with_one_over_all(algorithm):
    """theta is stationary for b of N examples: with the Hessian of N, gradients are wrong."""
    size, mean = {"adapt.batch_size": 2}, {"loss.reduction": "mean"}  # The tiny loss is a sum.
    last = {"algorithm.hessian_data": "last"}
    for right in ({"adapt.batch_size": 0}, size | mean, size | last):
        assert build(tiny_config(algorithm, right))
    with pytest.raises(UsageError, match=r"'sum' and adapt.batch_size 2: .* Take the 'mean', all"):
        build(tiny_config(algorithm, size))


@pytest.mark.parametrize("algorithm", ["sigma_maml", "reptile"])
def test_a_sum_over_mini_batches_is_fine_where_nothing_is_solved(algorithm):
    assert build(tiny_config(algorithm, {"adapt.batch_size": 2}))
