"""Small problems for tests: a model, its registry and loss, meta-parameters and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from meta_shrink import (
    MetaParams,
    ModuleRegistry,
    Task,
    cross_entropy,
    gaussian,
    negative_log_likelihood,
    squared_error,
)
from meta_shrink.models import gaussian as gaussian_model
from meta_shrink.models import mlp
from meta_shrink.params import subtract
from meta_shrink.types import NegLogLik, Params


class Problem(NamedTuple):
    """One model, and tasks [T, ...] for it."""

    registry: ModuleRegistry
    nll: NegLogLik
    meta: MetaParams
    tasks: Task

    def task(self, number: int = 0) -> Task:
        return tf.nest.map_structure(lambda x: x[number], self.tasks)


@contextmanager
def precision_of(dtype: str):
    """Build Keras models in this floating-point type."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def parameters(model: keras.Model, *, noise: float = 0.0) -> list[tf.Tensor]:
    """The model's trainable variables as tensors, with noise so that no bias is zero."""
    rng = np.random.default_rng(1)
    values = [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables]
    return [x + tf.constant(noise * rng.normal(size=x.shape), x.dtype) for x in values]


def meta_params(
    phi: Sequence[tf.Tensor], sigma2: Sequence[float], alpha: Sequence[float] | float
) -> MetaParams:
    """Meta-parameters with these variances and one or M learning rates."""
    dtype = phi[0].dtype
    rates = np.broadcast_to(np.asarray(alpha, float), [len(sigma2)])
    with np.errstate(divide="ignore"):
        log_sigma2 = tf.constant(np.log(sigma2), dtype)
    return MetaParams(list(phi), log_sigma2, tf.constant(np.log(rates), dtype))


def make_tasks(train: Any, val: Any, dtype: str) -> Task:
    """Tasks [T, N, ...] from arrays; integers stay integers."""

    def tensor(array):
        integer = np.issubdtype(np.asarray(array).dtype, np.integer)
        return tf.constant(array, tf.int32 if integer else dtype)

    train, val = tf.nest.map_structure(tensor, (train, val))
    count = len(tf.nest.flatten(train)[0])
    return Task(train, val, tf.constant([[7, number] for number in range(count)], tf.int32))


def regression(
    *,
    hidden: Sequence[int] = (3,),
    inputs: int = 2,
    num_tasks: int = 2,
    dtype: str = "float64",
    reduction: str = "mean",
    sigma2: float | Sequence[float] = 0.5,
    alpha: float = 0.1,
    by: str = "layer",
) -> Problem:
    """Least squares with a small tanh network, or a linear one (hidden=()).

    by: what a module is, "layer" or "variable".
    """
    with precision_of(dtype):
        model = mlp(seed=0, inputs=inputs, hidden=hidden, activation="tanh")
    modules = {"layer": ModuleRegistry.by_layer, "variable": ModuleRegistry.by_variable}
    registry = modules[by](model)
    variances = np.broadcast_to(sigma2, [registry.num_modules]).tolist()
    rng = np.random.default_rng(2)
    x = rng.normal(size=[2, num_tasks, 6, inputs])
    y = rng.normal(size=[2, num_tasks, 6, 1])
    return Problem(
        registry,
        negative_log_likelihood(model, squared_error(), reduction=reduction),
        meta_params(parameters(model, noise=0.1), variances, alpha),
        make_tasks((x[0], y[0]), (x[1], y[1]), dtype),
    )


def classification(*, sigma2: Sequence[float] = (0.5,), alpha: float = 0.5) -> Problem:
    """Softmax regression in float64: with a prior, strictly convex and not quadratic."""
    with precision_of("float64"):
        model = mlp(seed=0, inputs=2, hidden=(), outputs=3)
    registry = (
        ModuleRegistry.by_variable(model) if len(sigma2) > 1 else ModuleRegistry.by_layer(model)
    )
    rng = np.random.default_rng(3)
    x = rng.normal(size=[2, 1, 8, 2])
    labels = rng.integers(3, size=[2, 1, 8])
    return Problem(
        registry,
        negative_log_likelihood(model, cross_entropy()),
        meta_params(parameters(model, noise=0.1), sigma2, alpha),
        make_tasks((x[0], labels[0]), (x[1], labels[1]), "float64"),
    )


def normal_means(
    observations: Any,
    validation: Any,
    *,
    sigma2: Sequence[float],
    phi: float = 0.0,
    alpha: float = 0.1,
    reduction: str = "sum",
    dtype: str = "float64",
) -> Problem:
    """Unknown means with noise 1 (Example 1): arrays [T, N, M], each dimension a module."""
    dimensions = np.shape(observations)[-1]
    with precision_of(dtype):
        model = gaussian_model(seed=0, dimensions=dimensions)
    nll = negative_log_likelihood(model, gaussian(noise=[1.0] * dimensions), reduction=reduction)
    tasks = make_tasks((observations, observations), (validation, validation), dtype)
    # Distinct tensors: a tape cannot tell one tensor used twice apart.
    center = [tf.constant([phi], dtype) for _ in range(dimensions)]
    registry = ModuleRegistry.by_variable(model)
    return Problem(registry, nll, meta_params(center, sigma2, alpha), tasks)


def flat(params: Sequence[tf.Tensor]) -> np.ndarray:
    """All numbers of a parameter list as one vector."""
    return np.concatenate([np.ravel(x) for x in params])


def energy(meta: MetaParams, theta: Params, registry: ModuleRegistry) -> tf.Tensor:
    """-log p(theta | phi, sigma^2) without its normaliser, [] (Eq. 40).

    The normaliser is left out for good: differentiated, it drives sigma^2 to 0 (Lemma 1).
    """
    distance2 = registry.sum([tf.square(x) for x in subtract(theta, meta.phi)])
    return 0.5 * tf.reduce_sum(distance2 * tf.exp(-meta.log_sigma2))
