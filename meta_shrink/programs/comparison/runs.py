"""The runs of a comparison: what is done already, their jobs, their progress, why one failed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meta_shrink.durable_files import from_json, to_json
from meta_shrink.errors import (
    EXIT_ARTEFACT,
    EXIT_OK,
    EXIT_PREEMPTED,
    ArtefactError,
    MetaShrinkError,
)
from meta_shrink.programs.comparison.declared import Run
from meta_shrink.programs.comparison.processes import COMMAND_MARK, Job
from meta_shrink.reporting import load_evaluation
from meta_shrink.runs.metrics_log import MetricsLog
from meta_shrink.runs.progress import format_duration
from meta_shrink.runs.workdir import read_config

LOG = "run.log"
SECONDS_BETWEEN_LINES = 60.0
IMPORTS_FLAG = "--imports="
NOT_OF_A_SET = ("--workdir=", IMPORTS_FLAG)  # flags that the set itself does not name
TRAINING_SHARE = 0.9  # of a run's time, for the time left; the rest is its evaluation


def workdir_of(run: Run, out: str) -> str:
    """The folder of a run."""
    return os.path.join(out, "runs", run.name)


def lacks(runs: Sequence[Run], out: str) -> dict[str, str]:
    """What each run still lacks by name, as `missing`; none but runs on the same data are compared.

    Of runs on the same task, those that recorded other data than the newest are not done: training
    refuses them. (The data themselves are read by the runs alone.)
    """
    found = {run.name: missing(run, out) for run in runs}
    newest = {}
    told = {run.name: _data_of(run, out) for run in runs}
    for run in sorted((run for run in runs if told[run.name]), key=lambda r: _recorded_at(r, out)):
        newest[_task_of(run)] = run.name
    for run in runs:
        other = newest.get(_task_of(run))
        if other and told[run.name] and told[run.name] != told[other] and not found[run.name]:
            found[run.name] = f"made with other data than {other}"
    return found


def on_other_data(runs: Sequence[Run], out: str, log: Callable[[str], Any] = print) -> list[Run]:
    """Of runs that are done, those whose data are no longer what they were trained on; read anew,
    once for each task."""
    with_data: dict[str, list[Run]] = {}
    for run in (run for run in runs if _data_of(run, out)):
        with_data.setdefault(_task_of(run), []).append(run)
    changed = []
    for alike in with_data.values():
        from meta_shrink.experiments.task_data import present_data  # Late: it loads TensorFlow.

        try:
            present = present_data(read_config(workdir_of(alike[0], out)))
        except MetaShrinkError as error:
            log(f"The data of {alike[0].name} were not looked at again: {error}")
            continue
        changed += [run for run in alike if _data_of(run, out) != present]
    return changed


def missing(run: Run, out: str) -> str:
    """What the run still lacks, in a few words; "" for a run that is done as the set has it."""
    workdir = workdir_of(run, out)
    try:
        recorded, evaluation = read_config(workdir), load_evaluation(workdir)
    except MetaShrinkError:
        return "not evaluated yet"
    if _without_data(recorded) != _without_data(from_json(to_json(run.config))):
        return "made with another config"
    if evaluation["meta_step"] < _steps_of(run):
        return f"evaluated at meta-step {evaluation['meta_step']}"
    words = str(evaluation["environment"].get("command", "")).split()
    given = {w for w in words if w.startswith("--") and not w.startswith(NOT_OF_A_SET)}
    return "" if given == set(run.evaluate) else "evaluated with other flags"


def _steps_of(run: Run) -> int:
    train = run.config.get("train", {})
    if "steps" in train:
        return train["steps"]
    from meta_shrink.experiments.defaults import Schedule  # Late: it loads TensorFlow.

    return Schedule().steps


def _without_data(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the hash of its data, which training adds to what a set says."""
    return {name: value for name, value in config.items() if name != "data"}


def _data_of(run: Run, out: str) -> str:
    """The hash of the data that a run recorded; "" where there is none."""
    try:
        return str(read_config(workdir_of(run, out)).get("data", ""))
    except MetaShrinkError:
        return ""


