"""From a config to functions: the only place where strings become things.

Each section of a config is the keyword arguments of one function; an unknown key is refused with
the keys that are known.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from meta_shrink.adaptation import (
    Adaptation,
    NextBatch,
    adaptation,
    full_batch,
    make_adapt,
    random_batch,
    train_on_all,
)
from meta_shrink.checks import check_learned, check_sections, check_shapes, check_task_axis
from meta_shrink.errors import UsageError
from meta_shrink.evaluation import HeldOut, Metric
from meta_shrink.losses import LOSSES, METRICS, MetricFacts, negative_log_likelihood
from meta_shrink.meta_gradients import META_GRADIENTS, Method
from meta_shrink.models import MODELS
from meta_shrink.prior import SIGMA2_MAX, SIGMA2_MIN
from meta_shrink.proximal import OPTIMIZERS
from meta_shrink.registry import ModuleRegistry
from meta_shrink.tasks import TASKS
from meta_shrink.types import Adapt, MetaGradient, MetaParams, NegLogLik, TaskSource

ALGORITHMS = META_GRADIENTS
REGISTRIES = {
    "layer": ModuleRegistry.by_layer,
    "variable": ModuleRegistry.by_variable,
    "pattern": ModuleRegistry.by_pattern,
}


class AdaptSettings(NamedTuple):
    """How tasks are adapted; batch_size 0 and on_all as in the `adapt` section."""

    adaptation: Adaptation
    steps: int
    learning_rate: float
    rate_per: str
    next_batch: NextBatch
    batch_size: int
    on_all: bool


class Experiment(NamedTuple):
    """Everything of a config that is functions; no variables yet.

    make_meta_gradient: Adapt -> MetaGradient, so that adaptation may also run in chunks.
    """

    config: Mapping[str, Any]
    model: keras.Model
    registry: ModuleRegistry
    nll: NegLogLik
    metric: Metric
    metric_facts: MetricFacts
    source: TaskSource
    adapt: AdaptSettings
    method: Method
    make_meta_gradient: Callable[[Adapt], MetaGradient]
    initial: MetaParams
    jit: bool

    @property
    def meta_gradient(self) -> MetaGradient:
        """The meta-gradient with adaptation in one piece."""
        return self.make_meta_gradient(make_adapt(self.adapt.adaptation, steps=self.adapt.steps))

    def held_out(self) -> HeldOut:
        """The held-out tasks of this experiment, ready to be adapted."""
        # Many more tasks than a meta-batch: a branch each would take minutes to compile.
        vectorized = self.config["train"]["task_axis"] == "vectorized"
        axis = "vectorized" if vectorized else "sequential"
        return HeldOut(
            self.adapt.adaptation, self.metric, self.source, task_axis=axis, jit=self.jit
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
    facts, nll, metric = call("loss", _loss, config["loss"], model=model)
    source = named("task", TASKS, config["task"], seed=seed)
    adapt = call("adapt", _adapt, config["adapt"], nll=nll, registry=registry)
    method = _choose("algorithm.name", META_GRADIENTS, config["algorithm"].get("name"))
    phi = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    initial = _initial(phi, registry, adapt, config["prior"])
    jit = _jit(config["train"]["jit"], model)
    check_learned(method, config)
    check_task_axis(method, config, jit)
    check_shapes(nll, initial, source, adapt.batch_size)
    return Experiment(
        config=config,
        model=model,
        registry=registry,
        nll=nll,
        metric=metric,
        metric_facts=facts,
        source=train_on_all(source) if adapt.on_all else source,
        adapt=adapt,
        method=method,
        make_meta_gradient=_meta_gradient_maker(config["algorithm"], nll, registry, adapt),
        initial=initial,
        jit=jit,
    )


def named(section: str, table: Mapping[str, Any], options: Mapping[str, Any], **given: Any) -> Any:
    """Call table[options["name"]] with the other options as keyword arguments."""
    rest = {key: value for key, value in options.items() if key != "name"}
    return call(section, _choose(f"{section}.name", table, options.get("name")), rest, **given)


def call(section: str, function: Callable[..., Any], options: Mapping[str, Any], **given: Any):
    """function(**given, **options).

    Raises:
      UsageError: a key of the section that the function does not take, or one that it misses.
    """
    try:
        inspect.signature(function).bind(**given, **options)
    except TypeError as error:
        known = [name for name in inspect.signature(function).parameters if name not in given]
        raise UsageError(
            f"Config section {section!r}: {error}; its keys are {', '.join(known)}."
        ) from error
    return function(**given, **options)


def _choose(key: str, table: Mapping[str, Any], name: Any) -> Any:
    if name not in table:
        raise UsageError(f"{key} is {name!r}; expected one of {', '.join(sorted(table))}.")
    return table[name]


def _registry(*, model: keras.Model, by: str, patterns: Mapping[str, str] | None = None):
    build_registry = _choose("modules.by", REGISTRIES, by)
    return build_registry(model, dict(patterns or {})) if by == "pattern" else build_registry(model)


def _loss(*, model: keras.Model, name: str, reduction: str, **options: Any):
    example_loss = named("loss", LOSSES, {"name": name, **options})
    facts = METRICS[name]
    nll = negative_log_likelihood(model, example_loss, reduction=reduction)
    return facts, nll, negative_log_likelihood(model, facts.example(example_loss))


def _adapt(
    *,
    nll: NegLogLik,
    registry: ModuleRegistry,
    optimizer: str,
    learning_rate: float,
    steps: int,
    batch_size: int = 0,
    data: str = "train",
    rate_per: str = "module",
    **options: Any,
) -> AdaptSettings:
    if not learning_rate > 0 or batch_size < 0 or steps < 1:
        raise UsageError(
            f"adapt got learning_rate={learning_rate}, batch_size={batch_size}, steps={steps}; "
            "expected a positive rate, batch_size >= 0 (0: all examples), at least 1 step."
        )
    _choose("adapt.data", dict.fromkeys(("train", "all")), data)
    _choose("adapt.rate_per", dict.fromkeys(("module", "parameter")), rate_per)
    next_batch = random_batch(size=batch_size) if batch_size else full_batch()
    task_optimizer = named("adapt", OPTIMIZERS, {"name": optimizer, **options})
    return AdaptSettings(
        adaptation(nll, task_optimizer, registry, next_batch=next_batch),
        steps,
        learning_rate,
        rate_per,
        next_batch,
        batch_size,
        on_all=data == "all",
    )


def _meta_gradient_maker(options, nll, registry, adapt: AdaptSettings):
    """Adapt -> MetaGradient; hessian_data "last" is the last mini-batch of adaptation."""
    method = META_GRADIENTS[options["name"]]
    rest = {key: value for key, value in options.items() if key != "name"}
    if "hessian_data" in rest:
        data = {"all": None, "last": lambda task: adapt.next_batch(task, adapt.steps - 1)}
        rest["hessian_data"] = _choose("algorithm.hessian_data", data, rest["hessian_data"])

    def make(adapt_function: Adapt) -> MetaGradient:
        return call(
            "algorithm", method.factory, rest, nll=nll, adapt=adapt_function, registry=registry
        )

    make(lambda meta, task: meta.phi)  # refuse bad options now, not in the first meta-step
    return make


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
    _choose("train.jit", dict.fromkeys(("auto", "on", "off")), choice)
    if choice != "auto":
        return choice == "on"
    if tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return True
    layers = model._flatten_layers(include_self=False)  # pyright: ignore[reportAttributeAccessIssue]
    return not any("Conv" in type(layer).__name__ for layer in layers)
