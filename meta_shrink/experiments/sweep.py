"""Search over a config's declared ranges, resumable and shareable between processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
import tensorflow as tf
from optuna.trial import TrialState

from meta_shrink.durable_files import real_directory, to_json, write_atomically
from meta_shrink.errors import (
    ArtefactError,
    DivergedError,
    InUseError,
    Preempted,
    UsageError,
    unwritable,
)
from meta_shrink.experiments.build import build
from meta_shrink.experiments.components import Components
from meta_shrink.experiments.defaults import Schedule
from meta_shrink.experiments.sweep_journal import open_study
from meta_shrink.experiments.sweep_space import (
    Search,
    check_shares,
    distribution_of,
    search_of,
    with_settings,
)
from meta_shrink.experiments.sweep_trials import (
    LOOKS,
    PRUNERS,
    SAMPLERS,
    WatchedRows,
    claim_trial,
    trial_dir,
)
from meta_shrink.experiments.train import check_trainable, train, validation
from meta_shrink.runs.workdir import Workdir, open_workdir
from meta_shrink.sections import choose


def sweep(
    config: Mapping[str, Any],
    directory: str | os.PathLike[str],
    *,
    components: Components | None = None,
    strategy: tf.distribute.Strategy | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    log: Callable[[str], Any] = print,
    stop_requested: Callable[[], bool] = lambda: False,
) -> optuna.Study:
    """Try settings until search.num_trials are done; best first in trials.json.

    Several processes may run the same sweep at once: they share its journal. A trial whose
    process died goes on from its own last checkpoint. A search in one process tries the same
    settings however often it is killed; with several, TPE learns from what happens to be done.

    Args:
      config: an experiment with a `search` section.
      directory: one workdir per trial, and the journal.
      components: of build.
      strategy: each trial trains and validates on all of its replicas.
      sampler: "tpe", which learns from the trials before, or "random".
      pruner: "median" ends a trial that is worse than half of the others were at that meta-step
        (with train.eval_every 0 it looks four times), or "none".
      stop_requested: asked between trials; within one, train has its own signals.

    Raises:
      UsageError: no search space, a bad row in it, a meta-batch that the replicas cannot share, a
        strategy of several processes, a directory that cannot be written, or one of a search with
        another config or on other data.
      ArtefactError: a full disk, or a journal that is damaged; what is not done goes on later.
      Preempted: stopped; the same command goes on.
    """
    strategy = strategy or tf.distribute.get_strategy()
    search = search_of(config)
    choose("sampler", SAMPLERS, sampler)
    choose("pruner", PRUNERS, pruner)
    # Every trial is evaluated: what that needs is asked for before the first.
    built = build(with_settings(config, {"train.eval_every": 1}, search.steps), components)
    check_shares(search, config, strategy)
    try:
        how = {"sampler": sampler, "pruner": pruner}
        recorded = {**built.config, **config, "search": config["search"] | how}  # data too
        study = open_study(directory, recorded, built.metric_facts.lower_is_better)
        study.pruner = PRUNERS[pruner]()
        run = partial(_run, components=components, strategy=strategy, directory=directory, log=log)
        return _try_settings(study, search, config, directory, how, run, log, stop_requested)
    except OSError as error:
        raise unwritable(os.fspath(directory), error) from error


def _try_settings(
    study: optuna.Study,
    search: Search,
    config,
    directory: str | os.PathLike[str],
    how: Mapping[str, str],
    run: Callable[..., float | None],
    log,
    stop_requested,
):
    ranges = {row[0]: distribution_of(row) for row in search.space}
    which = {"sampler": how["sampler"], "seed": config["seed"]}
    every = config["train"].get("eval_every", Schedule().eval_every)
    if how["pruner"] != "none":
        every = every or search.steps // LOOKS + 1
    while claimed := claim_trial(study, ranges, search.num_trials, directory, **which):
        trial, claim = claimed
        with claim:
            log(f"Trial {trial.number}: {_readable(trial.params)}")
            settings = {"train.eval_every": every, **trial.params}
            value, state = None, TrialState.PRUNED
            try:
                value = run(with_settings(config, settings, search.steps), trial=trial)
                state = TrialState.FAIL if value is None else TrialState.COMPLETE
            except optuna.TrialPruned as told:
                log(f"Trial {trial.number} ended early: {told}")
            # Finished already: by a process that ended between our two looks at it.
            study.tell(trial.number, value, state=state, skip_if_finished=True)
            _write_table(study, directory)
        if stop_requested():
            raise Preempted("Stopped between trials; the same command goes on.")
    _write_table(study, directory)  # The last one may have been killed before it did.
    return study


def _run(
    config: Mapping[str, Any],
    *,
    trial: Any,
    components: Components | None,
    strategy: tf.distribute.Strategy,
    directory: str | os.PathLike[str],
    log: Callable[[str], Any],
) -> float | None:
    """The validation metric of one trial, None if it diverged or cannot be built.

    What is the fault of the machine, a full disk or a folder in use, is no result of a trial.
    """
    path = trial_dir(directory, trial.number)
    try:
        experiment = build(config, components)
        check_trainable(experiment, strategy)
        with _opened(path, experiment.config) as workdir:
            watched: Any = WatchedRows(workdir.metrics, trial)
            workdir.metrics = watched
            training = train(experiment, workdir, strategy=strategy, log=log)
        value = validation(experiment, training.state, strategy)()["metric"]
    except (DivergedError, UsageError) as error:
        if isinstance(error, InUseError):
            raise
        log(f"Trial {trial.number} failed: {error}")
        return None
    log(f"Trial {trial.number}: {experiment.metric_facts.name} {value:.4g}")
    return value if value == value else None


def _opened(path: str, config: Mapping[str, Any]) -> Workdir:
    real_directory(path)
    try:
        return open_workdir(path, dict(config))
    except InUseError:
        raise
    except UsageError as error:  # Not for what the trial tries.
        raise ArtefactError(str(error)) from error


def _write_table(study: optuna.Study, directory: str | os.PathLike[str]) -> None:
    done = [t for t in study.trials if t.state == TrialState.COMPLETE]
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    ranked = sorted(done, key=lambda t: sign * (t.value or 0.0))
    rows = [{"trial": t.number, "metric": t.value, "settings": t.params} for t in ranked]
    content = json.dumps(to_json(rows), indent=1) + "\n"
    write_atomically(os.path.join(directory, "trials.json"), content.encode())


def _readable(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    )
