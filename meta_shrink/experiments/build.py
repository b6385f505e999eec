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

from meta_shrink.evaluation import HeldOutEvaluator, inductive_metric, transductive
from meta_shrink.experiments.adapt_section import AdaptSettings, adapt_settings
from meta_shrink.experiments.components import Components, default_components
from meta_shrink.experiments.config import (
    EvalOptions,
    Prior,
    Schedule,
    check_counts,
    check_learned,
    check_prior,
    check_sections,
    check_shapes,
    check_task_axis,
)
from meta_shrink.losses import (
    ExampleLoss,
    Metric,
    MetricFacts,
    mean_metric,
    negative_log_likelihood,
)
from meta_shrink.meta_gradients import Method
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import call, choose, named
from meta_shrink.tasks.transforms import augment_validation, train_on_all, validate_on_batch
from meta_shrink.types import MetaGradient, MetaParams, NegLogLik, TaskSource

MOST_COMPILED = 64  # variables of a network that "auto" compiles on the CPU
REGISTRIES = {
    "layer": ModuleRegistry.by_layer,
    "variable": ModuleRegistry.by_variable,
    "pattern": ModuleRegistry.by_pattern,
}


class Experiment(NamedTuple):
    """Everything of a config as functions and values; no variables yet.

    config is kept to be recorded, and for the sections that programs read by themselves.
    """

    config: Mapping[str, Any]
    components: Components
    schedule: Schedule
    prior: Prior
    eval: EvalOptions
    learned: tuple[str, ...]
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

    def held_out(
        self, modules: Sequence[str] | None = None, *, inductive: bool = False
    ) -> HeldOutEvaluator:
        """The held-out tasks of this experiment, ready to be adapted (compiled at first use).

        Args:
          modules: the only ones that adapt; all by default.
          inductive: measure with the moments of a task's training data as well.
        """
        # Many more tasks than a meta-batch: a branch each would take minutes to compile.
        vectorized = self.schedule.task_axis == "vectorized"
        metrics = [transductive(self.metric)]
        if inductive:
            metrics.append(inductive_metric(self.model, self.example_metric, self.source.augment))
        return HeldOutEvaluator(
            self.adapt.make(modules=modules),
            metrics,
            self.source,
            task_axis="vectorized" if vectorized else "sequential",
            jit=self.jit,
        )


def build(config: Mapping[str, Any], components: Components | None = None) -> Experiment:
    """Check a config and build its functions.

    Args:
      config: nested mapping with the sections of experiments/defaults.py.
      components: the tables of its names; ours alone by default.

    Raises:
      UsageError: anything that does not exist, does not fit or cannot work; one sentence.
    """
    check_sections(config)
    components = components or default_components()
    schedule, prior = Schedule(**config["train"]), Prior(**config["prior"])
    check_prior(prior)
    model = named("model", components.models, config["model"], seed=config["seed"])
    registry = call("modules", _registry, config["modules"], model=model)
    jit = _jit(schedule.jit, model)
    facts, example_loss, nll, metric = call(
        "loss", _loss, config["loss"], model=model, jit=jit, losses=components.losses
    )
    drawn = named("task", components.tasks, config["task"], seed=config["seed"])
    method = choose("algorithm.name", components.meta_gradients, config["algorithm"].get("name"))
    adapt = _adapt(config["adapt"], components, nll, registry, drawn, jit)
    source = _source(drawn, adapt.on_all, schedule.validation_batch)
    initial = _initial(model, registry, adapt, prior.sigma2)
    check_learned(method, config)
    check_task_axis(method, config, jit)
    check_counts(config, source)
    check_shapes(nll, initial, source, adapt.next_batch, adapt.batch_size, schedule.task_axis)
    return Experiment(
        config=config,
        components=components,
        schedule=schedule,
        prior=prior,
        eval=EvalOptions(**config.get("eval", {})),
        learned=tuple(config["meta_optimizer"]),
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
        meta_gradient=_meta_gradient(method, config, components, nll, registry, adapt, jit),
        initial=initial,
        jit=jit,
    )


