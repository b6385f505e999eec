"""Adapters for one task or a folder of tasks, each written as soon as it is done.

OUT/<id>.safetensors   the adapters
OUT/index.json         {name of the task: id}, what a server reads
OUT/tasks.json         {name of the task: how it was adapted, held-out metric by steps}
OUT/tasks.jsonl        tasks that are done and not yet in the two (`finished_tasks`)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.adapters.checks import implausible
from meta_shrink.adapters.index import INDEX_FILE, is_alias
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import SUFFIX
from meta_shrink.adapters.writing import write_adapter
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.durable_files import remove_leftovers
from meta_shrink.enrolment.finished_tasks import TASKS_FILE, FinishedTasks
from meta_shrink.enrolment.task_adaptation import Adapted, TaskAdaptation
from meta_shrink.enrolment.task_files import TaskFiles, given_tasks, read_task, task_paths
from meta_shrink.errors import DataError, unwritable
from meta_shrink.evaluation import recorded_steps
from meta_shrink.runs.locks import only_process_in
from meta_shrink.runs.progress import Progress


class AdaptOptions(NamedTuple):
    """How tasks are adapted.

    steps: 0 is the backbone's own. seed: of mini-batches and augmentation. encoding: of the files.
    points: about as many steps at which the held-out metric is recorded. early_stop: end after
    this many records without a better one; 0: never. num_heldout: pictures of each class kept for
    the metric. consent, licence: text for the files.
    """

    steps: int = 0
    seed: int = 0
    encoding: str = "f32"
    points: int = 8
    early_stop: int = 0
    num_heldout: int = 0
    consent: str = ""
    licence: str = ""


def adapt_tasks(
    backbone: Backbone,
    data: str | Mapping[Any, Any],
    out: str,
    options: AdaptOptions | None = None,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
    log: Callable[[str], Any] = print,
) -> dict[str, dict[str, Any]]:
    """Write an adapter for each task in `data` that has none yet; the content of tasks.json.

    A task is done again where its data, the backbone or an option changed.

    Args:
      data: a task's file, a folder of tasks, or {name: (inputs, targets)}
        (user_tasks.task_examples). Names become the aliases of the adapters.

    Raises:
      UsageError: an option out of range, or a folder that another process uses.
      DataError: no task, or one that is damaged; those before it are kept.
      Preempted: stopped on request; finished tasks are kept.
    """
    options = options or AdaptOptions()
    read = _readers(backbone, data, options, log)
    for name in read:
        if not is_alias(name):
            raise DataError(
                f"The task {name!r} needs another name: 1 to 64 of A-Z a-z 0-9 . _ -, "
                "and no id of an adapter."
            )
    try:
        os.makedirs(out, exist_ok=True)
        with only_process_in(out):
            remove_leftovers(out, f"*{SUFFIX}", TASKS_FILE, INDEX_FILE)
            return _adapt_all(backbone, read, out, options, stop_requested, log)
    except OSError as error:
        raise unwritable(out, error) from error


def _readers(
    backbone: Backbone, data: Any, options: AdaptOptions, log: Callable[[str], Any]
) -> dict[str, Callable[[], TaskFiles]]:
    """What reads each task; those in memory are checked at once, files when their turn comes."""
    if not isinstance(data, (str, os.PathLike)):
        given = given_tasks(data, backbone.info)
        return {name: partial(given.__getitem__, name) for name in given}
    return {
        name: partial(read_task, path, backbone.info, num_heldout=options.num_heldout, log=log)
        for name, path in task_paths(os.fspath(data), log=log).items()
    }


def _adapt_all(backbone, read, out, options: AdaptOptions, stop_requested, log):
    adapt = TaskAdaptation(backbone)
    steps = options.steps or adapt.steps
    with Progress(len(read) * steps, label="adaptation") as progress, FinishedTasks(out) as done:
        for number, (name, read_one) in enumerate(read.items()):
            task = read_one()
            settings = _settings(backbone, task, options)
            if _is_done(out, done.rows.get(name), settings):
                progress.update((number + 1) * steps)
                continue
            adapted = adapt(
                task.train,
                task.heldout,
                steps=steps,
                seed=options.seed,
                record=recorded_steps(steps, points=options.points),
                early_stop=options.early_stop,
                stop_requested=stop_requested,
                told=lambda step, first=number * steps: progress.update(first + step),
            )
            row = _write(backbone, out, task, adapted, options) | {"settings": settings}
            done.add(name, row)
            if adapted.steps < steps:  # Stopped early; otherwise the last step has told.
                progress.update((number + 1) * steps)
            if row["unusual"]:
                log(
                    f"{name}: {', '.join(row['unusual'])} lie farther from the backbone, or "
                    "nearer, than in any task that it was measured on; look at the data."
                )
    return {name: done.rows[name] for name in read}


def _settings(backbone: Backbone, task: TaskFiles, options: AdaptOptions) -> str:
    """A hash of all that decides the adapter."""
    return sha256(canonical([backbone.info.fingerprint, task.sha256, options._asdict()]))


def _is_done(out: str, entry: Mapping[str, Any] | None, settings: str) -> bool:
    if entry is None or entry["settings"] != settings:
        return False
    return os.path.isfile(os.path.join(out, entry["adapter"] + SUFFIX))


def _write(backbone: Backbone, out: str, task: TaskFiles, adapted: Adapted, options: AdaptOptions):
    """Write one adapter, load it as a server will, and return its row of tasks.json."""
    # No name: the file may go where nobody should know whose it is.
    facts = TaskFacts("", task.train.count, adapted.steps, options.seed)
    content = backbone.seal(
        adapted.tensors,
        facts,
        encoding=options.encoding,
        consent=options.consent,
        licence=options.licence,
    )
    path = write_adapter(content, out)
    adapter = backbone.load_adapter(path)
    return {
        "adapter": adapter.id,
        "bytes": adapter.num_bytes,
        "examples": facts.examples,
        "steps": adapted.steps,
        "classes": list(task.classes),
        "metric": {str(step): value for step, value in adapted.curve.items()},
        "unusual": implausible(adapter, backbone.info, backbone.default.tensors),
    }


def mean_curve(tasks: Mapping[str, Mapping[str, Any]]) -> list[tuple[int, float, int]]:
    """(steps, mean held-out metric, number of tasks) over all tasks that have one."""
    values: dict[int, list[float]] = {}
    for entry in tasks.values():
        for step, value in entry["metric"].items():
            values.setdefault(int(step), []).append(value)
    return [(step, float(np.mean(found)), len(found)) for step, found in sorted(values.items())]
