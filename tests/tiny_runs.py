"""Tiny runs of the jobs: a two-dimensional Gaussian and one config for each of the algorithms."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import common
from meta_shrink import build
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.train import Training, set_up

# name -> (algorithm section, learned components); no sigma^2 learned: see tiny_config.
ALGORITHMS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sigma_maml": ({"name": "maml"}, ("phi", "log_sigma2")),
    "sigma_imaml": ({"name": "imaml", "cg_steps": 2, "damping": 0.1}, ("phi", "log_sigma2")),
    "sigma_reptile": ({"name": "sigma_reptile", "cg_steps": 2}, ("phi", "log_sigma2")),
    "maml": ({"name": "maml"}, ("phi",)),
    "fomaml": ({"name": "fomaml"}, ("phi",)),
    "imaml": ({"name": "imaml", "cg_steps": 2, "damping": 0.1}, ("phi",)),
    "reptile": ({"name": "reptile"}, ("phi",)),
    "meta_sgd": ({"name": "maml"}, ("phi", "log_alpha")),
}
NEEDS_PRIOR = ("sigma_maml", "sigma_imaml", "sigma_reptile", "imaml")
NO_LOG: dict[str, Any] = {"log": lambda message: None}


def mostly_slow(algorithms: Iterable[str], *quick: str) -> list[Any]:
    """Parameters of a test, of which only the quick ones run in `make test`."""
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(name, marks=marks[name in quick]) for name in algorithms]


def tiny_config(algorithm: str = "sigma_reptile", changes: dict[str, Any] | None = None) -> Any:
    """A config without XLA, whose dotted keys `changes` replaces or adds; None removes one."""
    section, learned = ALGORITHMS[algorithm]
    config = common.default_config(f"tiny:{algorithm}").to_dict()
    noise = [1.0, 1.0, 1.0]
    config["task"] = {"name": "gaussian", "mean": "linear", "phi": [1.0, 1.0], "sigma": [2.0, 0.5]}
    config["task"] |= {"noise": noise, "num_train": 3, "num_val": 3}
    config["model"] = {"name": "gaussian", "dimensions": 2, "mean": "linear"}
    config["modules"] = {"by": "variable"}
    config["loss"] = {"name": "gaussian", "reduction": "sum", "noise": noise}
    config["adapt"] |= {"learning_rate": 0.1, "steps": 4}
    config["algorithm"] = dict(section)
    config["prior"] |= {"sigma2": 2.0} if algorithm in NEEDS_PRIOR else {}
    config["meta_optimizer"] = {name: common.adam(0.05, decay="linear") for name in learned}
    config["train"] |= {"steps": 60, "meta_batch_size": 2, "task_axis": "sequential", "jit": "off"}
    config["train"] |= {"log_every": 6, "eval_every": 20, "checkpoint_every": 10}
    config["eval"] |= {"num_tasks": 3, "horizon": 2}
    # Whatever the few steps have found.
    config["eval"]["selection"] = {"rule": "relative", "value": 0.01}
    config["search"] |= {"num_trials": 2, "steps": 4}
    return changed(config, changes or {})


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with dotted keys set; None removes one."""
    config = copy.deepcopy(config)
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = config
        for section in sections:
            place = place[section]
        if value is None:
            place.pop(name)
        else:
            place[name] = value
    return config


def tiny_training(
    algorithm: str = "sigma_reptile", changes: dict[str, Any] | None = None
) -> tuple[Experiment, Training]:
    """An experiment and its variables at meta-step 0, on one device."""
    experiment = build(tiny_config(algorithm, changes))
    return experiment, set_up(experiment, tf.distribute.get_strategy())


def values_of(training: Training) -> dict[str, np.ndarray]:
    """A copy of every variable of a run."""
    named = training.state.trackables().items()
    return {name: np.array(variable.numpy()) for name, variable in named}


def set_values(training: Training, values: dict[str, np.ndarray]) -> None:
    for name, variable in training.state.trackables().items():
        variable.assign(values[name])


def checkpoint_values(workdir: Path) -> dict[str, np.ndarray]:
    """Every variable of the newest checkpoint; the counter of saves is not part of the run."""
    prefix = tf.train.latest_checkpoint(str(workdir / "checkpoints"))
    reader = tf.train.load_checkpoint(prefix)
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {n: reader.get_tensor(n) for n in names if not n.startswith("save_counter")}


def assert_same_run(workdir: Path, other: Path) -> None:
    """Bit-equal variables and metrics."""
    assert_equal(checkpoint_values(workdir), checkpoint_values(other))
    assert (workdir / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


def assert_equal(values: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    assert values.keys() == others.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


def variables_within(value: Any, seen: set[int] | None = None) -> Iterator[tf.Variable]:
    """Every tf.Variable reachable through attributes and containers of our objects and Keras'."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, tf.Variable):
        yield value
        return
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, (list, tuple, set)):
        inner = list(value)
    else:
        ours = type(value).__module__.partition(".")[0] in ("keras", "meta_shrink")
        inner = list(vars(value).values()) if ours and hasattr(value, "__dict__") else []
    for item in inner:
        yield from variables_within(item, seen)
