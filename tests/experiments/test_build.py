"""Bad input to a config: each ends in one sentence that names the key. Programs: tests/system."""

from __future__ import annotations

import math

import keras
import pytest
import tensorflow as tf

from meta_shrink import (
    ArtefactError,
    MetaShrinkError,
    ModuleRegistry,
    UsageError,
    build,
    default_components,
    open_workdir,
)
from meta_shrink.experiments import evaluate as evaluation_job
from meta_shrink.experiments import sweep as sweep_job
from meta_shrink.experiments.train import check_trainable
from meta_shrink.training.distribution import make_strategy, set_cpu_threads
from tests.tiny_runs import NO_LOG, changed, tiny_config

NOT_FINITE = {"prior.sigma2": math.inf}
LEARNED_SIGMA2 = {"meta_optimizer.log_sigma2": {"name": "adam", "learning_rate": 0.1}}
ADAM = {"name": "adam", "learning_rate": 0.1}
# (algorithm, changes of its config, what the sentence says)
BAD_CONFIGS = [
    # Names that do not exist.
    ("maml", {"algorithm.name": "protonet"}, "algorithm.name is 'protonet'; expected one of"),
    ("maml", {"algorithm.name": None}, "algorithm.name is None; expected one of"),
    ("maml", {"model.name": "resnet"}, "model.name is 'resnet'; expected one of"),
    ("maml", {"task.name": "mnist"}, "task.name is 'mnist'; expected one of"),
    ("maml", {"loss.name": "hinge"}, "loss.name is 'hinge'; expected one of"),
    ("maml", {"adapt.optimizer": "sgd"}, "adapt.optimizer is 'sgd'; expected one of"),
    ("maml", {"modules.by": "block"}, "modules.by is 'block'; expected one of"),
    ("maml", {"loss.reduction": "max"}, "loss.reduction is 'max'"),
    ("maml", {"train.jit": "yes"}, "train.jit is 'yes'; expected one of"),
    ("maml", {"train.task_axis": "threads"}, "train.task_axis is 'threads'"),
    ("maml", {"task.mean": "cubic"}, "task.mean is 'cubic'"),
    ("imaml", {"algorithm.solver": "lu"}, "solver='lu'"),
    ("sigma_reptile", {"algorithm.phi_scale": "none"}, "algorithm.phi_scale is 'none'"),
    ("imaml", {"algorithm.hessian_data": "val"}, "algorithm.hessian_data is 'val'"),
    ("maml", {"meta_optimizer.phi.name": "lion"}, "name='lion'"),
    # Keys that do not exist, or are missing.
    ("maml", {"trian": {}}, "The config has no key 'trian' (nearest: 'train')"),
    ("maml", {"prior": None}, "The config lacks prior"),
    ("maml", {"train.step": 3}, "Config section 'train' has no key 'step' (nearest: 'steps')"),
    ("maml", {"adapt.learning_rat": 3}, "no key 'learning_rat' (nearest: 'learning_rate')"),
    ("maml", {"adapt.learning_rate": None}, "Config section 'adapt' lacks learning_rate"),
    ("maml", {"task.points": 3}, "Config section 'task'"),
    ("maml", {"model.width": 3}, "Config section 'model'"),
    ("maml", {"modules.pattern": {}}, "Config section 'modules'"),
    ("maml", {"loss.scale": 3}, "Config section 'loss'"),
    ("maml", {"prior.sigma": 3}, "Config section 'prior'"),
    ("maml", {"algorithm.damping": 0.1}, "Config section 'algorithm'"),
    ("imaml", {"algorithm.cgsteps": 3}, "no key 'cgsteps' (nearest: 'cg_steps')"),
    ("imaml", {"adapt.bathc_size": 3}, "no key 'bathc_size' (nearest: 'batch_size')"),
    ("maml", {"meta_optimizer.phi.beta1": 3}, "no key 'beta1' (nearest: 'beta_1')"),
    ("maml", {"meta_optimizer.phi.learning_rate": None}, "'meta_optimizer.phi'"),
    ("maml", {"meta_optimizer.phi.loss_scale_factor": 8.0}, "no key 'loss_scale_factor'"),
    ("maml", {"meta_optimizer.phi.use_ema": True}, "no key 'use_ema'"),
    ("maml", {"eval.tasks": 3}, "Config section 'eval' has no key 'tasks'"),
    ("maml", {"eval.kinds": ["all", "some"]}, "eval.kinds has ['some']"),
    ("maml", {"eval.points": 1}, "eval.points is 1; expected at least 2"),
    ("maml", {"eval.steps": -1}, "eval.steps is -1"),
    ("maml", {"warm_start": None}, "The config lacks warm_start"),
    # Numbers out of range.
    ("imaml", {"algorithm.damping": -0.1}, "damping=-0.1"),
    ("imaml", {"algorithm.cg_steps": 0}, "cg_steps=0"),
    ("maml", {"adapt.steps": 0}, "steps=0"),
    ("maml", {"adapt.learning_rate": 0.0}, "learning_rate=0.0"),
    ("maml", {"adapt.learning_rate": math.nan}, "adapt.learning_rate is nan; expected a number"),
    ("maml", {"adapt.batch_size": -1}, "batch_size=-1"),
    ("maml", {"adapt.batch_size": 4}, "adapt.batch_size is 4, but a task has 3 training"),
    ("maml", {"prior.beta": -1.0}, "beta=-1.0"),
    ("maml", {"prior.sigma2_min": 1e6}, "sigma2_min=1000000.0"),
    ("imaml", {"prior.sigma2": 0.0}, "prior got sigma2=0.0"),
    ("imaml", {"prior.sigma2": -1.0}, "prior got sigma2=-1.0"),
    ("imaml", NOT_FINITE, "prior.sigma2 is inf (no prior), but imaml needs a finite one"),
    ("sigma_reptile", NOT_FINITE, "prior.sigma2 is inf (no prior), but sigma_reptile needs"),
    ("sigma_maml", NOT_FINITE, "prior.sigma2 is inf (no prior), but maml needs a finite one"),
    ("maml", {"train.steps": 0}, "steps=0"),
    ("maml", {"train.log_every": 0}, "log_every=0"),
    ("maml", {"train.eval_every": -1}, "eval_every=-1"),
    ("maml", {"train.checkpoint_every": 0}, "checkpoint_every=0"),
    ("maml", {"train.max_bad_steps": 0}, "max_bad_steps=0"),
    ("maml", {"train.keep_checkpoints": 0}, "train.keep_checkpoints is 0"),
    ("maml", {"train.chunk_steps": 0}, "train.chunk_steps is 0"),
    ("maml", {"train.clip_norm": -1.0}, "train.clip_norm is -1.0"),
    ("maml", {"train.meta_batch_size": 0}, "train.meta_batch_size is 0"),
    ("maml", {"meta_optimizer.phi.learning_rate": -1.0}, "learning_rate=-1.0"),
    ("maml", {"eval.num_tasks": 0}, "eval.num_tasks is 0"),
    ("maml", {"eval.horizon": 0}, "eval.horizon is 0"),
    ("maml", {"eval.examples": -1}, "eval.examples is -1"),
    # Things that do not fit together.
    ("reptile", LEARNED_SIGMA2, "reptile learns phi and may learn phi"),
    ("fomaml", {"meta_optimizer.log_alpha": ADAM}, "fomaml learns phi and may learn phi"),
    ("maml", {"meta_optimizer": {}}, "maml learns phi"),
    ("maml", {"meta_optimizer.theta": ADAM}, "maml learns phi"),
    ("maml", {"train.jit": "on", "train.task_axis": "vectorized"}, "cannot be compiled by XLA"),
    (
        "maml",
        {"train.task_axis": "vectorized", "adapt.batch_size": 2},
        "no rule for StatelessRando",
    ),
    ("maml", {"model.dimensions": 3}, "Model and task do not fit together"),
    ("maml", {"model": {"name": "mlp", "hidden": [3]}}, "Model and task do not fit together"),
    ("maml", {"task.sigma": [1.0]}, "1 sigma"),
    ("maml", {"warm_start.steps": 3}, "neither labelled classes nor a mixture"),
    ("maml", {"modules": {"by": "pattern", "patterns": {"a": "x"}}}, "matches no module"),
]


