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
from meta_shrink.experiments.defaults import Device
from meta_shrink.experiments.task_data import task_source
from meta_shrink.images.whole_files import only_maker_of
from meta_shrink.rng import STREAMS
from meta_shrink.sections import call, named
from meta_shrink.tasks.augment import random_affine
from meta_shrink.training.kept_arrays import require_writable
from meta_shrink.training.pretraining import Schedule, check_schedule, pretrain
from meta_shrink.training.warm_start import cached, check_numbers, warm_start
from meta_shrink.types import Augment, Params

Log = Callable[[str], Any]
# Options that configs have since later, at the values they always had: names stay what they were.
TOLD_LATER = {"heldout_speakers": 10}


def warm_started(experiment: Experiment, folder: str, log: Log) -> Params:
    """phi after the warm start that the config asks for, from its cache where it is there.

    A source whose tasks are classes is classified (warm_start); one that mixes its tasks
    pre-trains the network as it is (pretrain).

    Args:
      folder: for what a pre-training keeps, where the config names no cache.
    """
    if _mixes(experiment):
        return _pretrained(experiment, folder, log)
    return _classified(experiment, log)


def check_warm_start(experiment: Experiment) -> None:
    """Refuse a section that cannot be carried out, before a run records it.

    Raises:
      UsageError: a key, a kind or a number that it cannot have, a task to which it does not apply,
        or a cache that is no folder.
    """
    section, source = experiment.config["warm_start"], experiment.source
    if not steps_of(experiment.config):
        return
    if source.labelled is None and source.mixed is None:
        raise UsageError(
            f"warm_start got steps={section['steps']}, but this task has neither labelled classes "
            "nor a mixture of its tasks to learn from: set warm_start.steps to 0."
        )
    _refuse_file(section.get("cache", ""))
    if _mixes(experiment):
        _schedule(experiment)
        return
    own = ("cache", "augment")
    call("warm_start", check_numbers, _without(section, *own), also=own)
    _affine(section)


def steps_of(config: Mapping[str, Any]) -> int:
    """Steps of the warm start that a config asks for; 0: none."""
    return config["warm_start"].get("steps", 0)


def _refuse_file(cache: str) -> None:
    place = os.path.abspath(cache)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if cache and not os.path.isdir(place):
        raise UsageError(f"warm_start.cache is {cache!r}, but {place} is no folder: name another.")


def _mixes(experiment: Experiment) -> bool:
    return experiment.source.labelled is None and experiment.source.mixed is not None


def _without(section: Mapping[str, Any], *others: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in others}


def _affine(section: Mapping[str, Any]) -> Augment | None:
    affine = section.get("augment")
    return call("warm_start.augment", random_affine, affine) if affine else None


def _classified(experiment: Experiment, log: Log) -> Params:
    config, section = experiment.config, experiment.config["warm_start"]
    options = _without(section, "cache", "augment")

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
            augment=_affine(section),
            native=not experiment.jit,
            log=log,
        )

    facts = {name: config[name] for name in ("warm_start", "task", "model")}
    facts |= {"data": experiment.source.data, **_precision(config)}
    if not section.get("cache"):
        return compute()
    shapes = [tuple(v.shape) for v in experiment.model.trainable_variables]
    return cached(section["cache"], facts, shapes, compute)


def _schedule(experiment: Experiment) -> tuple[Schedule, dict[str, Any], dict[str, Any]]:
    """How a pre-training goes, the options that say so, and the section of the tasks it mixes.

    Raises:
      UsageError: a key or a number that it cannot have.
    """
    section, own = experiment.config["warm_start"], experiment.config["task"]
    if section.get("augment"):
        raise UsageError("warm_start.augment is of images; this task has none, so leave it out.")
    also = ("cache", "task", "augment")
    options = _without(section, *also)
    schedule = call("warm_start", Schedule, options, also=also)
    check_schedule(schedule)
    task = section.get("task", {})
    if not isinstance(task, Mapping):
        raise UsageError(f"warm_start.task is {task!r}; expected a dict of options of the task.")
    return schedule, options, {**own, **task}


def _pretrained(experiment: Experiment, folder: str, log: Log) -> Params:
    """One folder for all numbers of steps: a run that wants more goes on where another ended."""
    config, section = experiment.config, experiment.config["warm_start"]
    schedule, options, task = _schedule(experiment)
    mixing = _mixing(experiment, task, schedule.seed)
    if section.get("cache"):
        named_by = pretraining_name(config, options, task, mixing.data)
        folder = os.path.join(section["cache"], named_by)
    require_writable(folder)
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


def _precision(config: Mapping[str, Any]) -> dict[str, str]:
    """Of matrix products, where it is not the usual one, which names have not."""
    precision = Device(**config.get("device", {})).matmul_precision
    return {"precision": precision} if precision != Device().matmul_precision else {}


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
    told = {key: value for key, value in task.items() if TOLD_LATER.get(key) != value}
    facts = {"options": {**options, "steps": 0}, "task": told, "data": data}
    facts |= {"model": config["model"], "loss": config["loss"]}
    facts |= {"streams": STREAMS, "tensorflow": tf.__version__, **_precision(config)}
    content = json.dumps(to_json(facts), sort_keys=True)
    return f"pretraining_{hashlib.sha256(content.encode()).hexdigest()[:16]}"