def _adapt(section, components, nll, registry, drawn: TaskSource, jit: bool) -> AdaptSettings:
    return call(
        "adapt",
        adapt_settings,
        section,
        nll=nll,
        registry=registry,
        augment=drawn.augment,
        draw=drawn.draw,
        optimizers=components.task_optimizers,
        native=not jit,
    )


def _source(drawn: TaskSource, on_all: bool, validation_batch: int) -> TaskSource:
    both = train_on_all(drawn) if on_all else drawn
    return augment_validation(validate_on_batch(both, validation_batch))


def _registry(*, model: keras.Model, by: str, patterns: Mapping[str, str] | None = None):
    build_registry = choose("modules.by", REGISTRIES, by)
    return build_registry(model, dict(patterns or {})) if by == "pattern" else build_registry(model)


def _loss(*, model: keras.Model, jit: bool, losses, name: str, reduction: str, **options: Any):
    loss = choose("loss.name", losses, name)
    example_loss, facts = call("loss", loss.factory, options), loss.metric
    example_metric = facts.example(example_loss)
    nll = negative_log_likelihood(model, example_loss, reduction=reduction, native=not jit)
    metric = mean_metric(model, example_metric, native=not jit)
    return facts, example_loss, nll, metric


def _meta_gradient(
    method: Method, config, components, nll, registry, adapt: AdaptSettings, jit: bool
) -> MetaGradient:
    """The algorithm of a config; "last" is the last mini-batch of adaptation.

    Where mini-batches are drawn from data that are no batch themselves, it is always that one.
    """
    options = config["algorithm"]
    rest = {key: value for key, value in options.items() if key != "name"}
    last = {"last": lambda task: adapt.next_batch(task, adapt.steps - 1)}
    if "hessian_data" in rest:
        data = last if adapt.drawn else {"all": None, **last}
        rest["hessian_data"] = choose("algorithm.hessian_data", data, rest["hessian_data"])
    elif adapt.drawn:
        rest["hessian_data" if method.solves else "nll_data"] = last["last"]
    given = {"nll": nll, "registry": registry}
    if method.solves:
        given |= {"native": not jit, "hessian_nll": hessian_loss(config, components, nll, jit)}
    return call("algorithm", method.factory, rest, **given)


def hessian_loss(
    config: Mapping[str, Any], components: Components, nll: NegLogLik, jit: bool
) -> NegLogLik:
    """The loss whose Hessian a solve takes: that of float32, as bfloat16's is not symmetric."""
    if config["model"].get("precision") != "bfloat16":
        return nll
    exact = {**config["model"], "precision": "float32"}
    model = named("model", components.models, exact, seed=config["seed"])
    return call("loss", _loss, config["loss"], model=model, jit=jit, losses=components.losses)[2]


def _initial(
    model: keras.Model, registry: ModuleRegistry, adapt: AdaptSettings, sigma2: float
) -> MetaParams:
    phi = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    rate = math.log(adapt.learning_rate)
    per_parameter = [tf.fill(x.shape, tf.constant(rate, x.dtype)) for x in phi]
    log_sigma2 = tf.fill([registry.num_modules], tf.math.log(tf.constant(sigma2, tf.float32)))
    per_module = tf.fill([registry.num_modules], tf.constant(rate, tf.float32))
    return MetaParams(
        phi, log_sigma2, per_parameter if adapt.rate_per == "parameter" else per_module
    )


def _jit(choice: str, model: keras.Model) -> bool:
    """XLA or not; "auto" compiles on accelerators, and small dense networks on the CPU.

    There it pays where operations cost less than their dispatch, and not for convolutions (kernels
    of more than two axes), where TensorFlow's own kernels are faster, or for networks of many
    variables, which take minutes to compile.
    """
    choose("train.jit", dict.fromkeys(("auto", "on", "off")), choice)
    if choice != "auto":
        return choice == "on"
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return True
    axes = [len(variable.shape) for variable in model.trainable_variables]
    return max(axes) <= 2 and len(axes) <= MOST_COMPILED
