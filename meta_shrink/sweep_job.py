"""Random search over a config's declared ranges, resumable and shareable between processes."""

from __future__ import annotations

import copy
import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from meta_shrink.errors import DivergedError, UsageError
from meta_shrink.experiment import build, call
from meta_shrink.run_files import to_json, write_atomically
from meta_shrink.training_job import train, validation
from meta_shrink.workdir import open_workdir

KINDS = ("log", "linear", "int", "choice")
JOURNAL = "trials.journal"


class Search(NamedTuple):
    """The `search` section.

    num_trials: settings to try. steps: meta-steps of each. space: rows (dotted config key, kind,
    low, high); for kind "choice" (key, kind, choices).
    """

    num_trials: int
    steps: int
    space: Sequence[Sequence[Any]]


def sweep(
    config: Mapping[str, Any], directory: str, *, log: Callable[[str], Any] = print
) -> optuna.Study:
    """Try settings until search.num_trials are done; best first in trials.json.

    Several processes may run the same sweep at once: they share its journal. A trial whose
    process died is tried again, from its own last checkpoint.

    Args:
      config: an experiment with a `search` section.
      directory: one workdir per trial, and the journal.

    Raises:
      UsageError: no search space, or a bad row in it.
      Preempted: stopped; the same command goes on.
    """
    search = call("search", Search, config["search"])
    _check(search, config)
    os.makedirs(directory, exist_ok=True)
    study = _open_study(directory, config)
    _retry_orphans(study, directory, log)
    while _count(study) < search.num_trials:
        trial = study.ask()
        settings = {row[0]: _suggest(trial, row) for row in search.space}
        log(f"Trial {trial.number}: {_readable(settings)}")
        value = _run(with_settings(config, settings, search.steps), directory, trial, log)
        done = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.tell(trial, value, state=done)
        _write_table(study, directory)
    return study


def with_settings(
    config: Mapping[str, Any], settings: Mapping[str, Any], steps: int
) -> dict[str, Any]:
    """A copy of the config with dotted keys set and train.steps = steps.

    Raises:
      UsageError: a key that the config does not have.
    """
    changed = copy.deepcopy(dict(config))
    for key, value in {**settings, "train.steps": steps}.items():
        *sections, name = key.split(".")
        place = changed
        for section in sections:
            place = place.get(section, {})
        if name not in place:
            raise UsageError(f"search.space has {key!r}, which the config does not have.")
        place[name] = value
    return changed


def _check(search: Search, config: Mapping[str, Any]) -> None:
    if not search.space or search.num_trials < 1 or search.steps < 1:
        raise UsageError(
            f"search has num_trials={search.num_trials}, steps={search.steps} and "
            f"{len(search.space)} ranges; expected at least 1 each."
        )
    for row in search.space:
        if len(row) < 3 or row[1] not in KINDS:
            raise UsageError(
                f"search.space row {list(row)}: expected (key, kind, low, high) with kind of "
                f"{', '.join(KINDS)}; (key, 'choice', choices)."
            )
        with_settings(config, {row[0]: 0}, search.steps)


def _open_study(directory: str, config: Mapping[str, Any]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(os.path.join(directory, JOURNAL)))
    lower = build(config).metric_facts.lower_is_better
    return optuna.create_study(
        study_name=config["name"],
        storage=storage,
        sampler=optuna.samplers.RandomSampler(),
        direction="minimize" if lower else "maximize",
        load_if_exists=True,
    )


def _suggest(trial: optuna.Trial, row: Sequence[Any]) -> Any:
    key, kind, *bounds = row
    if kind == "choice":
        return trial.suggest_categorical(key, list(bounds[0]))
    if kind == "int":
        return trial.suggest_int(key, *bounds, log=bounds[0] > 0)
    return trial.suggest_float(key, *bounds, log=kind == "log")


def _run(
    config: Mapping[str, Any], directory: str, trial: optuna.Trial, log: Callable[[str], Any]
) -> float | None:
    """The validation metric of one trial, None if it diverged or can not be built."""
    try:
        experiment = build(config)
        with open_workdir(_trial_dir(directory, trial.number), dict(config)) as workdir:
            training = train(experiment, workdir, log=log)
        value = validation(experiment, training.state)()["metric"]
    except (DivergedError, UsageError) as error:
        log(f"Trial {trial.number} failed: {error}")
        return None
    log(f"Trial {trial.number}: {experiment.metric_facts.name} {value:.4g}")
    return value if value == value else None


def _retry_orphans(study: optuna.Study, directory: str, log: Callable[[str], Any]) -> None:
    """Queue again the settings of trials that run nowhere: nobody holds their workdir's lock."""
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        if trial.params and not _is_locked(_trial_dir(directory, trial.number)):
            log(f"Trial {trial.number} was cut off; its settings are tried again.")
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            study.enqueue_trial(trial.params)


def _is_locked(path: str) -> bool:
    if not os.path.isdir(path):
        return False
    with open(os.path.join(path, ".lock"), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _count(study: optuna.Study) -> int:
    """Trials that are done, failed for good, or running in another process."""
    queued = (TrialState.WAITING,)
    cut_off = [t for t in study.trials if t.state in queued]
    return len(study.trials) - 2 * len(cut_off)


def _write_table(study: optuna.Study, directory: str) -> None:
    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    ranked = sorted(done, key=lambda t: sign * (t.value or 0.0))
    rows = [{"trial": t.number, "metric": t.value, "settings": t.params} for t in ranked]
    content = json.dumps(to_json(rows), indent=1) + "\n"
    write_atomically(os.path.join(directory, "trials.json"), content.encode())


def _trial_dir(directory: str, number: int) -> str:
    return os.path.join(directory, f"trial_{number:04d}")


def _readable(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    )
