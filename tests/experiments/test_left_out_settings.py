"""Settings that a config leaves out have their defaults; sections of a wrong kind are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from meta_shrink import UsageError, build, evaluate, open_workdir, train
from meta_shrink.experiments.sweep import sweep
from meta_shrink.experiments.train import check_trainable
from tests.refusals import refusals
from tests.tiny_runs import NO_LOG, tiny_config

LEFT_OUT: list[dict[str, Any]] = [
    {"adapt.batch_size": None},
    {"prior": {}},
    {"warm_start": {}},
    {"device": None},
    {"name": None},
    {"eval": None},
    {"search": None},
    {"train": {"steps": 1, "jit": "off"}},
    {"train.eval_every": None},
]


def first_of(changes: dict[str, Any]) -> str:
    return next(iter(changes))


@pytest.mark.parametrize("changes", LEFT_OUT, ids=first_of)
def test_what_is_left_out_has_its_default(changes):
    experiment = build(tiny_config("maml", changes))
    check_trainable(experiment, tf.distribute.get_strategy())


def test_an_experiment_of_defaults_is_called_by_its_algorithm(tmp_path):
    nothing = {key: value for changes in LEFT_OUT[:-1] for key, value in changes.items()}
    experiment = build(tiny_config("maml", nothing))
    said: list[str] = []
    with open_workdir(str(tmp_path), experiment.config, **NO_LOG) as workdir:
        train(experiment, workdir, log=said.append)
    assert said[0].startswith("maml: 1 meta-steps")
    few = {"num_tasks": 1, "kinds": ["all"], "horizon": 1}
    assert evaluate(str(tmp_path), overrides=few, **NO_LOG)["experiment"] == "maml"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"meta_optimizer": {"phi": 0.1}}, "'meta_optimizer.phi' is 0.1; expected a dict"),
    ({"eval.groups": ["a"]}, r"eval.groups is \['a'\]; expected a dict"),
    ({"eval.selection": "gap"}, "eval.selection is 'gap'; expected a dict"),
    ({"modules": {"by": "pattern", "patterns": ["a"]}}, r"patterns is \['a'\]; expected a dict"),
    ({"modules": {"by": "pattern", "patterns": {"a": "("}}}, "'a' is '.', which is no regular"),
    ({"modules": {"by": "pattern", "patterns": {"a": 5}}}, "'a' is 5, which is no regular"),
    ({"modules": {"by": "variable", "patterns": {"a": ".*"}}}, "patterns names a, but modules.by"),
    ({"modules": {"by": "layer", "patterns": {"a": ".*"}}}, "set modules.by to 'pattern'"),
    ({"task.num_heldout_val": -1}, "num_heldout_val is -1; expected at least 0"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_a_section_of_a_wrong_kind_is_refused(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_trainable(build(tiny_config("maml", changes)), tf.distribute.get_strategy())


def test_patterns_are_those_of_pattern():
    modules = {"by": "pattern", "patterns": {"all": ".*"}}
    assert build(tiny_config("maml", {"modules": modules})).registry.names == ("all",)
    assert build(tiny_config("maml", {"modules": {"by": "variable", "patterns": {}}}))


def test_a_search_that_is_left_out_is_refused(tmp_path):
    with pytest.raises(UsageError, match="'search' lacks num_trials, steps, space"):
        sweep(tiny_config("maml", {"search": None}), tmp_path, **NO_LOG)
    assert not list(tmp_path.iterdir())


@pytest.mark.programs
def test_a_search_in_a_config_with_defaults(tmp_path):
    space = [("adapt.learning_rate", "log", 1e-3, 1e-1)]
    changes = {"train": {"jit": "off"}, "name": None, "eval.num_tasks": 1, "adapt.steps": 1}
    search = {"num_trials": 1, "steps": 1, "space": space}
    config = tiny_config("maml", changes | {"search": search})
    assert len(sweep(config, tmp_path, **NO_LOG).trials) == 1


CONFIG = """
from tests.tiny_runs import tiny_config

def get_config(what=""):
    return tiny_config("maml", {"train.steps": 1})
"""


@pytest.mark.programs
@pytest.mark.parametrize("program", ["train", "sweep"])
def test_a_get_config_that_returns_a_dict_is_refused(program, tmp_path):
    path = Path(tmp_path) / "own.py"
    path.write_text(CONFIG)
    line = [f"--config={path}", f"--workdir={tmp_path / 'run'}"]
    codes, told = zip(*refusals(program, line), strict=True)
    assert codes == (2,) and "The config's get_config() returns dict, not ConfigDict" in told[0]
    assert not (tmp_path / "run").exists(), json.dumps(told)
