"""From a config to functions: the only place where strings become things.

Each section of a config is the keyword arguments of one function; an unknown key is refused with
the keys that are known.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from meta_shrink.evaluation import HeldOutEvaluator, inductive_metric, transductive
from meta_shrink.experiments import config as needs
from meta_shrink.experiments.adapt_section import AdaptSettings, adapt_settings
from meta_shrink.experiments.components import Components, default_components, recorded
from meta_shrink.experiments.defaults import Device, EvalOptions, Prior, Schedule
from meta_shrink.experiments.execution import task_axis_of, try_vectorized, use_xla
from meta_shrink.experiments.own_checks import check_own_model
from meta_shrink.experiments.ranges import check_evaluation, check_sections
from meta_shrink.experiments.task_data import task_source
from meta_shrink.linear_solve import damped_solve
from meta_shrink.losses import (
    LOSSES,
    ExampleLoss,
    Metric,
    MetricFacts,
    mean_metric,
    negative_log_likelihood,
)
from meta_shrink.meta_gradients import Method, hessian_of
from meta_shrink.models import MODELS
from meta_shrink.models.logits import check_logits
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import call, choose, named
from meta_shrink.tasks.transforms import transformed
from meta_shrink.training.distribution import set_matmul_precision
from meta_shrink.types import MetaGradient, MetaParams, NegLogLik, TaskSource

REGISTRIES = {
    "layer": ModuleRegistry.by_layer,
    "variable": ModuleRegistry.by_variable,
    "pattern": ModuleRegistry.by_pattern,
}


class Experiment(NamedTuple):
    """Everything of a config as functions and values; no variables yet.

    config: to be recorded, and for sections that programs read. schedule, jit: as "auto" chose.
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
        self,
        modules: Sequence[str] | None = None,
        *,
        inductive: bool = False,
        strategy: tf.distribute.Strategy | None = None,
    ) -> HeldOutEvaluator:
        """The held-out tasks of this experiment, ready to be adapted (compiled at first use).

        Args:
          modules: the only ones that adapt; all by default.
          inductive: measure with the moments of a task's training data as well.
          strategy: its replicas share the tasks.
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
            strategy=strategy,
        )


def build(config: Mapping[str, Any], components: Components | None = None) -> Experiment:
    """Check a config (experiments/defaults.py), build its functions, set its matmul_precision.

    Args:
      components: the tables of its names; ours alone by default.

    Raises:
      UsageError: anything that does not exist, does not fit or cannot work; one sentence.
    """
    check_sections(config)
    components = components or default_components()
    set_matmul_precision(Device(**config.get("device", {})).matmul_precision)
    schedule, prior = Schedule(**config["train"]), Prior(**config["prior"])
    model = named("model", components.models, config["model"], seed=config["seed"])
    registry = call("modules", _registry, config["modules"], model=model)
    check_evaluation(evaluated := EvalOptions(**config.get("eval", {})), registry, model)
    jit = use_xla(schedule.jit, model, schedule.steps)
    loss = call("loss", _loss, config["loss"], model=model, jit=jit, losses=components.losses)
    facts, example_loss, nll, metric = loss
    drawn = task_source(config, components.tasks)
    config = recorded(config, components, drawn.data)
    method = choose("algorithm.name", components.meta_gradients, config["algorithm"].get("name"))
    adapt = _adapt(config["adapt"], components, nll, registry, drawn, jit)
    source = transformed(drawn, on_all=adapt.on_all, validation_batch=schedule.validation_batch)
    initial = _initial(model, registry, adapt, prior.sigma2)
    needs.check_learned(method, config)
    needs.check_source(method, config, source)
    needs.check_shapes(model, nll, initial, source, adapt.next_batch, adapt.batch_size)
    experiment = Experiment(
        config=config,
        components=components,
        schedule=schedule,
        prior=prior,
        eval=evaluated,
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
    return _tried(experiment)


def _tried(experiment: Experiment) -> Experiment:
    """The experiment with what "auto" chooses, or the choice tried, as is a loss not of ours."""
    method, schedule, batch = experiment.method, experiment.schedule, experiment.adapt.next_batch
    model, phi, source = experiment.model, experiment.initial.phi, experiment.source
    if experiment.config["model"]["name"] not in MODELS:
        check_own_model(model, source, batch)
    needs.check_outputs(model, experiment.config["loss"]["name"], source, batch)
    if method.differentiates_twice and experiment.config["loss"]["name"] not in LOSSES:
        needs.check_curvature(model, experiment.example_loss, phi, source, batch)
    vectorises = partial(try_vectorized, experiment.nll, experiment.initial, source, batch, method)
    axis = task_axis_of(schedule.task_axis, method, experiment.jit, model, vectorises)
    return experiment._replace(schedule=schedule._replace(task_axis=axis))


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


def _registry(*, model: keras.Model, by: str, patterns: Mapping[str, str] | None = None):
    build_registry = choose("modules.by", REGISTRIES, by)
    needs.check_patterns(by, patterns or {})
    return build_registry(model, dict(patterns or {})) if by == "pattern" else build_registry(model)


def _loss(*, model: keras.Model, jit: bool, losses, name: str, reduction: str, **options: Any):
    loss = choose("loss.name", losses, name)
    example_loss = call("loss", loss.factory, options, also=("name", "reduction"))
    nll = negative_log_likelihood(model, example_loss, reduction=reduction, native=not jit)
    check_logits(model, name)
    metric = mean_metric(model, loss.metric.example(example_loss), native=not jit)
    return loss.metric, example_loss, nll, metric


def _meta_gradient(
    method: Method, config, components, nll, registry, adapt: AdaptSettings, jit: bool
) -> MetaGradient:
    """The algorithm of a config; "last" is the last mini-batch of adaptation.

    Where mini-batches are drawn from data that are no batch, it is always that one.
    """
    options = {key: value for key, value in config["algorithm"].items() if key != "name"}
    given, also = {"nll": nll, "registry": registry}, ["name"]
    last = {"last": lambda task: adapt.next_batch(task, adapt.steps - 1)}
    if method.solves:
        data = last if adapt.drawn else {"all": None, **last}
        chosen = options.pop("hessian_data", next(iter(data)))
        given["hessian"] = hessian_of(
            hessian_loss(config, components, nll, jit),
            data=choose("algorithm.hessian_data", data, chosen),
            native=not jit,
        )
        also += ["hessian_data", *inspect.signature(damped_solve).parameters]
        solving = {key: options.pop(key) for key in also if key in options}
        given["solve"] = call("algorithm", damped_solve, solving)
    elif adapt.drawn:
        given["nll_data"] = last["last"]
    return call("algorithm", method.factory, options, also=also, **given)


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
