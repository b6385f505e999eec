"""Adapters for one task or a folder of tasks, each written as soon as it is done.

OUT/<id>.safetensors   the adapters
OUT/index.json         {name of the task: id}, what a server reads
OUT/tasks.json         {name of the task: how it was adapted, held-out metric by steps}
OUT/tasks.jsonl        tasks that are done and not yet in the two (`finished_tasks`)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from meta_shrink.adapters.canonical_json import canonical, sha256
from meta_shrink.adapters.index import INDEX_FILE, is_alias
from meta_shrink.adapters.manifest import TaskFacts
from meta_shrink.adapters.reading import SUFFIX
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.durable_files import real_directory, remove_leftovers
from meta_shrink.enrolment.finished_tasks import TASKS_FILE, FinishedTasks, check_others
from meta_shrink.enrolment.helpers import Named, Rows, adapted_by_helpers
from meta_shrink.enrolment.one_task import AdaptOptions, OneTask, check_options, sealing
from meta_shrink.enrolment.task_files import TaskFiles, given_tasks, read_task, task_paths
from meta_shrink.errors import DataError, UsageError, one_line, unwritable
from meta_shrink.losses import METRICS
from meta_shrink.runs.locks import only_process_in
from meta_shrink.runs.processes import check_processes
from meta_shrink.runs.progress import Progress


class UnreadTask(NamedTuple):
    """A task that takes long to read, of which a hash is known before: of all that decides it.

    read: its TaskFiles, of whatever hash; raises DataError.
    """

    sha256: str
    read: Callable[[], TaskFiles]


def adapt_tasks(
    backbone: Backbone,
    data: str | os.PathLike[str] | Mapping[Any, Any],
    out: str | os.PathLike[str],
    options: AdaptOptions | None = None,
    *,
    processes: int = 1,
    left_out: dict[str, str] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    log: Callable[[str], Any] = print,
) -> dict[str, dict[str, Any]]:
    """Write an adapter for each task in `data` that has none yet; the content of tasks.json.

    A task is done again where its data, the backbone or an option changed. One that cannot be read
    or whose adaptation diverges is left out, and named when the others are done.

    Args:
      data: a task's file, a folder of tasks, or {name: (inputs, targets)}
        (user_tasks.task_examples) or {name: UnreadTask}. Names become the aliases of the adapters.
      processes: that adapt tasks at a time, each on a GPU of its own where there are any, whose
        memory this one must leave to them; the adapters are the same.
      left_out: where given, {task: why} is put there instead of raised.

    Raises:
      UsageError: an option out of range, a folder that another process uses, or one that has
        other tasks' adapters of another backbone.
      DataError: no task, or some are damaged or diverge; the others are finished and kept.
      Preempted: stopped on request, or a process was killed; finished tasks are kept.
    """
    check_processes(processes)
    options, out = options or AdaptOptions(), os.fspath(out)
    check_options(options)
    _check_backbone(backbone, options)
    read = _readers(backbone, data, options, log)
    check_task_names(read)
    try:
        real_directory(out)
        with only_process_in(out):
            check_others(out, read, backbone.info)
            remove_leftovers(out, f"*{SUFFIX}", TASKS_FILE, INDEX_FILE)
            found = dict[str, str]() if left_out is None else left_out
            done = _adapt_all(backbone, read, out, options, processes, found, stop_requested, log)
    except OSError as error:
        raise unwritable(out, error) from error
    if found and left_out is None:
        raise left_out_error(found, len(read))
    return done


def _check_backbone(backbone: Backbone, options: AdaptOptions) -> None:
    """Whether its adapters can be made, before any is.

    Raises:
      UsageError: there is no metric to stop early by.
      AdapterError: of Backbone.seal: they would have too many tensors.
    """
    if options.early_stop and backbone.info.adaptation.metric not in METRICS:
        raise UsageError(
            "Early stopping needs a metric, and this backbone has none: adapt without."
        )
    backbone.seal(backbone.default.tensors, TaskFacts("", 0, 0, 0), **sealing(options))


def left_out_error(left_out: Mapping[str, str], count: int) -> DataError:
    """The error of {task: why} of so many; what is done is done, and the rest can be mended."""
    told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
    return DataError(
        f"{len(left_out)} of {count} were left out, and the same command does them once they are "
        f"mended: {told}"
    )


def check_task_names(names: Iterable[str]) -> None:
    """Names of tasks become the aliases of adapters.

    Raises:
      DataError: one cannot.
    """
    for name in names:
        if not is_alias(name):
            raise DataError(
                f"The task {name!r} needs another name: 1 to 64 of A-Z a-z 0-9 . _ -, "
                "and no id of an adapter."
            )


def _readers(
    backbone: Backbone, data: Any, options: AdaptOptions, log: Callable[[str], Any]
) -> dict[str, Callable[[], TaskFiles | UnreadTask]]:
    """What reads each task; those in memory are checked at once, files when their turn comes."""
    if not isinstance(data, (str, os.PathLike)):
        if options.num_heldout:
            raise UsageError(
                f"num_heldout is {options.num_heldout}, which is of folders of pictures: of tasks "
                "that are given as arrays, those named heldout_ are held out."
            )
        if data and all(isinstance(task, UnreadTask) for task in data.values()):
            return {name: partial(data.__getitem__, name) for name in data}
        given = given_tasks(data, backbone.info)
        return {name: partial(given.__getitem__, name) for name in given}
    return {
        name: partial(read_task, path, backbone.info, num_heldout=options.num_heldout, log=log)
        for name, path in task_paths(os.fspath(data), log=log).items()
    }


class _Steps:
    """The progress of all tasks together, in adaptation steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._of, self._sum = progress, dict[str, int](), 0

    def __call__(self, name: str, step: int) -> None:
        self._sum += step - self._of.get(name, 0)
        self._of[name] = step
        self._progress.update(self._sum)


