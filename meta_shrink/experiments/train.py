"""The training job: an experiment, a workdir, a strategy -> a finished or resumable run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.components import name_of
from meta_shrink.experiments.defaults import Schedule
from meta_shrink.experiments.resume import resume
from meta_shrink.experiments.warm_start import check_warm_start, steps_of
from meta_shrink.intervals import mean_and_ci95
from meta_shrink.runs.progress import Progress
from meta_shrink.runs.tensorboard import Summaries
from meta_shrink.runs.workdir import Workdir
from meta_shrink.sections import call
from meta_shrink.stopping import StopSignal
from meta_shrink.training import loop
from meta_shrink.training.meta_batch import make_chunked_core, make_core
from meta_shrink.training.meta_state import MetaState, meta_optimizer
from meta_shrink.training.meta_step import (
    EXTRA_METRICS,
    Run,
    make_chunked_run,
    make_run,
    share_of_replica,
)
from meta_shrink.training.multi_worker import Workers
from meta_shrink.training.profiling import Span, traced


class Training(NamedTuple):
    """Variables of a run, the function that advances them, names of the logged metrics."""

    state: MetaState
    run: Run
    row_names: tuple[str, ...]


def set_up(
    experiment: Experiment,
    strategy: tf.distribute.Strategy,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Training:
    """Create the variables and the compiled meta-step of an experiment.

    Args:
      experiment: of experiment.build.
      strategy: any tf.distribute strategy; tf.distribute.get_strategy() for one device.
      stop_requested: asked within a meta-step when adaptation runs in chunks; the processes of a
        job must hear the same.

    Raises:
      UsageError: settings that do not fit the strategy.
    """
    check_trainable(experiment, strategy)
    schedule, row_names = experiment.schedule, experiment.method.metrics + EXTRA_METRICS
    with strategy.scope():
        state = MetaState.create(
            experiment.initial,
            _optimizers(experiment.config["meta_optimizer"], schedule.steps),
            num_metrics=len(row_names) + 1,
            max_bad_steps=schedule.max_bad_steps,
            names=experiment.registry.paths,
        )
    prior = experiment.prior
    options = {
        "seed": experiment.config["seed"],
        "meta_batch_size": schedule.meta_batch_size,
        "metric_names": experiment.method.metrics,
        "clip_norm": schedule.clip_norm,
        "beta": prior.beta,
        "sigma2_range": (prior.sigma2_min, prior.sigma2_max),
    }
    how = {"task_axis": schedule.task_axis, "jit": experiment.jit}
    if experiment.method.in_chunks and experiment.adapt.steps > schedule.chunk_steps:
        core = make_chunked_core(
            experiment.meta_gradient,
            experiment.source,
            experiment.adapt.adaptation,
            steps=experiment.adapt.steps,
            chunk_steps=schedule.chunk_steps,
            **how,
        )
        run = make_chunked_run(core, state, strategy, stop_requested=stop_requested, **options)
        return Training(state, run, row_names)
    core = make_core(experiment.meta_gradient, experiment.adapt.whole, experiment.source, **how)
    run = make_run(core, state, strategy, jit=experiment.jit, **options)
    return Training(state, run, row_names)


def check_trainable(experiment: Experiment, strategy: tf.distribute.Strategy) -> None:
    """Refuse what build cannot see, before a workdir records a config that cannot be trained.

    Raises:
      UsageError: a count or interval out of range, a bad meta-optimizer or warm start, a meta-batch
        that the replicas cannot share.
    """
    schedule = experiment.schedule
    loop.check_intervals(_intervals(schedule))
    check_warm_start(experiment)
    if not schedule.steps and not steps_of(experiment.config):
        raise UsageError("train got steps=0 without a warm start: nothing would be learned.")
    for name in ("chunk_steps", "keep_checkpoints"):
        if getattr(schedule, name) < 1:
            raise UsageError(f"train.{name} is {getattr(schedule, name)}; expected at least 1.")
    if not schedule.clip_norm >= 0:
        raise UsageError(f"train.clip_norm is {schedule.clip_norm}; expected >= 0 (0: no clip).")
    share_of_replica(schedule.meta_batch_size, strategy.num_replicas_in_sync)
    _optimizers(experiment.config["meta_optimizer"], schedule.steps)


def train(
    experiment: Experiment,
    workdir: Workdir,
    *,
    strategy: tf.distribute.Strategy | None = None,
    profile: Span | None = None,
    sync: Callable[[], None] = lambda: None,
    log: Callable[[str], Any] = print,
) -> Training:
    """Meta-train in a workdir, from its newest checkpoint on, until train.steps.

    The chief traces `profile` for TensorBoard. sync: as in `resume`.

    Raises:
      Preempted: SIGTERM or Ctrl-C; everything is saved.
      DivergedError, ArtefactError, UsageError: as loop.fit, Checkpoints, set_up.
    """
    strategy = strategy or tf.distribute.get_strategy()
    schedule, workers = experiment.schedule, Workers(strategy)
    log = workers.told_by_chief(log)
    with workers.loss_told(), StopSignal(abandons=workers.count == 1) as stop:
        with stop.abandonable():
            training = set_up(experiment, strategy, lambda: workers.agree(0, stop.requested)[1])
            state = training.state
            validate = validation(experiment, state, strategy)
            save, start = resume(experiment, workdir, state, workers, sync, log)
        workdir.metrics.rewind(start)
        workdir.timing.rewind(start)
        owed = loop.owes_evaluation(workdir.metrics, start, schedule.eval_every)
        log(_opening(experiment, schedule, start))
        shown, span = (None, profile) if workers.is_chief else (io.StringIO(), None)
        with (
            Progress(schedule.steps, start=start, stream=shown) as progress,
            traced(training.run, state.step, span, _tensorboard(workdir), log) as run,
        ):
            loop.fit(
                loop.abandonable_at_first(run, stop),
                state,
                _intervals(schedule),
                row_names=training.row_names,
                module_names=experiment.registry.names,
                metrics=_metrics(experiment, workdir, state, log, is_chief=workers.is_chief),
                timing=workdir.timing,
                evaluate=loop.abandonable(validate, state, save, stop),
                save=save,
                progress=lambda step, row: progress.update(step, **_headline(row)),
                owed=bool(workers.gather(owed)[0, 0]),
                agree=lambda burst: workers.agree(burst, stop.requested),
            )
    return training


def _tensorboard(workdir: Workdir) -> str:
    return f"{workdir.path}/tensorboard"


def _metrics(
    experiment: Experiment, workdir: Workdir, state: MetaState, log, *, is_chief: bool
) -> loop.Log:
    if not is_chief:
        return workdir.metrics  # It drops the rows.
    return Summaries(
        _tensorboard(workdir),
        workdir.metrics,
        config=experiment.config,
        learning_rates=state.learning_rates,
        log=log,
    )


def _intervals(schedule: Schedule) -> loop.Intervals:
    return loop.Intervals(*(getattr(schedule, name) for name in loop.Intervals._fields))


def validation(
    experiment: Experiment, state: MetaState, strategy: tf.distribute.Strategy | None = None
) -> Callable[[], dict[str, float]]:
    """A function that adapts validation tasks and returns the mean metric and its 95 % CI."""
    held_out, options = experiment.held_out(strategy=strategy), experiment.eval

    def evaluate() -> dict[str, float]:
        curves = held_out.curves(
            state.meta(),
            count=options.validation_tasks or options.num_tasks,
            validation=True,
            steps=[experiment.adapt.steps],
        )
        mean, ci95 = mean_and_ci95(curves.metric[:, -1])
        return {"metric": float(mean), "ci95": float(ci95)}

    return evaluate


def _optimizers(sections: Mapping[str, Any], steps: int):
    return {
        component: call(f"meta_optimizer.{component}", meta_optimizer, options, steps=steps)
        for component, options in sections.items()
    }


def _opening(experiment: Experiment, schedule: Schedule, start: int) -> str:
    done = f"resuming at meta-step {start}" if start else "from the start"
    done = "finished already" if start >= schedule.steps else done
    return (
        f"{name_of(experiment.config)}: {schedule.steps} meta-steps, {done}; "
        f"{experiment.registry.num_modules} modules, {sum(experiment.registry.sizes)} parameters, "
        f"{experiment.adapt.steps} adaptation steps, XLA {'on' if experiment.jit else 'off'}, "
        f"tasks {schedule.task_axis}."
    )


def _headline(row: Mapping[str, float]) -> dict[str, float]:
    return {name: row[name] for name in ("nll_val", "tasks/nonfinite") if name in row}
