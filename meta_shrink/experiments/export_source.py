"""From a trained workdir to what exports start from."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from meta_shrink.adapters.backbone_info import ArraySpec, Recipe
from meta_shrink.backbones.source import ExportSource
from meta_shrink.errors import UsageError
from meta_shrink.experiments.adapt_section import SETTINGS
from meta_shrink.experiments.build import Experiment
from meta_shrink.experiments.components import Components, name_of
from meta_shrink.experiments.config import algorithm_name
from meta_shrink.experiments.export_probe import chosen_probe
from meta_shrink.experiments.restore import restore
from meta_shrink.experiments.subsets import quoted_steps
from meta_shrink.images.pictures import check_options
from meta_shrink.keras_model import moments
from meta_shrink.prior import BYTES_PER_PARAMETER, Selection, task_specific
from meta_shrink.rng import fold_in, root_key
from meta_shrink.sections import call
from meta_shrink.tasks.augment import random_affine
from meta_shrink.types import MetaParams, Params, Recordings, batch_parts

MOMENT_TASKS = 16
Log = Callable[[str], Any]


class Exported(NamedTuple):
    """A source for exports together with the experiment that it comes from."""

    source: ExportSource
    experiment: Experiment


def source_from_workdir(
    workdir: str | os.PathLike[str],
    *,
    rule: str | None = None,
    value: float | None = None,
    modules: Sequence[str] | None = None,
    components: Components | None = None,
    log: Log = print,
) -> Exported:
    """The newest checkpoint of a workdir as an export takes it.

    Args:
      rule, value: together, how to select the task-specific modules (prior.task_specific); by
        default as the config's eval.selection, or every module where sigma^2 was not learned.
      modules: the selection itself, instead of a rule.
      components: of restore.

    Raises:
      UsageError, ArtefactError: no such workdir, checkpoint, rule or module.
    """
    _check_choice(rule, value, modules)
    experiment, meta, _ = restore(workdir, components, log=log)
    selection = _selection(experiment, meta, rule, value, modules)
    config, model = experiment.config, experiment.model
    targets, weights = _of_the_loss(experiment)
    state = _average_moments(experiment, meta.phi)
    probe = chosen_probe(experiment, meta.phi, state)
    return Exported(
        ExportSource(
            name=name_of(config),
            algorithm=algorithm_name(config),
            model=model,
            registry=experiment.registry,
            meta=meta,
            state=state,
            selection=selection,
            example_loss=experiment.example_loss,
            targets=targets,
            weights=weights,
            adaptation=_recipe(experiment, log),
            probe_range=(probe.low, probe.high),
            probe_length=probe.length,
            probe_integers=probe.integers,
        ),
        experiment,
    )


def _check_choice(rule: str | None, value: float | None, modules: Sequence[str] | None) -> None:
    """Refuse half a selection, two, and one of nothing."""
    if (rule is None) != (value is None):
        raise UsageError("rule and value go together: rule top_k and value 3, for instance.")
    if rule is not None and modules is not None:
        raise UsageError("rule selects modules, and modules names them: give one of them.")
    if isinstance(modules, str) or (modules is not None and not modules):
        raise UsageError(f"modules is {modules!r}; expected a list of names, one at least.")


def _selection(experiment: Experiment, meta: MetaParams, rule, value, modules) -> Selection:
    registry = experiment.registry
    learned = "log_sigma2" in experiment.learned
    if not modules and rule is None and learned:
        options = experiment.eval.selection
        rule, value = options["rule"], options["value"]
    if rule is not None:
        if not learned:
            raise UsageError(
                "This run did not learn sigma^2, so no rule can select modules: name them with "
                "--modules."
            )
        sigma2 = np.exp(np.asarray(meta.log_sigma2, np.float64)).tolist()
        selection = task_specific(sigma2, registry, rule=rule, value=value)
        if not selection.modules:
            raise UsageError(
                f"The variances of this run are not separated by a gap of {value:g} times; choose "
                "how many modules adapt, by --rule=top_k or max_bytes and --value, or --modules."
            )
        return selection
    chosen = set(modules or registry.names)
    size = sum(registry.sizes[registry.position(name)] for name in chosen)
    return Selection(
        rule="named" if modules else "all",
        value=0.0,
        modules=tuple(name for name in registry.names if name in chosen),
        share=size / sum(registry.sizes),
        bytes=size * BYTES_PER_PARAMETER,
    )


def _average_moments(experiment: Experiment, phi: Params) -> list[np.ndarray]:
    """State of phi for inputs of no particular task: the mean over meta-training tasks."""
    model, source = experiment.model, experiment.source
    if not model.non_trainable_variables:
        return []

    @tf.function(autograph=False)
    def moments_of_task(number: tf.Tensor) -> list[tf.Tensor]:
        task = source.sample(root_key(experiment.config["seed"], "probe", number))
        inputs, _, weights = batch_parts(task.train)
        if source.augment is not None:
            inputs = source.augment(fold_in(task.key, "augment_probe"), inputs)
        return moments(model, phi, inputs, weights=weights)

    rows = [moments_of_task(tf.constant(number)) for number in range(MOMENT_TASKS)]
    # Seeds of random layers are integers and all the same.
    return [
        np.mean([value.numpy() for value in column], 0).astype(column[0].dtype.as_numpy_dtype)
        for column in zip(*rows, strict=True)
    ]


def _of_the_loss(experiment: Experiment) -> tuple[ArraySpec, tuple[int | None, ...] | None]:
    """An example's targets, and the shape of its weights where its own numbers count differently.

    Integers are labels. Weights [N] are of padding, which files do not have.
    """
    next_batch, heldout = experiment.adapt.next_batch, experiment.source.heldout
    first = tf.constant(0)
    call = tf.function(lambda: next_batch(heldout(first), first), autograph=False)
    _, targets, weights = batch_parts(call.get_concrete_function().structured_outputs)
    kind = "int32" if targets.dtype.is_integer else "float32"
    shape = None if weights is None else tuple(weights.shape[1:]) or None
    return ArraySpec("targets", tuple(targets.shape[1:]), kind), shape


def _recipe(experiment: Experiment, log: Log) -> Recipe:
    """How this experiment adapts held-out tasks."""
    config, adapt, source = experiment.config, experiment.config["adapt"], experiment.source
    options = {key: value for key, value in adapt.items() if key not in SETTINGS}
    loss = {key: value for key, value in config["loss"].items() if key != "reduction"}
    pictures = _pictures(experiment)
    augment = pictures.pop("augment", {})
    if source.augment is not None and not augment:
        log(
            "New tasks will be adapted without the task source's own augmentation: a backbone "
            "knows that of meta_shrink.tasks.augment.random_affine only (TaskSource.pictures)."
        )
    return Recipe(
        optimizer={"name": adapt["optimizer"], **options},
        steps=quoted_steps(experiment, experiment.eval),
        batch_size=adapt["batch_size"],
        augment=augment,
        loss=loss,
        reduction=config["loss"]["reduction"],
        metric=loss["name"],
        pictures=pictures,
        recordings=_told(source.recordings),
        prosody=source.prosody._asdict() if source.prosody else {},
    )


def _told(recordings: Recordings | None) -> dict[str, Any]:
    """What is left out is the default."""
    fields, usual = recordings._asdict() if recordings else {}, Recordings._field_defaults
    return {name: x for name, x in fields.items() if name not in usual or x != usual[name]}


def _pictures(experiment: Experiment) -> dict[str, Any]:
    """How pictures become inputs, as the task source says; nothing for other data.

    Raises:
      UsageError: the model takes other arrays than the source says, or an option is unknown.
    """
    pictures = experiment.source.pictures
    if pictures is None:
        return {}
    expected = (pictures.size, pictures.size, pictures.channels)
    shapes = [tuple(x.shape[1:]) for x in experiment.model.inputs]
    if len(shapes) != 1 or not tf.TensorShape(shapes[0]).is_compatible_with(expected):
        raise UsageError(
            f"The task source has pictures of shape {list(expected)} (TaskSource.pictures), but "
            f"the model takes {', '.join(str(list(shape)) for shape in shapes)}."
        )
    check_options(pictures.size, pictures.interpolation)
    call("TaskSource.pictures.augment", random_affine, pictures.augment)
    return pictures._asdict()
