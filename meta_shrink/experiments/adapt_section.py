"""The `adapt` section of a config: how tasks are adapted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from meta_shrink.adaptation import (
    Adaptation,
    NextBatch,
    adaptation,
    full_batch,
    make_adapt,
    mini_batch_key,
    random_batch,
)
from meta_shrink.errors import UsageError
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import call, choose
from meta_shrink.types import Adapt, Augment, Batch, NegLogLik, TaskOptimizer

# What the section has besides the options of its optimizer.
SETTINGS = ("optimizer", "learning_rate", "steps", "batch_size", "data", "rate_per")
Draw = Callable[[tf.Tensor, Batch, int], Batch]


class AdaptSettings(NamedTuple):
    """How tasks are adapted; batch_size 0 and on_all as in the `adapt` section; drawn
    where mini-batches are drawn from what is no batch itself.

    make: (modules=None) -> Adaptation of all modules, or of the named ones.
    """

    make: Callable[..., Adaptation]
    steps: int
    learning_rate: float
    rate_per: str
    next_batch: NextBatch
    batch_size: int
    on_all: bool
    drawn: bool

    @property
    def adaptation(self) -> Adaptation:
        """Adaptation of all modules."""
        return self.make()

    @property
    def whole(self) -> Adapt:
        """The adaptation of meta-training in one piece: (Phi, task) -> theta."""
        return make_adapt(self.adaptation, steps=self.steps)


def adapt_settings(
    *,
    nll: NegLogLik,
    registry: ModuleRegistry,
    augment: Augment | None,
    optimizers: Mapping[str, Callable[..., TaskOptimizer]],
    draw: Draw | None = None,
    native: bool = False,
    optimizer: str,
    learning_rate: float,
    steps: int,
    batch_size: int = 0,
    data: str = "train",
    rate_per: str = "module",
    **options: Any,
) -> AdaptSettings:
    """The settings of a config section; draw as in TaskSource, native as in adaptation.

    Raises:
      UsageError: a number out of range, an unknown name, or all data at once of tasks whose
        mini-batches are drawn.
    """
    if not 0 < learning_rate < math.inf or batch_size < 0 or steps < 1:
        raise UsageError(
            f"adapt got learning_rate={learning_rate}, batch_size={batch_size}, steps={steps}; "
            "expected a positive finite rate, batch_size >= 0 (0: all examples), at least 1 step."
        )
    choose("adapt.data", dict.fromkeys(("train", "all")), data)
    choose("adapt.rate_per", dict.fromkeys(("module", "parameter")), rate_per)
    next_batch = _next_batch(augment, draw, batch_size, data)
    factory = choose("adapt.optimizer", optimizers, optimizer)
    task_optimizer = call("adapt", factory, options, also=SETTINGS)
    return AdaptSettings(
        partial(adaptation, nll, task_optimizer, registry, next_batch=next_batch, native=native),
        steps,
        learning_rate,
        rate_per,
        next_batch,
        batch_size,
        on_all=data == "all",
        drawn=draw is not None,
    )


def _next_batch(
    augment: Augment | None, draw: Draw | None, batch_size: int, data: str
) -> NextBatch:
    if draw is not None:
        if not batch_size or data == "all":
            raise UsageError(
                f"adapt got batch_size={batch_size}, data={data!r}, but the mini-batches of these "
                "tasks are drawn from their training data; expected batch_size >= 1, data='train'."
            )
        return lambda task, step: draw(mini_batch_key(task, step), task.train, batch_size)
    if batch_size:
        return random_batch(size=batch_size, augment=augment)
    return full_batch(augment=augment)
