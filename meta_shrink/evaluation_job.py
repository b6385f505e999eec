"""The evaluation job: a trained workdir -> evaluation.json (schema: reporting.findings)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.checkpointing import Checkpoints
from meta_shrink.checks import EvalOptions
from meta_shrink.errors import ArtefactError
from meta_shrink.evaluation import Curves, HeldOut, mean_and_ci95, recorded_steps
from meta_shrink.experiment import Experiment, build, call
from meta_shrink.losses import apply_model
from meta_shrink.prior import BYTES_PER_PARAMETER, freeze_others, task_specific
from meta_shrink.run_files import to_json, write_atomically
from meta_shrink.training_job import set_up
from meta_shrink.types import MetaParams
from meta_shrink.workdir import read_config

EVALUATION_FILE = "evaluation.json"


class Scheme(NamedTuple):
    """Which modules adapt: a name for people, its kind (all, selected, single, none), modules."""

    name: str
    kind: str
    modules: tuple[str, ...]


def restore(workdir: str, log: Callable[[str], Any] = print) -> tuple[Experiment, MetaParams, int]:
    """The experiment of a workdir, its Phi at the newest intact checkpoint, and its meta-step.

    Raises:
      UsageError, ArtefactError: no workdir, no checkpoint, or a broken one.
    """
    experiment = build(read_config(workdir))
    state = set_up(experiment, tf.distribute.get_strategy()).state
    checkpoints = Checkpoints(
        os.path.join(workdir, "checkpoints"), state.trackables(), log=log, is_chief=False
    )
    step = checkpoints.restore()
    if step is None:
        raise ArtefactError(
            f"{workdir} holds no checkpoint yet; train it first with python -m launch.train."
        )
    return experiment, state.meta(), step


def evaluate(
    workdir: str,
    *,
    log: Callable[[str], Any] = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Evaluate a workdir on held-out tasks and write its evaluation.json.

    Every scheme adapts the same tasks: all modules under the learned sigma^2, the selected ones,
    each group alone (Figs. 2, 13-15), to `eval.horizon` times the meta-training horizon.

    Returns:
      The content of evaluation.json.

    Raises:
      Preempted: stopped on request; nothing was written.
    """
    started = time.monotonic()
    experiment, meta, step = restore(workdir, log)
    options = call("eval", EvalOptions, experiment.config["eval"])
    selection = select(experiment, meta, options.selection)
    horizon, held_out = experiment.adapt.steps, experiment.held_out()
    steps, results = sorted({horizon, *recorded_steps(horizon * options.horizon)}), []
    for scheme in schemes(experiment, options, selection["modules"]):
        restricted = _restrict(meta, experiment, scheme)
        curves = held_out.curves(
            restricted, first=0, count=options.num_tasks, steps=steps, stop_requested=stop_requested
        )
        results.append((scheme, curves))
        log(f"  {options.num_tasks} held-out tasks adapted: {scheme.name}")
    everything, facts = results[0][1], experiment.metric_facts
    evaluation = {
        "experiment": experiment.config["name"],
        "algorithm": algorithm_name(experiment.config),
        "meta_step": step,
        "metric": {"name": facts.name, "lower_is_better": facts.lower_is_better},
        "num_tasks": options.num_tasks,
        "train_adaptation_steps": horizon,
        "modules": module_rows(experiment, meta, selection["modules"]),
        "selection": selection,
        "schemes": [*[_summary(*result) for result in results], _no_adaptation(everything)],
        **_parameter_error(experiment, everything),
        **_examples(experiment, held_out, meta, options, selection["modules"]),
        "environment": environment(time.monotonic() - started),
    }
    content = json.dumps(to_json(evaluation), sort_keys=True, allow_nan=False) + "\n"
    write_atomically(os.path.join(workdir, EVALUATION_FILE), content.encode())
    return evaluation


def algorithm_name(config: Mapping[str, Any]) -> str:
    """Name of the row of Table 1: what is learned tells sigma-MAML and Meta-SGD from MAML."""
    name, learned = config["algorithm"]["name"], config["meta_optimizer"]
    if "log_alpha" in learned and name == "maml":
        return "meta_sgd"
    return f"sigma_{name}" if "log_sigma2" in learned and name in ("maml", "imaml") else name


