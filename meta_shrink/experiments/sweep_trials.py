"""Which settings a search tries next, whose a trial is, and when it is given up."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from meta_shrink.experiments.sweep_journal import CLAIMS, open_locked
from meta_shrink.sections import choose

SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    # Ten random settings first, then those that look best by what is known (Bergstra et al. 2011).
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    # After five trials, one that is worse than half of the others at the same meta-step ends.
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
    "none": optuna.pruners.NopPruner,
}
LOOKS = 5  # about as many times a pruner looks at a trial


def claim_trial(
    study: optuna.Study,
    ranges: Mapping[str, BaseDistribution],
    num_trials: int,
    directory: str | os.PathLike[str],
    *,
    sampler: str,
    seed: int,
) -> tuple[optuna.Trial, IO[str]] | None:
    """A trial that was cut off, else a new one, and the file whose lock makes it ours.

    None once num_trials are done or running elsewhere. One process at a time decides, so that
    two never take one trial and num_trials is exact. The sampler starts anew for each trial, from
    the seed and the number of trials: a search that was killed goes on with the same settings.
    """
    with open_locked(os.path.join(directory, CLAIMS)):
        whole = []
        for trial in study.get_trials():
            if set(trial.params) == set(ranges):
                whole.append(trial)
            elif not trial.state.is_finished():  # Killed before its settings were recorded.
                study.tell(trial.number, state=TrialState.FAIL)
        for trial in whole:
            claim = None if trial.state.is_finished() else _claim(directory, trial.number)
            if claim is not None:
                return optuna.Trial(study, trial._trial_id), claim
        if len(whole) >= num_trials:
            return None
        study.sampler = sampler_of(sampler, seed, len(whole))
        trial = study.ask(dict(ranges))
        claim = _claim(directory, trial.number)
        return None if claim is None else (trial, claim)


def sampler_of(name: str, seed: int, count: int) -> optuna.samplers.BaseSampler:
    """The sampler of the trial after `count` others."""
    (own_seed,) = np.random.SeedSequence([seed, count]).generate_state(1)
    return choose("sampler", SAMPLERS, name)(int(own_seed))


def trial_dir(directory: str | os.PathLike[str], number: int) -> str:
    """The workdir of a trial."""
    return os.path.join(directory, f"trial_{number:04d}")


def _claim(directory: str | os.PathLike[str], number: int) -> IO[str] | None:
    """An open file with the lock of a trial; None if another process has it."""
    try:  # The caller closes it, when the trial is over.
        return open_locked(f"{trial_dir(directory, number)}.lock", fcntl.LOCK_NB)
    except BlockingIOError:
        return None


class WatchedRows:
    """The rows of a run; its evaluations are shown to the pruner, which may end the trial."""

    def __init__(self, rows: Any, trial: optuna.Trial) -> None:
        self._rows, self._trial = rows, trial
        before = trial.study.get_trials(deepcopy=False)[trial.number]
        self._reported = set(before.intermediate_values)  # by a process that was stopped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
          optuna.TrialPruned: the trial is worse than others were.
        """
        self._rows.append(row)
        if row["kind"] == "eval":
            if row["step"] not in self._reported:
                self._trial.report(row["metric"], int(row["step"]))
            if self._trial.should_prune():
                raise optuna.TrialPruned(f"{row['metric']:.4g} after {row['step']} meta-steps")
