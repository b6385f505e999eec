"""What each section of a config must fulfil on its own; all raise UsageError."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from meta_shrink.errors import UsageError, refuse_url
from meta_shrink.experiments.defaults import EVAL_KINDS, Device, EvalOptions, Prior, Schedule
from meta_shrink.models import MODELS
from meta_shrink.prior import SIGMA2_MAX, SIGMA2_MIN, check_rule
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import MOST, call, check_keys, check_kinds, nearest
from meta_shrink.training import pretraining
from meta_shrink.training.warm_start import warm_start

READ_BY_BUILD = (
    "seed",
    "task",
    "model",
    "modules",
    "loss",
    "adapt",
    "algorithm",
    "prior",
    "meta_optimizer",
    "warm_start",
    "train",
)
READ_BY_PROGRAMS = ("name", "device", "eval", "search", "imports", "data")
MOST_POINTS = 10_000  # of a curve, each a measurement of every task


class Whole(NamedTuple):
    """The values of a config that are in no section."""

    seed: int


def check_keras(model: Any) -> None:
    """Keras's own settings (keras.json), under which our networks would be others.

    Args:
      model: its name; a model of the user's may have its pictures in another format.
    """
    given = {"backend": keras.config.backend(), "floatx": keras.config.floatx()}
    needed = {"backend": "tensorflow", "floatx": "float32"}
    if model in MODELS:
        given["image_data_format"] = keras.config.image_data_format()
        needed["image_data_format"] = "channels_last"
    for name, value in needed.items():
        if given[name] != value:
            raise UsageError(
                f"Keras's {name} is {given[name]!r}, and {value!r} is expected: look into "
                "~/.keras/keras.json and your own code."
            )


def check_eval(options: EvalOptions) -> None:
    """Counts in range and known kinds of module subsets."""
    check_kinds("eval", EvalOptions, options._asdict())
    least = {"num_tasks": 1, "horizon": 1, "group_horizon": 1, "points": 2}
    least |= dict.fromkeys(("examples", "steps", "group_tasks", "validation_tasks"), 0)
    for name, bound in least.items():
        if getattr(options, name) < bound:
            raise UsageError(f"eval.{name} is {getattr(options, name)}; expected at least {bound}.")
    if options.points > MOST_POINTS:
        raise UsageError(f"eval.points is {options.points}; expected at most {MOST_POINTS}.")
    if unknown := [kind for kind in options.kinds if kind not in EVAL_KINDS]:
        raise UsageError(f"eval.kinds has {unknown}; expected some of {', '.join(EVAL_KINDS)}.")
    if not options.kinds:
        raise UsageError(f"eval.kinds is empty; expected some of {', '.join(EVAL_KINDS)}.")


def check_evaluation(options: EvalOptions, registry: ModuleRegistry, model: keras.Model) -> None:
    """What an evaluation asks of the network, long before there is something to evaluate.

    Raises:
      UsageError: a rule that cannot be meant, a group without modules or with an unknown one, or
        example predictions that no curve could show.
    """
    ends = [tuple(x.shape) for x in (*model.inputs, *model.outputs)]
    if options.examples and ends != [(None, 1), (None, 1)]:
        raise UsageError(
            f"eval.examples is {options.examples}, but predictions are drawn of networks with one "
            f"input and one output alone, and the shapes of this one's are {ends}: set it to 0."
        )
    call("eval.selection", check_rule, options.selection, registry=registry)
    groups = options.groups if "single" in options.kinds else {}
    for name, modules in groups.items():
        if isinstance(modules, str) or not modules:
            raise UsageError(
                f"eval.groups.{name} is {modules!r}; expected a list of names of modules."
            )
        if unknown := [module for module in modules if module not in registry.names]:
            raise UsageError(
                f"eval.groups.{name} has {unknown[0]!r}, which is no module of this network"
                f"{nearest(unknown[0], registry.names)}: change eval.groups, or leave 'single' out "
                "of eval.kinds."
            )


def check_sections(config: Mapping[str, Any]) -> None:
    """A config has all sections that are read, and no other; likewise those that become values."""
    check_keys("The config", config, READ_BY_BUILD, READ_BY_PROGRAMS)
    check_kinds("config", Whole, {"seed": config["seed"]})
    for name in set(config) - {"seed", "name", "imports", "data"}:
        if not isinstance(config[name], Mapping):
            raise UsageError(f"Config section {name!r} is {config[name]!r}; expected a dict.")
    values = {"device": Device, "train": Schedule, "prior": Prior, "eval": EvalOptions}
    for name, kind in values.items():
        section = config.get(name, {})
        check_keys(f"Config section {name!r}", section, (), kind._fields)
        check_kinds(name, kind, section)
    for function in (warm_start, pretraining.Schedule):  # By what the tasks are: one or the other.
        check_kinds("warm_start", function, config["warm_start"])
    for name, section in {"seed": config, "warm_start.seed": config["warm_start"]}.items():
        if section.get("seed", 0) < 0:
            raise UsageError(f"{name} is {section['seed']}; expected 0 to {MOST:,}.")
    check_keras(config["model"].get("name"))
    check_eval(EvalOptions(**config.get("eval", {})))
    check_prior(Prior(**config["prior"]), learned="log_sigma2" in config["meta_optimizer"])
    # Several runs write it, at any time.
    refuse_url("warm_start.cache", str(config["warm_start"].get("cache", "")))


def check_prior(prior: Prior, *, learned: bool) -> None:
    """Variances and strengths in range; learned variances start within their bounds."""
    low, high = prior.sigma2_min, prior.sigma2_max
    within = not learned or low <= prior.sigma2 <= high or prior.sigma2 == math.inf
    if not (
        prior.sigma2 > 0 and within and 0 <= prior.beta < math.inf and 0 < low < high < math.inf
    ):
        got = ", ".join(f"{name}={value}" for name, value in prior._asdict().items())
        raise UsageError(
            f"prior got {got}; expected sigma2 > 0 (inf: no prior; within its bounds where it is "
            "learned), a finite beta >= 0, and 0 < sigma2_min < sigma2_max < inf (the paper has "
            f"{SIGMA2_MIN:g} and {SIGMA2_MAX:g})."
        )
