"""What a training job starts from: its newest checkpoint, a warm start, or the initial values."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from meta_shrink.errors import ArtefactError, UsageError
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.warm_start import steps_of, warm_started
from meta_shrink.runs.checkpoints import Checkpoints
from meta_shrink.runs.workdir import Workdir
from meta_shrink.training.meta_state import MetaState
from meta_shrink.training.multi_worker import Workers


def resume(
    experiment: Experiment,
    workdir: Workdir,
    state: MetaState,
    workers: Workers,
    sync: Callable[[], None],
    log: Callable[[str], Any],
) -> tuple[Callable[[int], None], int]:
    """Read the newest checkpoint into the state, or make a warm start; the chief first.

    Args:
      sync: called by the chief after each checkpoint, by the others before they read the first:
        what keeps copies of one workdir alike.

    Returns:
      What saves the state, in all processes of the job together; the meta-step that was reached.

    Raises:
      ArtefactError: as Checkpoints. UsageError: the processes do not see one workdir.
    """
    schedule = experiment.schedule
    checkpoints = Checkpoints(
        workdir.checkpoints_dir,
        state.trackables(),
        max_to_keep=schedule.keep_checkpoints,
        log=log,
        is_chief=workers.is_chief,
    )
    with workers.chief_first():
        if not workers.is_chief:
            sync()
        start = checkpoints.restore()
        if start is not None:
            _hold_to_config(experiment, state, workdir, start, log)
        if start is None and workers.is_chief and steps_of(experiment.config):
            phi = warm_started(experiment, os.path.join(workdir.path, "warm_start"), log)
            for variable, value in zip(state.components["phi"], phi, strict=True):
                variable.assign(value)
            start = 0
            _save(workdir, checkpoints, start, schedule.steps)
            sync()
    _require_same_start(workdir, workers, start)

    def save(step: int) -> None:
        _save(workdir, checkpoints, step, schedule.steps)
        if workers.is_chief:
            sync()
        workers.gather(step)  # None ends while the chief still writes.

    return save, start or 0


def _hold_to_config(
    experiment: Experiment,
    state: MetaState,
    workdir: Workdir,
    start: int,
    log: Callable[[str], Any],
) -> None:
    """What is not learned is what the config says, which may have changed since the checkpoint.

    A component that was learned by then stays as it was: so it is frozen.
    """
    names = [name for name, _ in tf.train.list_variables(f"{workdir.checkpoints_dir}/ckpt-{start}")]
    for component in ("log_sigma2", "log_alpha"):
        was_learned = any(n.startswith(f"optimizer..{component}..") for n in names)
        if component not in state.optimizers and not was_learned:
            given = getattr(experiment.initial, component)
            values = given if isinstance(given, (list, tuple)) else [given]
            for variable, value in zip(state.components[component], values, strict=True):
                variable.assign(value)
    for component, optimizer in state.optimizers.items():
        section = experiment.config["meta_optimizer"][component]
        if section.get("decay", "none") == "none":
            optimizer.learning_rate = section["learning_rate"]
    _tell_of_starts(experiment, workdir, log)


def _tell_of_starts(experiment: Experiment, workdir: Workdir, log: Callable[[str], Any]) -> None:
    """Of a setting that changed and has no use any more."""
    learned = experiment.learned
    starts = {
        "prior.sigma2": "log_sigma2" in learned,
        "adapt.learning_rate": "log_alpha" in learned,
    }
    over = [key for key in workdir.changed if starts.get(key) or key.startswith("warm_start.")]
    if over:
        log(
            f"{', '.join(over)} said where training starts: the change does nothing to a run that "
            "has begun."
        )


def _require_same_start(workdir: Workdir, workers: Workers, start: int | None) -> None:
    found = workers.gather(-1 if start is None else start)[:, 0].astype(int).tolist()
    if len(set(found)) > 1:
        steps = ", ".join("none" if step < 0 else str(step) for step in found)
        raise UsageError(
            f"The processes of this job see different newest checkpoints in {workdir.path} (steps "
            f"{steps}); let it be one folder that all of them share."
        )


def _save(workdir: Workdir, checkpoints: Checkpoints, step: int, last: int) -> None:
    workdir.metrics.sync()
    if not checkpoints.save(step) and step == last:
        raise ArtefactError(
            f"The last checkpoint of {workdir.path} could not be saved (see above); free some "
            "space and start again: it resumes at the checkpoint before."
        )
