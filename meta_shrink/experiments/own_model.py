"""The short way: any Keras model and a user's tasks, by the same engine as the programs.

`fit` writes a config, and build, train, evaluate and export do the rest; the model and the tasks
are components that only the user's program has, under the name "own".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras

from meta_shrink.adapters.backbone_info import ArraySpec
from meta_shrink.backbones.loaded import Backbone
from meta_shrink.backbones.source import input_specs
from meta_shrink.errors import UsageError
from meta_shrink.experiments.build import Experiment, build
from meta_shrink.experiments.components import OWN, Components, default_components
from meta_shrink.experiments.defaults import Device
from meta_shrink.experiments.evaluate import evaluate
from meta_shrink.experiments.export import export_backbone
from meta_shrink.experiments.own_checks import check_names, tell_unused
from meta_shrink.experiments.own_config import own_config
from meta_shrink.experiments.own_record import (
    answers_of,
    described,
    refuse_another,
    same_answers,
)
from meta_shrink.experiments.restore import restore
from meta_shrink.experiments.subsets import module_rows, select
from meta_shrink.experiments.train import check_trainable, train
from meta_shrink.models.outputs import check_one_output
from meta_shrink.registry import ModuleRegistry
from meta_shrink.runs.workdir import open_workdir
from meta_shrink.sections import call, check_kinds, choose, section_of
from meta_shrink.tasks.arrays import Shares, array_source, divided_tasks
from meta_shrink.tasks.example_arrays import HELDOUT, TARGETS
from meta_shrink.tasks.user_tasks import task_examples
from meta_shrink.training.distribution import make_strategy, set_cpu_threads
from meta_shrink.types import MetaParams, TaskSource

TARGET_DTYPES = {"squared_error": "float32", "gaussian": "float32", "cross_entropy": "int32"}
# Settings that a config records of the arguments, or that no training reads.
NOT_CHANGED = {
    "model.": "the model is an argument of fit",
    "task.": "the tasks and their shares are arguments of fit",
    "loss.name.": "the loss is an argument of fit",
    "seed.": "the seed is an argument of fit",
    "search.": "a search is made by launch.sweep, of a config",
    "name.": "the workdir names a run",
    "imports.": "the model and the tasks are arguments of fit",
    "data.": "it is the hash of the tasks",
}
Log = Callable[[str], Any]


@dataclass(frozen=True)
class Fitted:
    """A meta-trained model: `print` shows its modules. Made by `fit`.

    workdir: its folder, as of launch.train. experiment: its functions. meta: phi, log sigma^2 and
    log alpha. modules: for each module its name, size, share, bytes, sigma2, and whether it is
    task_specific. tasks: {"train", "validation", "test": names of the tasks}. answers: what the
    model computes now (own_record.answers_of); evaluate and export raise UsageError where that is
    not what it computed when it was fitted.
    """

    workdir: str
    experiment: Experiment
    components: Components
    meta: MetaParams
    modules: list[dict[str, Any]]
    tasks: Mapping[str, Sequence[str]]
    answers: Callable[[], list[float]] = field(repr=False)

    def __str__(self) -> str:
        """The table of modules."""
        rows = [["module", "parameters", "sigma^2", "task-specific"]]
        for row in self.modules:
            specific = "yes" if row["task_specific"] else ""
            rows.append([row["name"], f"{row['size']:,}", f"{row['sigma2']:.3g}", specific])
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join(lines)

    def evaluate(self, *, log: Log = print, **options: Any) -> dict[str, Any]:
        """Adapt the test tasks, all modules, the selected ones, each alone: evaluation.json.

        Args:
          **options: of the config's section `eval`, instead of those it was fitted with.
        """
        same_answers(self.workdir, self.answers())
        return evaluate(self.workdir, overrides=options, components=self.components, log=log)

    def export(self, out: str | os.PathLike[str], *, log: Log = print, **options: Any) -> Backbone:
        """Write the backbone, measured on the test tasks, and load it.

        Args:
          out: its folder.
          **options: rule and value, or modules: which are task-specific (export.backbone);
            allow_operations of Backbone.load.
        """
        same_answers(self.workdir, self.answers())
        export_backbone(
            self.workdir,
            out,
            num_tasks=len(self.tasks["test"]),
            components=self.components,
            log=log,
            **options,
        )
        return Backbone.load(out, allow_operations=options.get("allow_operations", ()))


def fit(
    model: keras.Model,
    tasks: Mapping[Any, Any],
    workdir: str | os.PathLike[str],
    *,
    loss: str,
    algorithm: str = "sigma_maml",
    steps: int = 2000,
    seed: int = 0,
    shares: Shares | None = None,
    changes: Mapping[str, Any] | None = None,
    log: Log = print,
) -> Fitted:
    """Meta-train a model on tasks, with progress; the same call resumes, or returns what is done.

    Args:
      model: any built keras.Model with one output, every layer named if it is to be resumed; it is
        not changed: its weights are where phi starts.
      tasks: {name: data}, data being (inputs, targets) and more (user_tasks.task_examples).
      workdir: a folder for this run; its config.json has every setting.
      loss: "squared_error" (targets [N, D]), "cross_entropy" (labels, the model gives logits).
      algorithm: one of own_config.ALGORITHMS: sigma_maml, sigma_reptile, maml, ...
      steps, seed: meta-steps; the seed of tasks and mini-batches.
      shares: of tasks to test and validate, of examples to validate on.
      changes: settings by their dotted names, {"adapt.steps": 50, "train.meta_batch_size": 4}.

    Raises:
      DataError: tasks that do not fit the model, are too few, hold NaN, ...
      UsageError: a setting that does not exist or a model that cannot be used.
      Preempted: SIGTERM or Ctrl-C; the same call resumes.
    """
    check_kinds("fit", fit, {"steps": steps, "seed": seed})
    specs, shares = array_specs(model, loss), shares or Shares()
    examples = task_examples(tasks, [spec.name for spec in specs if spec.name != TARGETS])
    source = array_source(examples, specs, shares, seed=seed, classes=_classes(model, loss))
    config = own_config(loss, algorithm, steps=steps, seed=seed)
    config |= described(model, examples, shares)
    config["eval"] |= {"num_tasks": source.num_heldout, "validation_tasks": source.num_validation}
    _change(config, changes or {})
    set_cpu_threads(cpu_threads=call("device", Device, config["device"]).cpu_threads)
    components = _components(model, source)
    refuse_another(workdir, config)
    experiment = build(config, components)
    answers = partial(answers_of, model, examples, specs)
    config["model"]["answers"] = same_answers(workdir, answers())
    check_trainable(experiment, make_strategy("one"))
    tell_unused(model, loss, log)
    with open_workdir(workdir, config, log=log) as opened:
        train(experiment, opened, log=log)
    return _fitted(os.fspath(workdir), components, divided_tasks(examples, shares), answers)


def _classes(model: keras.Model, loss: str) -> int:
    return int(model.outputs[0].shape[-1]) if loss == "cross_entropy" else 0


def _components(model: keras.Model, source: TaskSource) -> Components:
    ours = default_components()
    models = {**ours.models, OWN: lambda **_: model}
    return ours._replace(models=models, tasks={**ours.tasks, OWN: lambda **_: source})


def _fitted(
    workdir: str,
    components: Components,
    tasks: Mapping[str, Sequence[str]],
    answers: Callable[[], list[float]],
) -> Fitted:
    experiment, meta, _ = restore(workdir, components, log=lambda _: None)
    selection = select(experiment, meta, experiment.eval.selection)
    rows = module_rows(experiment, meta, selection["modules"])
    return Fitted(workdir, experiment, components, meta, rows, tasks, answers)


def array_specs(model: keras.Model, loss: str) -> tuple[ArraySpec, ...]:
    """What the inputs and the targets of a model look like.

    Raises:
      UsageError: the model is not built, has several outputs, or does not fit the loss,
        or nothing of its names can be exported.
    """
    dtype = choose("loss", TARGET_DTYPES, loss)
    if not isinstance(model, keras.Model):
        raise UsageError(f"The model is of {type(model).__name__}; expected a keras.Model.")
    ModuleRegistry.by_layer(model)  # Built, with distinct names.
    inputs = input_specs(model)
    if clash := [x.name for x in inputs if x.name == TARGETS or x.name.startswith(HELDOUT)]:
        raise UsageError(
            f"An input of the model is called {clash[0]!r}, as arrays of tasks are; rename it."
        )
    if len(inputs) > 1 and any(x.name.startswith("keras_tensor") for x in model.inputs):
        raise UsageError(
            f"Model {model.name!r} has several inputs without names of yours: give each "
            "keras.Input a name."
        )
    check_one_output(model)
    shape = tuple(model.outputs[0].shape[1:])
    if loss == "cross_entropy":
        _check_logits(model, shape)
        shape = shape[:-1]
    specs = (*inputs, ArraySpec(TARGETS, shape, dtype))
    check_names(model, specs)
    return specs


def _check_logits(model: keras.Model, shape: tuple[int | None, ...]) -> None:
    if not shape or not shape[-1] or shape[-1] < 2:
        raise UsageError(
            f"The model's output has shape {['N', *shape]}; the loss 'cross_entropy' takes one "
            "logit for each of at least 2 classes in its last axis."
        )


def _change(config: dict[str, Any], changes: Any) -> None:
    if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
        raise UsageError(f"changes is {changes!r}; expected settings by their dotted names.")
    for key, value in changes.items():
        if told := [whose for start, whose in NOT_CHANGED.items() if f"{key}.".startswith(start)]:
            raise UsageError(f"changes has {key!r}, which would change nothing: {told[0]}.")
        section, name = section_of(config, key)
        if section is None:
            raise UsageError(f"changes has {key!r}; there is no such section of the config.")
        section[name] = value
