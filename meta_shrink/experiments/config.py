"""What a config must fulfil beyond each section on its own (ranges.py); all raise UsageError."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.adaptation import NextBatch, require_examples
from meta_shrink.errors import UsageError
from meta_shrink.evaluation import require_tasks
from meta_shrink.experiments.defaults import EvalOptions, Prior, Schedule
from meta_shrink.keras_model import apply_model
from meta_shrink.losses import ExampleLoss
from meta_shrink.meta_gradients import Method
from meta_shrink.models.indices import check_indices
from meta_shrink.models.logits import LOSSES
from meta_shrink.rng import root_key
from meta_shrink.types import MetaParams, NegLogLik, Params, TaskSource, batch_parts


def check_learned(method: Method, config: Mapping[str, Any]) -> None:
    """Each learned component has a gradient, and a prior is there where one is needed."""
    name, learned = config["algorithm"]["name"], list(config["meta_optimizer"])
    extra = [component for component in learned if component not in method.learns]
    if extra or "phi" not in learned:
        raise UsageError(
            f"meta_optimizer has sections {', '.join(learned)}; {name} learns phi and may learn "
            f"{', '.join(method.learns)}."
        )
    no_prior = math.isinf(Prior(**config["prior"]).sigma2)
    if no_prior and (method.needs_prior or "log_sigma2" in learned):
        raise UsageError(
            f"prior.sigma2 is inf (no prior), but {name} needs a finite one here; set prior.sigma2 "
            "to a positive number (1/lambda for iMAML)."
        )


def check_patterns(by: str, patterns: Mapping[str, str]) -> None:
    """Patterns are given where modules are made by them, and nowhere else."""
    if patterns and by != "pattern":
        raise UsageError(
            f"modules.patterns names {', '.join(patterns)}, but modules.by is {by!r}, which takes "
            "none: set modules.by to 'pattern', or leave the patterns out."
        )


def check_shapes(
    model: keras.Model,
    nll: NegLogLik,
    initial: MetaParams,
    source: TaskSource,
    next_batch: NextBatch,
    batch_size: int,
) -> None:
    """The loss takes a task of the source as the model says, a mini-batch is no larger than its
    data, and no task looks up what is not there."""

    def losses(key: tf.Tensor) -> list[tf.Tensor]:
        task = source.sample(key)
        if source.draw is None:
            require_examples(task.train, batch_size, "adapt.batch_size", "training")
        batch = next_batch(task, tf.constant(0))
        require_input_shapes(model, batch_parts(batch)[0])
        return [nll(initial.phi, batch), nll(initial.phi, task.val)]

    try:
        tf.function(losses, autograph=False).get_concrete_function(root_key(0, "probe"))
    except UsageError:
        raise
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"Model and task do not fit together: {reason}") from error
    if source.every is not None:
        check_indices(model, source.every())


def check_outputs(model: keras.Model, loss: str, source: TaskSource, next_batch: NextBatch) -> None:
    """The network has an output for each label.

    TensorFlow fails in the middle of training, and with XLA its loss is NaN. Of a source that does
    not say how many classes it has, one task is looked at.
    """
    outputs = model.outputs[0].shape[-1]
    if loss not in LOSSES or len(model.outputs) > 1 or not outputs:
        return
    low, high = 0, source.classes - 1
    if not source.classes:
        task = source.sample(root_key(0, "probe"))
        targets = [batch_parts(b)[1] for b in (next_batch(task, tf.constant(0)), task.val)]
        labels = np.concatenate([np.ravel(x) for x in tf.nest.flatten(targets)])
        if not labels.size or not np.issubdtype(labels.dtype, np.integer):
            return
        low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= outputs:
        raise UsageError(
            f"Model and task do not fit together: the labels of a task are {low} to {high}, and "
            f"the model has {outputs} outputs, for labels 0 to {outputs - 1}; give it an output "
            "for each class."
        )


def require_input_shapes(model: keras.Model, inputs: Any) -> None:
    """A network may take other shapes than it was built for, and its backbone then does not.

    Raises:
      UsageError: an input of another size than the model says, which is named.
    """
    given = tf.nest.flatten(inputs)
    if isinstance(inputs, Mapping) or len(given) != len(model.inputs):
        return
    for own, value in zip(model.inputs, given, strict=True):
        told, expected = list(value.shape[1:]), list(own.shape[1:])
        known = [pair for pair in zip(told, expected, strict=False) if None not in pair]
        if len(told) == len(expected) and any(size != wanted for size, wanted in known):
            raise UsageError(
                f"Model and task do not fit together: the task's {own.name} has the shape {told}, "
                f"the model's {expected}; set their sizes alike."
            )


def check_curvature(
    model: keras.Model,
    example_loss: ExampleLoss,
    phi: Params,
    source: TaskSource,
    next_batch: NextBatch,
) -> None:
    """The second derivatives of a loss in the outputs are numbers, on a mini-batch of one task.

    Those of TensorFlow's CTC loss are not, and every meta-gradient would be thrown away.
    """
    inputs, targets, _ = batch_parts(next_batch(source.sample(root_key(0, "probe")), 0))
    outputs = tf.nest.map_structure(tf.convert_to_tensor, apply_model(model)(phi, inputs))
    flat = [x for x in tf.nest.flatten(outputs) if x.dtype.is_floating]
    refused = UsageError(
        "The loss has no second derivative that TensorFlow can compute, which this method needs: "
        "use reptile or fomaml, or another loss."
    )
    with tf.GradientTape() as outer:
        outer.watch(flat)
        with tf.GradientTape() as inner:
            inner.watch(flat)
            total = tf.reduce_sum(example_loss(targets, outputs))
        first = [g for g in inner.gradient(total, flat) if g is not None]
    try:
        second = [h for h in outer.gradient(first, flat) if h is not None]
    except LookupError as error:
        raise refused from error
    if _finite(first) and not _finite(second):
        raise refused


def _finite(values: Sequence[tf.Tensor]) -> bool:
    return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values)


def check_source(method: Method, config: Mapping[str, Any], source: TaskSource) -> None:
    """An evaluation needs no more tasks than there are; adaptation and solve have one objective;
    the model has what this source needs of it."""
    size = config["adapt"].get("batch_size", 0) if source.draw is None else 0
    whole = method.solves and config["algorithm"].get("hessian_data", "all") == "all"
    if config["loss"]["reduction"] == "sum" and size and whole:
        raise UsageError(
            f"loss.reduction is 'sum' and adapt.batch_size {size}: adaptation adds up a mini-batch "
            "and the linear solve the whole task, so that each has another prior beside it. Take "
            "the 'mean', all examples (adapt.batch_size=0), or algorithm.hessian_data='last'."
        )
    if source.check_model:
        source.check_model(config["model"])
    options = EvalOptions(**config["eval"]) if "eval" in config else None
    if options is None:
        return
    for name in ("num_tasks", "group_tasks", "examples"):
        require_tasks(source, getattr(options, name), setting=f"eval.{name}")
    if Schedule(**config["train"]).eval_every:
        count = options.validation_tasks or options.num_tasks
        require_tasks(source, count, validation=True)


def algorithm_name(config: Mapping[str, Any]) -> str:
    """Name of the row of Table 1: what is learned tells sigma-MAML and Meta-SGD from MAML."""
    name, learned = config["algorithm"]["name"], config["meta_optimizer"]
    if "log_alpha" in learned and name == "maml":
        return "meta_sgd"
    return f"sigma_{name}" if "log_sigma2" in learned and name in ("maml", "imaml") else name
