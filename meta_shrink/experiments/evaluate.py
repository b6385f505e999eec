"""The evaluation job: a trained workdir -> evaluation.json (schema: reporting.evaluation_file)."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import tensorflow as tf

from meta_shrink.durable_files import check_writable, remove_leftovers, to_json, write_atomically
from meta_shrink.errors import unwritable
from meta_shrink.evaluation import Curves, HeldOutEvaluator
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.components import Components, name_of
from meta_shrink.experiments.config import algorithm_name
from meta_shrink.experiments.defaults import EvalOptions
from meta_shrink.experiments.environment import environment
from meta_shrink.experiments.evaluation_parts import EvaluationParts
from meta_shrink.experiments.ranges import check_eval, check_evaluation
from meta_shrink.experiments.restore import restore
from meta_shrink.experiments.subsets import (
    ModuleSubset,
    adapt_subset,
    extent,
    heldout_evaluators,
    less_everything,
    module_rows,
    module_subsets,
    quoted_steps,
    require_possible,
    restrict,
    select,
    summary,
    without_adaptation,
)
from meta_shrink.keras_model import apply_model
from meta_shrink.runs.progress import Progress
from meta_shrink.sections import check_keys
from meta_shrink.training.multi_worker import Workers
from meta_shrink.types import MetaParams

EVALUATION_FILE = "evaluation.json"


def evaluate(
    workdir: str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    components: Components | None = None,
    log: Callable[[str], Any] = print,
    strategy: tf.distribute.Strategy | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    unsaved: Callable[[dict[str, Any]], Any] = lambda evaluation: None,
) -> dict[str, Any]:
    """Evaluate a workdir on held-out tasks, write its evaluation.json and return the content.

    Every subset adapts the same tasks: all modules under the learned sigma^2, the selected ones,
    each group alone (Figs. 2, 13-15), to `eval.horizon` times the number of quoted steps. What has
    adapted is kept in the workdir: a stopped evaluation of one process goes on.

    Args:
      overrides: options of the `eval` section that replace those of the config.
      components: of restore. unsaved: gets the evaluation if it cannot be written.
      strategy: its replicas share the tasks; of several processes the chief alone writes.

    Raises:
      UsageError: an override that cannot be. Preempted: stopped, evaluation.json was not written.
    """
    started, workers = time.monotonic(), Workers(strategy or tf.distribute.get_strategy())
    log, shown = workers.told_by_chief(log), None if workers.is_chief else io.StringIO()
    experiment, meta, step = restore(workdir, components, log=log)
    _check_room(os.fspath(workdir), workers)
    options = _options(experiment, overrides or {})
    workers.require_same("flags or workdir", f"{experiment.config} {options} {step}")
    selection = select(experiment, meta, options.selection)
    selected, evaluator_of = selection["modules"], heldout_evaluators(experiment, strategy)
    parts = EvaluationParts(os.fspath(workdir), experiment, step, alone=workers.count == 1, log=log)
    how = {"evaluator_of": evaluator_of, "parts": parts, "stop_requested": stop_requested}
    found = _adapted(experiment, meta, selected, options, shown, **how)
    rows, everything = _rows(found, quoted_steps(experiment, options), log)
    evaluation = {
        **_facts(experiment, options, rows),
        "meta_step": step,
        "modules": module_rows(experiment, meta, selected),
        "selection": selection,
        "schemes": rows,
        **_parameter_error(experiment, everything),
        **_examples(experiment, meta, options, selected, evaluator_of),
        "environment": environment(time.monotonic() - started),
    }
    if workers.is_chief:
        _write(workdir, evaluation, unsaved, parts)
    workers.gather(0)  # None ends while the chief still writes.
    return evaluation


def _options(experiment: Experiment, overrides: Mapping[str, Any]) -> EvalOptions:
    check_keys("eval", overrides, (), EvalOptions._fields)
    options = experiment.eval._replace(**overrides)
    check_eval(options)
    check_evaluation(options, experiment.registry, experiment.model)
    require_possible(experiment, options)
    return options


def _facts(
    experiment: Experiment, options: EvalOptions, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    metric = experiment.metric_facts
    return {
        "num_tasks": max(row["num_tasks"] for row in rows),
        "train_adaptation_steps": experiment.adapt.steps,
        "quoted_steps": quoted_steps(experiment, options),
        "experiment": name_of(experiment.config),
        "algorithm": algorithm_name(experiment.config),
        "metric": {"name": metric.name, "lower_is_better": metric.lower_is_better},
    }


def _check_room(workdir: str, workers: Workers) -> None:
    """Hours of work should not end at a full disk."""
    if not workers.is_chief:
        return
    remove_leftovers(workdir, EVALUATION_FILE)
    try:
        check_writable(workdir)
    except OSError as error:
        raise unwritable(workdir, error) from error


def _write(
    workdir: str | os.PathLike[str],
    evaluation: dict[str, Any],
    unsaved: Callable[[dict[str, Any]], Any],
    parts: EvaluationParts,
):
    content = json.dumps(to_json(evaluation), sort_keys=True, allow_nan=False) + "\n"
    path = os.path.join(workdir, EVALUATION_FILE)
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        unsaved(evaluation)
        raise unwritable(path, error) from error
    parts.remove()


def _rows(
    found: Iterable[tuple[ModuleSubset, Curves, int]], quoted: int, log: Callable[[str], Any]
) -> tuple[list[dict[str, Any]], Curves | None]:
    """The rows of all subsets, and the curves of the one in which everything adapts."""
    rows, everything = [], None

    def add(subset: ModuleSubset, curves: Curves, count: int) -> None:
        row = summary(subset, curves, count)
        if everything is not None:
            row["less_everything"] = less_everything(curves, everything, quoted)
        rows.append(row)

    for subset, curves, count in found:
        add(subset, curves, count)
        if subset.kind == "all":
            everything = curves
        log(f"  {count} held-out tasks adapted: {subset.name}")
    if everything is not None:
        nothing = ModuleSubset("no adaptation", "none", ())
        add(nothing, without_adaptation(everything), len(everything.metric))
    return rows, everything


def _adapted(
    experiment: Experiment,
    meta: MetaParams,
    selected: Sequence[str],
    options: EvalOptions,
    shown: TextIO | None,
    **how: Any,
) -> Iterator[tuple[ModuleSubset, Curves, int]]:
    """(subset, its curves, tasks) of each, one after another, with progress in adaptation steps.

    Args:
      shown: where it is. how: of adapt_subset.
    """
    subsets = module_subsets(experiment, options, selected, meta.log_sigma2.numpy().tolist())
    todo = [math.prod(extent(experiment, subset, options)) for subset in subsets]
    done = 0

    def told(steps: int) -> None:
        nonlocal done
        done += steps
        progress.update(done)

    with Progress(sum(todo), label="adaptation steps", stream=shown) as progress:
        for subset, end in zip(subsets, itertools.accumulate(todo), strict=True):
            curves, count = adapt_subset(
                experiment, meta, subset, options=options, told=told, **how
            )
            if done < end:  # Of tasks that were kept.
                told(end - done)
            yield subset, curves, count


def _parameter_error(experiment: Experiment, curves: Curves | None) -> dict[str, Any]:
    if curves is None or curves.parameter_error is None:
        return {}
    names = [path.rpartition("/")[2] for path in experiment.registry.paths]
    mean = curves.parameter_error.mean(axis=0)
    return {"parameter_error": {"names": names, "steps": curves.steps, "mean": mean.T}}


def _examples(
    experiment: Experiment,
    meta: MetaParams,
    options: EvalOptions,
    selected: Sequence[str],
    evaluator_of: Callable[..., HeldOutEvaluator],
) -> dict[str, Any]:
    """Predictions on a few held-out tasks with one input and one output (Fig. 13 right)."""
    if not options.examples:
        return {}
    forward, examples = apply_model(experiment.model), []
    for index in range(options.examples):
        predictions = {}
        for subset in module_subsets(experiment, options, selected):
            held_out = evaluator_of(subset)
            restricted = restrict(meta, experiment, subset)
            task, theta = held_out.adapted(restricted, index=index, steps=experiment.adapt.steps)
            order = np.argsort(task.val[0].numpy()[:, 0])
            x = tf.gather(task.val[0], order)
            predictions[subset.name] = forward(theta, x)[:, 0]
        example = {"x": x[:, 0], "truth": tf.gather(task.val[1], order)[:, 0]}
        train = {"train_x": task.train[0][:, 0], "train_y": task.train[1][:, 0]}
        examples.append({**example, **train, "predictions": predictions})
    return {"examples": examples}