def _recorded_at(run: Run, out: str) -> float:
    return os.path.getmtime(os.path.join(workdir_of(run, out), "config.json"))


def _task_of(run: Run) -> str:
    return json.dumps(to_json(run.config.get("task")), sort_keys=True)


def job_of(run: Run, out: str) -> Job:
    """Train, then evaluate; both do at once what is done already."""
    workdir, python = workdir_of(run, out), [sys.executable, "-m", "meta_shrink"]
    imports = [f"{IMPORTS_FLAG}{name}" for name in run.config.get("imports", ())]
    train = [*python, "train", f"--workdir={workdir}", *imports, *run.train]
    evaluate = [*python, "evaluate", f"--workdir={workdir}", *imports, *run.evaluate]
    return Job(run.name, [train, evaluate], os.path.join(workdir, LOG))


def share_done(run: Run, out: str) -> float:
    """How much of a run that is not done yet is done, from the rows of its training."""
    rows = MetricsLog(os.path.join(workdir_of(run, out), "timing.jsonl"), read_only=True).rows()
    try:
        last = max((row["step"] for row in rows), default=0)
    except ArtefactError:
        last = 0
    steps = _steps_of(run)  # 0: its warm start is all that it learns.
    return TRAINING_SHARE * last / steps if steps else 0.0


def failure(run: Run, out: str, code: int) -> str:
    """Why a run failed, in one line: its error, else the last line that it printed."""
    log = os.path.join(workdir_of(run, out), LOG)
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    command = max(i for i, line in enumerate(lines) if line.startswith(COMMAND_MARK))
    said = lines[command + 1 :] or ["it printed nothing."]
    reason = [line for line in said if line.startswith("error: ")] or said
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    return f"{run.name} failed ({how}): {reason[-1].removeprefix('error: ')} See {log}."


class Board:
    """Prints how far the runs are: at every change, and once a minute."""

    def __init__(
        self,
        runs: Sequence[Run],
        out: str,
        *,
        done: int,
        clock: Callable[[], float] = time.monotonic,
        log: Callable[[str], Any] = print,
    ) -> None:
        self._runs, self._out, self._done = {run.name: run for run in runs}, out, done
        self._clock, self._log = clock, log
        self._start = clock(), sum(share_done(run, out) for run in runs)
        self._shown: tuple[list[str], int, float] = ([], 0, -SECONDS_BETWEEN_LINES)

    def watch(self, running: list[str], codes: dict[str, int]) -> None:
        """Print what has ended, and a line of numbers if one is due."""
        now, (before, ended, last) = self._clock(), self._shown
        if (running, len(codes)) == (before, ended) and now - last < SECONDS_BETWEEN_LINES:
            return
        self._shown = running, len(codes), now
        for name, code in list(codes.items())[ended:]:
            self._log(self._news(name, code))
        succeeded, stopped = (list(codes.values()).count(c) for c in (EXIT_OK, EXIT_PREEMPTED))
        self._log(
            f"{self._done + succeeded} of {self._done + len(self._runs)} runs done, "
            f"{len(running)} running, {len(codes) - succeeded - stopped} failed, "
            f"ETA {self._time_left(codes, now)}"
        )

    def _news(self, name: str, code: int) -> str:
        if code == EXIT_PREEMPTED:
            return f"{name}: stopped"
        return f"{name}: done" if code == EXIT_OK else failure(self._runs[name], self._out, code)

    def _time_left(self, codes: dict[str, int], now: float) -> str:
        """From the work that was done since the start, in runs; a failed one is no work left."""
        open_runs = [run for name, run in self._runs.items() if name not in codes]
        done = len(codes) + sum(share_done(run, self._out) for run in open_runs)
        rate = (done - self._start[1]) / max(now - self._start[0], 1e-9)
        return format_duration((len(self._runs) - done) / rate if rate > 0 else float("nan"))


def failures(codes: Sequence[int], chosen: int) -> MetaShrinkError:
    """The error of runs that ended with these codes, of so many; a full disk stays one."""
    text = f"{len(codes)} of {chosen} runs failed; the same command tries them again."
    return ArtefactError(text) if EXIT_ARTEFACT in codes else MetaShrinkError(text)