def select(experiment: Experiment, meta: MetaParams, options: Mapping[str, Any]) -> dict[str, Any]:
    """The task-specific modules as evaluation.json has them; none where sigma^2 is not learned."""
    if "log_sigma2" not in experiment.config["meta_optimizer"]:
        return {"rule": "none", "value": 0, "modules": [], "share": 0.0, "bytes": 0}
    sigma2 = np.exp(meta.log_sigma2.numpy().astype(float)).tolist()
    selection = call(
        "eval.selection", task_specific, options, sigma2=sigma2, registry=experiment.registry
    )
    return {**selection._asdict(), "modules": list(selection.modules)}


def schemes(experiment: Experiment, options: EvalOptions, selected: Sequence[str]) -> list[Scheme]:
    """All modules; the selected ones, where that is another set; each group alone.

    Raises:
      UsageError: a group names an unknown module.
    """
    names = experiment.registry.names
    groups = dict(options.groups) or {name: [name] for name in names}
    for modules in groups.values():
        for module in modules:
            experiment.registry.position(module)
    found = [Scheme("all modules", "all", names)]
    if selected:
        found.append(Scheme("selected modules", "selected", tuple(selected)))
    return found + [Scheme(name, "single", tuple(modules)) for name, modules in groups.items()]


def module_rows(
    experiment: Experiment, meta: MetaParams, selected: Sequence[str]
) -> list[dict[str, Any]]:
    """The module table, in network order."""
    registry = experiment.registry
    sigma2 = np.exp(meta.log_sigma2.numpy().astype(float))
    return [
        {
            "name": name,
            "size": size,
            "share": share,
            "bytes": size * BYTES_PER_PARAMETER,
            "sigma2": float(value),
            "task_specific": name in selected,
        }
        for name, size, share, value in zip(
            registry.names, registry.sizes, registry.shares, sigma2, strict=True
        )
    ]


def environment(seconds: float) -> dict[str, Any]:
    """Versions, command and commit of this run."""
    git = ["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "cpu_cores": os.cpu_count(),
        "commit": commit,
        "command": " ".join(sys.argv[1:]),
        "seconds": round(seconds, 1),
    }


def _restrict(meta: MetaParams, experiment: Experiment, scheme: Scheme) -> MetaParams:
    if scheme.kind == "all":
        return meta
    return freeze_others(meta, experiment.registry, scheme.modules)


def _summary(scheme: Scheme, curves: Curves) -> dict[str, Any]:
    mean, ci95 = mean_and_ci95(curves.metric)
    row = {"name": scheme.name, "kind": scheme.kind, "modules": list(scheme.modules)}
    return {**row, "steps": curves.steps, "mean": mean, "ci95": ci95}


def _no_adaptation(curves: Curves) -> dict[str, Any]:
    start = curves._replace(metric=np.repeat(curves.metric[:, :1], len(curves.steps), axis=1))
    return _summary(Scheme("no adaptation", "none", ()), start)


def _parameter_error(experiment: Experiment, curves: Curves) -> dict[str, Any]:
    if curves.parameter_error is None:
        return {}
    names = [path.rpartition("/")[2] for path in experiment.registry.paths]
    mean = curves.parameter_error.mean(axis=0)
    return {"parameter_error": {"names": names, "steps": curves.steps, "mean": mean.T}}


def _examples(
    experiment: Experiment,
    held_out: HeldOut,
    meta: MetaParams,
    options: EvalOptions,
    selected: Sequence[str],
) -> dict[str, Any]:
    """Predictions on a few held-out tasks with one input and one output (Fig. 13 right)."""
    if not options.examples:
        return {}
    forward, examples = apply_model(experiment.model), []
    for index in range(options.examples):
        predictions = {}
        for scheme in schemes(experiment, options, selected):
            restricted = _restrict(meta, experiment, scheme)
            task, theta = held_out.adapted(restricted, index=index, steps=experiment.adapt.steps)
            order = np.argsort(task.val[0].numpy()[:, 0])
            x = tf.gather(task.val[0], order)
            predictions[scheme.name] = forward(theta, x)[:, 0]
        example = {"x": x[:, 0], "truth": tf.gather(task.val[1], order)[:, 0]}
        train = {"train_x": task.train[0][:, 0], "train_y": task.train[1][:, 0]}
        examples.append({**example, **train, "predictions": predictions})
    return {"examples": examples}
