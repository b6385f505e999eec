"""Every value of a config: another kind, NaN, or what cannot be meant is refused by its name,
before anything is trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from meta_shrink import UsageError, build
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.train import check_trainable
from meta_shrink.sections import call
from tests.tiny_runs import tiny_config


def config_of(changes: dict[str, Any]) -> dict[str, Any]:
    """The tiny sigma-Reptile with dotted keys set."""
    config = copy.deepcopy(tiny_config("sigma_reptile"))
    for key, value in changes.items():
        *sections, name = key.split(".")
        place: Any = config
        for section in sections:
            place = place[section]
        place[name] = copy.deepcopy(value)
    return config


def checked(config: dict[str, Any]) -> Experiment:
    """As before any training."""
    experiment = build(config)
    check_trainable(experiment, tf.distribute.get_strategy())
    return experiment


def leaves(section: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


# `search` is read by a sweep alone, which checks it.
NUMBERS = [
    (key, value)
    for key, value in leaves(tiny_config("sigma_reptile"))
    if isinstance(value, (int, float)) and not key.startswith("search.")
]


@pytest.mark.parametrize(("key", "value"), NUMBERS, ids=[key for key, _ in NUMBERS])
def test_a_number_that_is_none_is_refused_by_its_name(key, value):
    wrong: list[Any] = ["3", None, float("nan"), [value]]
    if not isinstance(value, bool):
        wrong.append(True)
    if isinstance(value, int):
        wrong.append(value + 0.5)
    for given in wrong:
        with pytest.raises(UsageError) as told:
            checked(config_of({key: given}))
        assert key.split(".")[-1] in str(told.value)
        assert str(given) in str(told.value)


NETWORK = {
    "task": {"name": "sinusoid"},
    "model": {"name": "mlp", "inputs": 1, "outputs": 1, "hidden": [2]},
    "loss": {"name": "squared_error", "reduction": "mean"},
    "eval.kinds": ["all"],
}


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        ("model.hidden", [3], [["a"], [1.5], 3, "ab", [None], [True], [[3]]]),
        ("eval.kinds", ["all"], ["all", [1], None]),
    ],
)
def test_a_list_and_all_of_it_are_of_their_kind(key, right, wrong):
    for given in (right, tuple(right)):
        checked(config_of({**NETWORK, key: given}))
    for given in wrong:
        with pytest.raises(UsageError, match=f"{key} is .*; expected a list, each of it"):
            checked(config_of({**NETWORK, key: given}))


def test_the_config_without_changes_is_built():
    checked(config_of({}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval.selection": {"rule": "gapp", "value": 100}}, "'gapp'; expected one of gap"),
        ({"eval.selection": {"rule": "top_k", "value": 0}}, "value 0; expected a whole number"),
        ({"eval.selection": {"rule": "top_k", "value": -1}}, "value -1; expected a whole number"),
        ({"eval.selection": {"rule": "top_k", "value": 2.5}}, "value 2.5; expected a whole"),
        ({"eval.selection": {"rule": "gap", "value": 0.5}}, "0.5; expected a ratio of at least 1"),
        ({"eval.selection": {"rule": "gap", "value": np.inf}}, "'gap' got the value inf"),
        ({"eval.selection": {"rule": "relative", "value": 1}}, "expected a share of the largest"),
        ({"eval.selection": {"rule": "relative", "value": -1}}, "expected a share of the largest"),
        ({"eval.selection": {"rule": "threshold", "value": -1}}, "expected a variance of at least"),
        ({"eval.selection": {"rule": "max_bytes", "value": 3}}, "bytes of the smallest module"),
        ({"eval.selection": {"rule": "gap"}}, "'eval.selection' lacks value"),
        ({"eval.groups": {"a": ["none"]}}, "eval.groups.a has 'none', which is no module"),
        ({"eval.groups": {"a": "layer_1"}}, "eval.groups.a is 'layer_1'; expected a list"),
        ({"eval.groups": {"a": []}}, "eval.groups.a is .*; expected a list"),
        ({"eval.kinds": []}, "eval.kinds is empty"),
        ({"eval.points": 10**9}, "eval.points is 1000000000; expected at most 10000"),
        ({"prior.sigma2": 1e6}, "sigma2=1000000.0.*within its bounds where it is learned"),
        ({"prior.sigma2": 1e-6}, "sigma2=1e-06.*within its bounds where it is learned"),
        ({"prior.beta": np.inf}, "beta=inf.*a finite beta"),
        ({"prior.sigma2_max": np.inf}, "sigma2_max < inf"),
        ({"algorithm.damping": np.inf}, "damping=inf"),
        ({"adapt.learning_rate": np.inf}, "learning_rate=inf"),
        ({"meta_optimizer.phi.learning_rate": np.inf}, "learning_rate=inf"),
        ({"train.clip_norm": -1.0}, "clip_norm is -1.0"),
        ({"eval.examples": 3, "eval.num_tasks": 3}, "examples"),
        ({"task": "sinusoid"}, "section 'task' is 'sinusoid'; expected a dict"),
        ({"eval": None}, "section 'eval' is None; expected a dict"),
        ({"seed": -1}, "seed is -1; expected 0 to 2,147,483,647"),
        ({"seed": 2**31}, "seed is 2147483648; expected at most 2,147,483,647"),
        ({"warm_start.seed": 2**40}, "warm_start.seed is 1099511627776; expected at most"),
        ({"adapt.steps": 10**30}, "adapt.steps is 10{30}; expected at most 2,147,483,647"),
        ({"train.steps": 10**30}, "train.steps is 10{30}; expected at most"),
        ({"train.meta_batch_size": 2**31}, "meta_batch_size is 2147483648; expected at most"),
        ({**NETWORK, "model.hidden": [8, 2**31]}, "model.hidden is .*; expected at most"),
        ({"seed": "0"}, "config.seed is '0'; expected a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(changes, message):
    with pytest.raises(UsageError, match=message):
        checked(config_of(changes))


def test_groups_that_no_evaluation_asks_for_need_no_modules():
    checked(config_of({"eval.groups": {"a": ["none"]}, "eval.kinds": ["all"]}))


def test_numbers_of_numpy_are_numbers():
    changes = {"train.steps": np.int64(3), "prior.sigma2": np.float32(2), "prior.beta": 0}
    built = checked(config_of(changes))
    assert built.schedule.steps == 3
    np.testing.assert_allclose(np.exp(built.initial.log_sigma2), 2, rtol=1e-6)


def test_annotations_that_are_no_simple_kind_ask_for_nothing():
    def mine(*, name: str | None = None, sizes: list[int] | int = 3, free=None, rate: float = 1):
        return name, sizes, free, rate

    assert call("mine", mine, {"name": None, "sizes": "x", "free": "y"}) == (None, "x", "y", 1)
    with pytest.raises(UsageError, match=r"^mine.name is 3; expected text or None"):
        call("mine", mine, {"name": 3})
    with pytest.raises(UsageError, match=r"^mine.free is nan; expected a number"):
        call("mine", mine, {"free": float("nan")})
    with pytest.raises(UsageError, match=r"^mine.rate is '1'; expected a number"):
        call("mine", mine, {"rate": "1"})
