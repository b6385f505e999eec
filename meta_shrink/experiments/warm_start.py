"""phi before the first meta-step: the section `warm_start` of a config carried out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from meta_shrink.durable_files import to_json
from meta_shrink.errors import UsageError
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.task_data import task_source
from meta_shrink.images.whole_files import only_maker_of
from meta_shrink.rng import STREAMS
from meta_shrink.sections import call, named
from meta_shrink.tasks.augment import random_affine
from meta_shrink.training.pretraining import Schedule, pretrain
from meta_shrink.training.warm_start import cached, warm_start
from meta_shrink.types import Params

Log = Callable[[str], Any]


def warm_started(experiment: Experiment, folder: str, log: Log) -> Params:
    """phi after the warm start that the config asks for, from its cache where it is there.

    A source whose tasks are classes is classified (warm_start); one that mixes its tasks
    pre-trains the network as it is (pretrain).

    Args:
      folder: for what a pre-training keeps, where the config names no cache.
    """
    if experiment.source.labelled is None and experiment.source.mixed is not None:
        return _pretrained(experiment, folder, log)
    return _classified(experiment, log)


def _classified(experiment: Experiment, log: Log) -> Params:
    config, section = experiment.config, experiment.config["warm_start"]
    options = {key: section[key] for key in section if key not in ("cache", "augment")}
    affine = section.get("augment")

    def compute() -> Params:
        # Its own model, from its own seed: runs with other seeds share the result.
        return call(
            "warm_start",
            warm_start,
            options,
            model=named(
                "model", experiment.components.models, config["model"], seed=options["seed"]
            ),
            source=experiment.source,
            augment=call("warm_start.augment", random_affine, affine) if affine else None,
            native=not experiment.jit,
            log=log,
        )

    facts = {name: config[name] for name in ("warm_start", "task", "model")}
    facts["data"] = experiment.source.data
    return cached(section["cache"], facts, compute) if section.get("cache") else compute()


def _pretrained(experiment: Experiment, folder: str, log: Log) -> Params:
    """One folder for all numbers of steps: a run that wants more goes on where another ended."""
    config, section = experiment.config, experiment.config["warm_start"]
    options = {key: section[key] for key in section if key not in ("cache", "task", "augment")}
    if section.get("augment"):
        raise UsageError("warm_start.augment is of images; this task has none, so leave it out.")
    schedule = call("warm_start", Schedule, options)
    task = {**config["task"], **section.get("task", {})}
    mixing = _mixing(experiment, task, schedule.seed)
    if section.get("cache"):
        named_by = pretraining_name(config, options, task, mixing.data)
        folder = os.path.join(section["cache"], named_by)
    os.makedirs(folder, exist_ok=True)
    with only_maker_of(os.path.join(folder, "state.npz")):
        return pretrain(
            named("model", experiment.components.models, config["model"], seed=schedule.seed),
            mixing.mixed,
            experiment.nll,
            experiment.metric,
            schedule,
            folder=folder,
            metric_name=experiment.metric_facts.name,
            jit=experiment.jit,
            log=log,
        )


def _mixing(experiment: Experiment, task: Mapping[str, Any], seed: int) -> Any:
    """The source itself, or that of the section's own task options."""
    if task == dict(experiment.config["task"]):
        return experiment.source
    return task_source({"task": task, "seed": seed}, experiment.components.tasks)


def pretraining_name(
    config: Mapping[str, Any], options: Mapping[str, Any], task: Mapping[str, Any], data: str
) -> str:
    """The folder of a pre-training in a cache: a hash of all that decides its steps.

    Args:
      options: of Schedule; their number of steps does not count. task, data: that it learns from.
    """
    facts = {"options": {**options, "steps": 0}, "task": task, "data": data}
    facts |= {"model": config["model"], "loss": config["loss"]}
    facts |= {"streams": STREAMS, "tensorflow": tf.__version__}
    content = json.dumps(to_json(facts), sort_keys=True)
    return f"pretraining_{hashlib.sha256(content.encode()).hexdigest()[:16]}"