def _adapt_all(
    backbone, read, out, options: AdaptOptions, processes, left_out, stop_requested, log
):
    steps = options.steps or backbone.info.adaptation.steps
    with Progress(len(read) * steps, label="adaptation") as progress, FinishedTasks(out) as done:
        told, settings = _Steps(progress), dict[str, str]()

        def leave_out(name: str, error: DataError) -> None:
            left_out[name] = str(error)
            log(one_line(f"left out: {name}: {error}"))
            if name in done.rows:
                log(f"{name}: its former adapter {done.rows[name]['adapter'][:12]} stays.")
            told(name, steps)

        def to_do() -> Iterator[Named]:
            for name, read_one in read.items():
                try:
                    task = read_one()
                    settings[name] = _settings(backbone, task, options)
                    if _is_done(out, done.rows.get(name), settings[name]):
                        told(name, steps)
                        continue
                    task = task.read() if isinstance(task, UnreadTask) else task
                    _tell_replaced(name, done.rows.get(name), settings[name], log)
                except DataError as error:
                    leave_out(name, error)
                else:
                    yield name, task

        how = {"stop_requested": stop_requested, "told": told}
        if processes == 1:
            rows = _one_by_one(OneTask(backbone, out, options), to_do(), **how)
        else:
            rows = adapted_by_helpers(backbone, to_do(), out, options, processes=processes, **how)
        with contextlib.closing(rows):  # Helpers end now, not when an error has been told.
            for name, row in rows:
                if isinstance(row, DataError):
                    leave_out(name, row)
                    continue
                done.add(name, row | {"settings": settings[name]})
                told(name, steps)  # It may have stopped early.
                if row["unusual"]:
                    log(
                        f"{name}: {', '.join(row['unusual'])} lie farther from the backbone, or "
                        "nearer, than in any task that it was measured on; look at the data."
                    )
    return {name: done.rows[name] for name in read if name not in left_out}


def _tell_replaced(name: str, entry: Mapping[str, Any] | None, settings: str, log) -> None:
    """An alias changes hands: a second person of one name would take the first one's."""
    if entry is not None and entry["settings"] != settings:
        log(
            f"{name}: its adapter {entry['adapter'][:12]} is replaced, as its data, the backbone "
            "or an option are others now."
        )


def _one_by_one(adapt: OneTask, tasks: Iterator[Named], *, stop_requested, told) -> Rows:
    for name, task in tasks:
        try:
            row = adapt(task, stop_requested=stop_requested, told=partial(told, name))
        except DataError as error:
            row = error
        yield name, row


def _settings(backbone: Backbone, task: TaskFiles | UnreadTask, options: AdaptOptions) -> str:
    """A hash of all that decides the adapter."""
    return sha256(canonical([backbone.info.fingerprint, task.sha256, options._asdict()]))


def _is_done(out: str, entry: Mapping[str, Any] | None, settings: str) -> bool:
    if entry is None or entry["settings"] != settings:
        return False
    path = os.path.join(out, entry["adapter"] + SUFFIX)
    # Cut off or emptied by somebody, it is made again.
    return os.path.isfile(path) and os.path.getsize(path) == entry.get("bytes")


def mean_curve(tasks: Mapping[str, Mapping[str, Any]]) -> list[tuple[int, float, int]]:
    """(steps, mean held-out metric, number of tasks) over all tasks that have one."""
    values: dict[int, list[float]] = {}
    for entry in tasks.values():
        for step, value in entry["metric"].items():
            values.setdefault(int(step), []).append(value)
    return [(step, float(np.mean(found)), len(found)) for step, found in sorted(values.items())]
