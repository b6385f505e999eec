"""Which modules adapt in an evaluation: all, selected ones, the first ranked, single ones, none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.evaluation import Curves, HeldOutEvaluator, recorded_steps, require_tasks
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.defaults import EvalOptions
from meta_shrink.experiments.evaluation_parts import EvaluationParts
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.prior import BYTES_PER_PARAMETER, freeze_others, task_specific
from meta_shrink.sections import call
from meta_shrink.types import MetaParams

RANKED_SIZES = 7


class ModuleSubset(NamedTuple):
    """Which modules adapt: a name for people, its kind (reporting's KINDS), the modules."""

    name: str
    kind: str
    modules: tuple[str, ...]


def select(experiment: Experiment, meta: MetaParams, options: Mapping[str, Any]) -> dict[str, Any]:
    """The task-specific modules as evaluation.json has them; none where sigma^2 is not learned."""
    if "log_sigma2" not in experiment.learned:
        return {"rule": "none", "value": 0, "modules": [], "share": 0.0, "bytes": 0}
    sigma2 = np.exp(meta.log_sigma2.numpy().astype(float)).tolist()
    selection = call(
        "eval.selection", task_specific, options, sigma2=sigma2, registry=experiment.registry
    )
    return {**selection._asdict(), "modules": list(selection.modules)}


def module_subsets(
    experiment: Experiment,
    options: EvalOptions,
    selected: Sequence[str],
    log_sigma2: Sequence[float] = (),
) -> list[ModuleSubset]:
    """All modules; the selected ones; each group alone; as far as options.kinds has them.

    Where the rule finds the variances not separated, the largest of log_sigma2 in growing number
    stand for the selected ones: what does each size cost in quality?
    """
    names = experiment.registry.names
    groups = dict(options.groups) or {name: [name] for name in names}
    found = [ModuleSubset("all modules", "all", names)]
    if selected:
        found.append(ModuleSubset("selected modules", "selected", tuple(selected)))
    elif len(log_sigma2) and "log_sigma2" in experiment.learned and "selected" in options.kinds:
        found += ranked(names, log_sigma2)
    found += [ModuleSubset(name, "single", tuple(modules)) for name, modules in groups.items()]
    return [subset for subset in found if subset.kind in (*options.kinds, "ranked")]


def ranked(names: Sequence[str], log_sigma2: Sequence[float]) -> list[ModuleSubset]:
    """The modules of the 1, 2, ... largest sigma^2, at most RANKED_SIZES such sets."""
    order = sorted(range(len(names)), key=lambda m: -log_sigma2[m])
    sizes = np.geomspace(1, max(len(names) - 1, 1), RANKED_SIZES).round().astype(int)
    if len(names) <= RANKED_SIZES:
        sizes = np.arange(1, len(names))
    return [
        ModuleSubset(
            f"the {count} largest σ²" if count > 1 else "the largest σ²",
            "ranked",
            tuple(names[m] for m in sorted(order[:count])),
        )
        for count in dict.fromkeys(sizes.tolist())
    ]


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


def adapt_subset(
    experiment: Experiment,
    meta: MetaParams,
    subset: ModuleSubset,
    *,
    options: EvalOptions,
    evaluator_of: Callable[..., HeldOutEvaluator],
    parts: EvaluationParts | None = None,
    **how: Any,
) -> tuple[Curves, int]:
    """The curves of a subset and the number of held-out tasks behind them.

    Single groups may have fewer tasks and a shorter horizon, and no inductive metric.

    Args:
      evaluator_of: of heldout_evaluators. parts: where adapted tasks are kept.
      how: further arguments of HeldOutEvaluator.curves.
    """
    count, last = extent(experiment, subset, options)
    steps, own = evaluated_steps(experiment, options, last), restrict(meta, experiment, subset)
    inductive = options.inductive and subset.kind != "single"
    if parts is not None:
        how["keep"] = parts.keep(own, steps, inductive)
    return evaluator_of(subset, inductive).curves(own, count=count, steps=steps, **how), count


def extent(experiment: Experiment, subset: ModuleSubset, options: EvalOptions) -> tuple[int, int]:
    """(held-out tasks, adaptation steps of each) of a subset."""
    steps = quoted_steps(experiment, options)
    if subset.kind == "single":
        return options.group_tasks or options.num_tasks, steps * options.group_horizon
    return options.num_tasks, steps * options.horizon


def require_possible(experiment: Experiment, options: EvalOptions) -> None:
    """Refuses what would fail only after hours of adaptation, or count a task twice.

    Raises:
      UsageError: more tasks than there are; moments of training data that are no batch.
    """
    alone, source = "single" in options.kinds, experiment.source
    if set(options.kinds) != {"single"} or not options.group_tasks:
        require_tasks(source, options.num_tasks)
    if alone:
        require_tasks(source, options.group_tasks, setting="eval.group_tasks")
    require_tasks(source, options.examples, setting="eval.examples")
    if options.inductive and source.draw is not None:
        raise UsageError(
            "eval.inductive takes batch-norm moments of the training data of a task, but this "
            "task draws pieces of recordings and has no batch of all of them: set it to False."
        )


def restrict(meta: MetaParams, experiment: Experiment, subset: ModuleSubset) -> MetaParams:
    """Phi under which only the modules of the subset adapt."""
    if subset.kind == "all":
        return meta
    return freeze_others(meta, experiment.registry, subset.modules)


def heldout_evaluators(
    experiment: Experiment, strategy: tf.distribute.Strategy | None = None
) -> Callable[..., HeldOutEvaluator]:
    """(subset, inductive=False) -> held-out tasks for a subset, each compiled once.

    Without XLA, frozen modules are left out of the graph: no gradient is computed for them. With
    XLA one compiled function serves every subset, and sigma^2 = 0 freezes.
    """

    @cache
    def evaluator(modules: tuple[str, ...] | None, inductive: bool) -> HeldOutEvaluator:
        return experiment.held_out(modules, inductive=inductive, strategy=strategy)

    def evaluator_of(subset: ModuleSubset, inductive: bool = False) -> HeldOutEvaluator:
        return evaluator(None if experiment.jit else subset.modules, inductive)

    return evaluator_of


def quoted_steps(experiment: Experiment, options: EvalOptions) -> int:
    """The number of adaptation steps at which results are quoted."""
    return options.steps or experiment.adapt.steps


def evaluated_steps(experiment: Experiment, options: EvalOptions, last: int) -> list[int]:
    """Recorded adaptation steps up to `last`, those of meta-training and those quoted included."""
    wanted = {experiment.adapt.steps, quoted_steps(experiment, options)}
    return sorted(
        {*(step for step in wanted if step <= last), *recorded_steps(last, points=options.points)}
    )


def summary(subset: ModuleSubset, curves: Curves, num_tasks: int) -> dict[str, Any]:
    """The row of a subset in evaluation.json."""
    mean, ci95 = mean_and_ci95(curves.metric)
    row = {"name": subset.name, "kind": subset.kind, "modules": list(subset.modules)}
    row |= {"num_tasks": num_tasks, "steps": curves.steps, "mean": mean, "ci95": ci95}
    if len(curves.metrics) > 1:
        row["inductive_mean"], row["inductive_ci95"] = mean_and_ci95(curves.metrics[1])
    return row


def less_everything(curves: Curves, everything: Curves, step: int) -> dict[str, Any]:
    """The metric less that of adapting everything, after `step` steps, paired by task.

    Tasks differ by more than what adapts does, so this tells more than two intervals do.
    """
    count = min(len(curves.metric), len(everything.metric))  # Both have the first tasks.
    ours, theirs = (c.metric[:count, list(c.steps).index(step)] for c in (curves, everything))
    mean, ci95 = mean_and_ci95(ours - theirs)
    return {"step": step, "mean": mean, "ci95": ci95, "num_tasks": count}


def without_adaptation(curves: Curves) -> Curves:
    """Those of phi itself: step 0 of any curves."""
    start = [np.repeat(m[:, :1], len(curves.steps), axis=1) for m in curves.metrics]
    return curves._replace(metrics=start)
