"""From a config to functions: the only place where strings become things.

Each section of a config is the keyword arguments of one function; an unknown key is refused with
the keys that are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.evaluation import HeldOut, inductive_metric, transductive
from meta_shrink.experiments.adapt_section import AdaptSettings, adapt_settings
from meta_shrink.experiments.config import (
    Schedule,
    check_counts,
    check_learned,
    check_sections,
    check_shapes,
    check_task_axis,
)
from meta_shrink.losses import (
    LOSSES,
    METRICS,
    ExampleLoss,
    Metric,
    MetricFacts,
    negative_log_likelihood,
)
from meta_shrink.meta_gradients import META_GRADIENTS, Method
from meta_shrink.models import MODELS
from meta_shrink.prior import SIGMA2_MAX, SIGMA2_MIN
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import call, choose, named
from meta_shrink.tasks import TASKS
from meta_shrink.tasks.transforms import augment_validation, train_on_all, validate_on_batch
from meta_shrink.types import MetaGradient, MetaParams, NegLogLik, TaskSource

ALGORITHMS = META_GRADIENTS
REGISTRIES = {
    "layer": ModuleRegistry.by_layer,
    "variable": ModuleRegistry.by_variable,
    "pattern": ModuleRegistry.by_pattern,
}


class Experiment(NamedTuple):
    """Everything of a config that is functions; no variables yet."""

    config: Mapping[str, Any]
    model: keras.Model
    registry: ModuleRegistry
    nll: NegLogLik
    metric: Metric
    metric_facts: MetricFacts
    example_loss: ExampleLoss
    example_metric: ExampleLoss
    source: TaskSource
    adapt: AdaptSettings
    method: Method
    meta_gradient: MetaGradient
    initial: MetaParams
    jit: bool

    def held_out(self, modules: Sequence[str] | None = None, *, inductive: bool = False) -> HeldOut:
        """The held-out tasks of this experiment, ready to be adapted (compiled at first use).

        Args:
          modules: the only ones that adapt; all by default.
          inductive: measure with the moments of a task's training data as well.
        """
        # Many more tasks than a meta-batch: a branch each would take minutes to compile.
        vectorized = self.config["train"]["task_axis"] == "vectorized"
        metrics = [transductive(self.metric)]
        if inductive:
            metrics.append(inductive_metric(self.model, self.example_metric, self.source.augment))
        return HeldOut(
            self.adapt.make(modules=modules),
            metrics,
            self.source,
            task_axis="vectorized" if vectorized else "sequential",
            jit=self.jit,
        )


def build(config: Mapping[str, Any]) -> Experiment:
    """Check a config and build its functions.

    Args:
      config: nested mapping with the sections of configs/common.py.

    Raises:
      UsageError: anything that does not exist, does not fit or can not work; one sentence.
    """
    check_sections(config)
    seed = config["seed"]
    model = named("model", MODELS, config["model"], seed=seed)
    registry = call("modules", _registry, config["modules"], model=model)
    jit = _jit(config["train"]["jit"], model)
    facts, example_loss, nll, metric = call("loss", _loss, config["loss"], model=model, jit=jit)
    drawn = named("task", TASKS, config["task"], seed=seed)
    method = choose("algorithm.name", META_GRADIENTS, config["algorithm"].get("name"))
    adapt = call(
        "adapt",
        adapt_settings,
        config["adapt"],
        nll=nll,
        registry=registry,
        augment=drawn.augment,
        native=not jit,
    )
    source = _source(drawn, adapt.on_all, Schedule(**config["train"]).validation_batch)
    phi = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    initial = _initial(phi, registry, adapt, config["prior"])
    check_learned(method, config)
    check_task_axis(method, config, jit)
    check_counts(config, source)
    check_shapes(nll, initial, source, adapt.batch_size)
    return Experiment(
        config=config,
        model=model,
        registry=registry,
        nll=nll,
        metric=metric,
        metric_facts=facts,
        example_loss=example_loss,
        example_metric=facts.example(example_loss),
        source=source,
        adapt=adapt,
        method=method,
        meta_gradient=_meta_gradient(config["algorithm"], nll, registry, adapt, native=not jit),
        initial=initial,
        jit=jit,
    )


def _source(drawn: TaskSource, on_all: bool, validation_batch: int) -> TaskSource:
    both = train_on_all(drawn) if on_all else drawn
    return augment_validation(validate_on_batch(both, validation_batch))


def _registry(*, model: keras.Model, by: str, patterns: Mapping[str, str] | None = None):
    build_registry = choose("modules.by", REGISTRIES, by)
    return build_registry(model, dict(patterns or {})) if by == "pattern" else build_registry(model)


def _loss(*, model: keras.Model, jit: bool, name: str, reduction: str, **options: Any):
    example_loss = named("loss", LOSSES, {"name": name, **options})
    facts = METRICS[name]
    example_metric = facts.example(example_loss)
    nll = negative_log_likelihood(model, example_loss, reduction=reduction, native=not jit)
    metric = negative_log_likelihood(model, example_metric, native=not jit)
    return facts, example_loss, nll, metric


def _meta_gradient(options, nll, registry, adapt: AdaptSettings, *, native: bool) -> MetaGradient:
    """hessian_data "last" is the last mini-batch of adaptation."""
    method = META_GRADIENTS[options["name"]]
    rest = {key: value for key, value in options.items() if key != "name"}
    if "hessian_data" in rest:
        data = {"all": None, "last": lambda task: adapt.next_batch(task, adapt.steps - 1)}
        rest["hessian_data"] = choose("algorithm.hessian_data", data, rest["hessian_data"])
    given = {"nll": nll, "registry": registry} | ({"native": native} if method.solves else {})
    return call("algorithm", method.factory, rest, **given)


def _initial(phi, registry: ModuleRegistry, adapt: AdaptSettings, prior) -> MetaParams:
    sigma2 = call("prior", _prior, prior)
    rate = math.log(adapt.learning_rate)
    per_parameter = [tf.fill(x.shape, tf.constant(rate, x.dtype)) for x in phi]
    log_sigma2 = tf.fill([registry.num_modules], tf.math.log(tf.constant(sigma2, tf.float32)))
    per_module = tf.fill([registry.num_modules], tf.constant(rate, tf.float32))
    return MetaParams(
        phi, log_sigma2, per_parameter if adapt.rate_per == "parameter" else per_module
    )


def _prior(*, sigma2: float, beta: float, sigma2_min: float, sigma2_max: float) -> float:
    if not (sigma2 > 0 and beta >= 0 and 0 < sigma2_min < sigma2_max):
        raise UsageError(
            f"prior got sigma2={sigma2}, beta={beta}, sigma2_min={sigma2_min}, "
            f"sigma2_max={sigma2_max}; expected sigma2 > 0 (inf: no prior), beta >= 0, and "
            f"0 < sigma2_min < sigma2_max (the paper has {SIGMA2_MIN:g} and {SIGMA2_MAX:g})."
        )
    return sigma2


def _jit(choice: str, model: keras.Model) -> bool:
    """XLA or not; "auto" compiles on accelerators, and dense networks on the CPU."""
    choose("train.jit", dict.fromkeys(("auto", "on", "off")), choice)
    if choice != "auto":
        return choice == "on"
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return True
    layers = model._flatten_layers(include_self=False)  # pyright: ignore[reportAttributeAccessIssue]
    return not any("Conv" in type(layer).__name__ for layer in layers)
