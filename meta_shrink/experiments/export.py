"""From a trained workdir to a backbone, its held-out metrics, and its tasks as files."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import BackboneInfo
from meta_shrink.adapters.checks import prior_distance
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import parse_adapter
from meta_shrink.adapters.recipe import TARGET_WEIGHTS, TARGETS
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.source import input_specs
from meta_shrink.backbones.writing import save_backbone
from meta_shrink.durable_files import write_atomically
from meta_shrink.enrolment.task_adaptation import Adapted, TaskAdaptation
from meta_shrink.enrolment.task_files import Examples
from meta_shrink.errors import AdapterError, UsageError, first_names, unwritable
from meta_shrink.evaluation import recorded_steps, require_tasks
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.components import Components
from meta_shrink.experiments.export_source import source_from_workdir
from meta_shrink.experiments.restore import restore
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.runs.progress import Progress
from meta_shrink.task_axis import draw_tasks
from meta_shrink.tasks.example_arrays import HELDOUT
from meta_shrink.types import Batch, batch_parts

CURVE_POINTS = 8
MEASURED_TASKS, WRITTEN_TASKS = 20, 10
# Tasks to come may lie somewhat outside the range of those that were measured.
PLAUSIBLE_MARGIN = 2.0
Log = Callable[[str], Any]


def export_backbone(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    num_tasks: int | None = None,
    allow_operations: Collection[str] = (),
    stop_requested: Callable[[], bool] = lambda: False,
    log: Log = print,
    **selection: Any,
) -> BackboneInfo:
    """Write the backbone of a workdir, and measure it on held-out tasks as it will be served.

    Args:
      num_tasks: held-out tasks to adapt and serve for the README; 0: none, None: MEASURED_TASKS,
        or as many as there are.
      allow_operations: of Backbone.load.
      **selection: of source_from_workdir.

    Raises:
      UsageError, ArtefactError: of source_from_workdir and save_backbone, or more tasks than there
        are.
      Preempted: stopped on request; nothing is left behind.
    """
    source, experiment = source_from_workdir(workdir, log=log, **selection)
    count = _count(experiment, num_tasks, MEASURED_TASKS, "num_tasks")

    def measure(folder: str, info: BackboneInfo) -> dict[str, Any]:
        backbone = Backbone.load(folder, allow_operations=allow_operations)
        return measured(backbone, experiment, count, stop_requested, log)

    return save_backbone(source, out, measure=measure if count else None)


def _count(experiment: Experiment, asked: int | None, usual: int, setting: str) -> int:
    """How many held-out tasks: as many as asked for, else the usual number as far as there are."""
    if asked is None:
        return min(usual, experiment.source.num_heldout or usual)
    require_tasks(experiment.source, asked, setting=setting)
    return asked


def measured(
    backbone: Backbone,
    experiment: Experiment,
    num_tasks: int,
    stop_requested: Callable[[], bool] = lambda: False,
    log: Log = print,
) -> dict[str, Any]:
    """The fields "metrics" and "plausible" of the info, from the held-out tasks that adapt."""
    adapt, default = TaskAdaptation(backbone), backbone.default.tensors
    record = recorded_steps(adapt.steps, points=CURVE_POINTS)
    curves: list[Adapted] = []
    distances: dict[str, list[float]] = {}
    with Progress(num_tasks, label="held-out tasks") as progress:
        for index, (train, heldout) in enumerate(heldout_tasks(experiment, num_tasks)):
            adapted = adapt(
                train, heldout, record=record, seed=index, stop_requested=stop_requested
            )
            progress.update(index + 1)
            facts = TaskFacts("", train.count, adapted.steps, index)
            try:
                adapter = parse_adapter(backbone.seal(adapted.tensors, facts), backbone.info)
            except AdapterError:  # Of numbers that no adapter may have.
                continue
            if not np.isfinite(list(adapted.curve.values())).all():
                continue
            curves.append(adapted)
            for module, distance in prior_distance(adapter, backbone.info, default).items():
                distances.setdefault(module, []).append(distance)
    if diverged := num_tasks - len(curves):
        log(
            f"{diverged} of {num_tasks} held-out tasks diverged and are left out of the metrics: "
            "look at their data, or adapt with fewer steps."
        )
    if not curves:
        return {}
    mean, ci95 = mean_and_ci95(np.array([list(adapted.curve.values()) for adapted in curves]))
    metrics = {
        "name": experiment.metric_facts.name,
        "num_tasks": len(curves),
        "steps": list(curves[0].curve),
        "mean": mean.tolist(),
        "ci95": np.nan_to_num(ci95).tolist(),
    }
    plausible = {
        module: (min(found) / PLAUSIBLE_MARGIN, max(found) * PLAUSIBLE_MARGIN)
        for module, found in distances.items()
    }
    return {"metrics": metrics, "plausible": plausible}


def heldout_tasks(experiment: Experiment, count: int) -> Iterator[tuple[Examples, Examples]]:
    """(train, heldout) examples of the first held-out tasks, one after another."""
    sample = tf.function(
        draw_tasks(experiment.source.heldout, "sequential"),
        autograph=False,
    )
    names = [spec.name for spec in input_specs(experiment.model)]
    for index in range(count):
        task = sample(tf.constant([index]))
        task = tf.nest.map_structure(lambda x: x[0].numpy(), task)
        train = experiment.source.pieces(task.train) if experiment.source.pieces else task.train
        yield _examples(train, names), _examples(task.val, names)


def _examples(batch: Batch, names: Sequence[str]) -> Examples:
    """The examples of a batch without its padding; names: of the inputs."""
    given, targets, weights = batch_parts(tf.nest.map_structure(np.asarray, batch))
    flat = tf.nest.flatten(given)
    inputs = given if isinstance(given, Mapping) else dict(zip(names, flat, strict=True))
    if weights is None:
        return Examples(inputs, targets)
    there = (weights > 0).reshape(len(weights), -1).any(axis=1)
    inputs = {key: value[there] for key, value in inputs.items()}
    if weights.ndim > 1:
        return Examples(inputs, {TARGETS: targets[there], TARGET_WEIGHTS: weights[there]})
    if len(np.unique(weights[there])) > 1:
        raise UsageError(
            "The examples of a held-out task have different weights, which adaptation by a "
            "backbone does not know: export without held-out tasks (--num_tasks=0)."
        )
    return Examples(inputs, targets[there])


def write_tasks(
    workdir: str,
    out: str,
    *,
    count: int | None = None,
    components: Components | None = None,
    log: Log = print,
) -> list[str]:
    """Held-out tasks of a workdir as NPZ files that meta-shrink adapt reads; their paths.

    Args:
      count: how many; None: WRITTEN_TASKS, or as many as there are.

    Raises:
      UsageError, ArtefactError: no such workdir or checkpoint, more tasks than there are, a folder
        that holds other tasks, or a file that cannot be written.
    """
    experiment, _, _ = restore(workdir, components, log=log)
    total = _count(experiment, count, WRITTEN_TASKS, "count")
    paths = [os.path.join(out, f"task_{index:04}.npz") for index in range(total)]
    _check_tasks(out, paths)
    for path, (train, heldout) in zip(paths, heldout_tasks(experiment, total), strict=True):
        arrays: dict[str, Any] = {
            **train.arrays,
            **{HELDOUT + k: value for k, value in heldout.arrays.items()},
        }
        content = io.BytesIO()
        np.savez(content, **arrays)
        try:
            os.makedirs(out, exist_ok=True)
            write_atomically(path, content.getvalue())
        except OSError as error:
            raise unwritable(path, error) from error
    return paths


def _check_tasks(out: str, paths: Sequence[str]) -> None:
    """No task stays in the folder beside these: adapt would take it for one of them."""
    there = glob.glob(os.path.join(glob.escape(out), "*.npz"))
    if others := sorted(map(os.path.basename, set(there) - set(paths))):
        raise UsageError(
            f"{out} holds {len(others)} other task(s), which adapt would take for tasks of this "
            f"run: {first_names(others)}; choose another folder, "
            "or remove them."
        )