def assert_one_sentence(error: MetaShrinkError, part: str, exit_code: int = 2) -> None:
    text = str(error)
    assert part in text
    assert "\n" not in text
    assert text.strip().endswith((".", ")", "see above"))
    assert error.exit_code == exit_code


@pytest.mark.parametrize(("algorithm", "changes", "part"), BAD_CONFIGS)
def test_a_bad_config_ends_in_one_sentence(algorithm, changes, part):
    config = tiny_config(algorithm, changes)
    with pytest.raises(UsageError) as caught:
        check_trainable(build(config), tf.distribute.get_strategy())
    assert_one_sentence(caught.value, part)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"search.space": []}, "0 ranges"),
        ({"search.num_trials": 0}, "num_trials=0"),
        ({"search.space": [("adapt.rate", "log", 0.1, 1.0)]}, "'adapt.rate'"),
        ({"search.space": [("seed.rate", "log", 0.1, 1.0)]}, "'seed.rate'"),
        ({"search.space": [("adapt.steps", "normal", 0.1, 1.0)]}, "kind of"),
        ({"search.space": [("adapt.steps", "int", 9, 1)]}, "search.space row"),
        ({"search.space": [("adapt.learning_rate", "log", 0.0, 1.0)]}, "search.space row"),
        ({"search.trials": 3}, "Config section 'search'"),
    ],
)
def test_a_bad_search_ends_in_one_sentence(changes, part, tmp_path):
    with pytest.raises(UsageError) as caught:
        sweep_job.sweep(tiny_config("fomaml", changes), str(tmp_path), **NO_LOG)
    assert_one_sentence(caught.value, part)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"selection": {"rule": "best", "value": 1}}, "selection rule is 'best'"),
        ({"selection": {"rule": "threshold", "value": 9e9}}, "selects no module"),
        ({"selection": {"rule": "top_k"}}, "'eval.selection'"),
        ({"groups": {"all": ["layer_9"]}}, "layer_9"),
    ],
)
def test_a_bad_evaluation_ends_in_one_sentence(changes, part, monkeypatch, tmp_path):
    built = build(tiny_config("sigma_reptile"))
    monkeypatch.setattr(evaluation_job, "restore", lambda *_, **__: (built, built.initial, 1))
    with pytest.raises(UsageError) as caught:
        evaluation_job.evaluate(str(tmp_path), overrides=changes, **NO_LOG)
    assert_one_sentence(caught.value, part)


