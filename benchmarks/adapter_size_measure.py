"""Adapters of several sizes of one trained run: adapted, encoded, loaded and served as in use."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import Adapter
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.source import ExportSource
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.enrolment.task_adaptation import TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.errors import UsageError
from meta_shrink.experiments.export import heldout_tasks
from meta_shrink.experiments.export_source import Exported, source_from_workdir
from meta_shrink.losses import LOSSES, METRICS, MetricFacts
from meta_shrink.prior import Selection, task_specific
from meta_shrink.runs.progress import Progress
from meta_shrink.runs.workdir import read_config
from meta_shrink.sections import named


class Size(NamedTuple):
    """The adapters that hold some modules, over T tasks.

    last: whether no shared module follows a task-specific one. chosen: whether the run's config
    selects these modules. metric, num_bytes: {encoding: [T]}. seconds: [T] of an adaptation step.
    """

    modules: tuple[str, ...]
    share: float
    last: bool
    chosen: bool
    metric: Mapping[str, np.ndarray]
    num_bytes: Mapping[str, np.ndarray]
    seconds: np.ndarray


class Study(NamedTuple):
    """All sizes of one run, the smallest first; the last one adapts all modules."""

    name: str
    seed: int
    metric: MetricFacts
    steps: int
    sizes: list[Size]


class Case(NamedTuple):
    """A selection, its backbone, and what adapts tasks with it."""

    selection: Selection
    backbone: Backbone
    adapt: TaskAdaptation


class Result(NamedTuple):
    """Of one task: {encoding: number} of both, and seconds of an adaptation step."""

    metric: dict[str, float]
    num_bytes: dict[str, int]
    seconds: float


def study(
    workdir: str,
    *,
    ks: Sequence[int],
    encodings: Sequence[str],
    num_tasks: int,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Study:
    """Measure the k modules of largest sigma^2 for each k, those of the config, and all.

    The cases take turns task by task, so that a busy machine slows all of them.

    Raises:
      UsageError, ArtefactError: of source_from_workdir; sigma^2 was not learned.
      Preempted: a stop was requested.
    """
    if "log_sigma2" not in read_config(workdir)["meta_optimizer"]:
        raise UsageError(f"{workdir} did not learn sigma^2, so nothing ranks its modules by it.")
    exported = source_from_workdir(workdir, rule="top_k", value=1)
    chosen = source_from_workdir(workdir, log=lambda _: None).source.selection
    with tempfile.TemporaryDirectory() as folder:
        cases = export_cases(exported.source, {*ks, len(chosen.modules)}, folder)
        rows = _measure(cases, exported, encodings, num_tasks, folder, stop_requested)
    config, names = exported.experiment.config, exported.source.registry.names
    return Study(
        name=config["name"],
        seed=config["seed"],
        metric=exported.experiment.metric_facts,
        steps=cases[0].adapt.steps,
        sizes=[
            _size(case.selection, row, names, chosen) for case, row in zip(cases, rows, strict=True)
        ],
    )


def export_cases(source: ExportSource, counts: set[int], folder: str) -> list[Case]:
    """A loaded backbone for each number of modules and for all of them, the smallest first."""
    total = source.registry.num_modules
    sigma2 = np.exp(np.asarray(source.meta.log_sigma2, np.float64)).tolist()
    cases = []
    for count in sorted({min(count, total) for count in counts} | {total}):
        selection = task_specific(sigma2, source.registry, rule="top_k", value=count)
        path = os.path.join(folder, f"top_{count}")
        save_backbone(source._replace(selection=selection), path)
        backbone = Backbone.load(path)
        cases.append(Case(selection, backbone, TaskAdaptation(backbone)))
    return cases


def _measure(cases, exported: Exported, encodings, num_tasks, folder, stop_requested):
    """The results of each case, [cases][tasks]."""
    rows: list[list[Result]] = [[] for _ in cases]
    with Progress(num_tasks * len(cases), label="adapters") as progress:
        for index, task in enumerate(heldout_tasks(exported.experiment, num_tasks)):
            for turn in range(len(cases)):
                number = (index + turn) % len(cases)
                one = one_task(cases[number], *task, index, encodings, folder, stop_requested)
                rows[number].append(one)
                progress.update(index * len(cases) + turn + 1)
    return rows


def one_task(
    case: Case,
    train: Examples,
    heldout: Examples,
    seed: int,
    encodings: Sequence[str],
    folder: str,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Result:
    """Adapt once; then a file, loaded and served, in each encoding."""
    pieces: list[tuple[int, float]] = []
    adapted = case.adapt(
        train,
        seed=seed,
        stop_requested=stop_requested,
        told=lambda step: pieces.append((step, time.perf_counter())),
    )
    facts = TaskFacts(f"task_{seed}", len(train.targets), adapted.steps, seed)
    metric, num_bytes = {}, {}
    for encoding in encodings:
        content = case.backbone.seal(adapted.tensors, facts, encoding=encoding)
        adapter = case.backbone.load_adapter(write_adapter(content, folder))
        metric[encoding], num_bytes[encoding] = score(case, adapter, heldout), len(content)
    return Result(metric, num_bytes, _seconds_per_step(pieces))


def _seconds_per_step(pieces: Sequence[tuple[int, float]]) -> float:
    """Without the first step, which traces where a task has a new shape; NaN for a single step."""
    (first, start), (last, end) = pieces[0], pieces[-1]
    return (end - start) / (last - first) if last > first else float("nan")


def score(case: Case, adapter: Adapter, heldout: Examples) -> float:
    """The metric of what is served for held-out examples."""
    recipe = case.backbone.info.adaptation
    outputs = case.backbone.predict(heldout.inputs, adapter)["outputs"]
    metric = METRICS[recipe.metric].example(named("loss", LOSSES, recipe.loss))
    return float(tf.reduce_mean(metric(tf.constant(heldout.targets), tf.constant(outputs))))


def _size(selection: Selection, results: list[Result], names, chosen: Selection) -> Size:
    def column(field: str) -> dict[str, np.ndarray]:
        dicts = [getattr(result, field) for result in results]
        return {encoding: np.array([one[encoding] for one in dicts]) for encoding in dicts[0]}

    return Size(
        modules=selection.modules,
        share=selection.share,
        last=selection.modules == tuple(names[-len(selection.modules) :]),
        chosen=selection.modules == chosen.modules,
        metric=column("metric"),
        num_bytes=column("num_bytes"),
        seconds=np.array([result.seconds for result in results]),
    )