def test_an_untrained_workdir_can_not_be_evaluated(tmp_path):
    config = tiny_config("fomaml")
    with pytest.raises(UsageError) as usage:
        evaluation_job.evaluate(str(tmp_path / "absent"), **NO_LOG)
    assert_one_sentence(usage.value, "is not a workdir")
    open_workdir(str(tmp_path), config, **NO_LOG).close()
    with pytest.raises(ArtefactError) as caught:
        evaluation_job.evaluate(str(tmp_path), **NO_LOG)
    assert_one_sentence(caught.value, "holds no checkpoint yet", 4)


def test_an_unbuilt_model_is_refused():
    def unbuilt(*, seed, dimensions, mean):
        return keras.Sequential([keras.layers.Dense(3, name="only")])

    ours = default_components()
    spoilt = ours._replace(models={**ours.models, "gaussian": unbuilt})
    with pytest.raises(UsageError) as caught:
        build(tiny_config("maml"), spoilt)
    assert_one_sentence(caught.value, "built")
    with pytest.raises(UsageError, match="built"):
        ModuleRegistry.by_layer(keras.Sequential([keras.layers.Dense(3, name="only")]))


def test_a_bad_device_is_refused():
    with pytest.raises(UsageError) as caught:
        set_cpu_threads(cpu_threads=-1)
    assert_one_sentence(caught.value, "device.cpu_threads is -1")
    with pytest.raises(UsageError) as caught:
        make_strategy("gpus")
    assert_one_sentence(caught.value, "--strategy is 'gpus'")
    with pytest.raises(UsageError) as caught:
        make_strategy("tpu")
    assert_one_sentence(caught.value, "found no TPU")


def test_a_config_is_left_as_it_is():
    config = tiny_config("sigma_reptile")
    before = changed(config, {})
    build(config)
    assert config == before
