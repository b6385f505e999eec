"""The `adapt` section of a config: how tasks are adapted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from meta_shrink.adaptation import (
    Adaptation,
    NextBatch,
    adaptation,
    full_batch,
    make_adapt,
    random_batch,
)
from meta_shrink.errors import UsageError
from meta_shrink.registry import ModuleRegistry
from meta_shrink.sections import call, choose
from meta_shrink.types import Adapt, Augment, NegLogLik, TaskOptimizer


class AdaptSettings(NamedTuple):
    """How tasks are adapted; batch_size 0 and on_all as in the `adapt` section.

    make: (modules=None) -> Adaptation of all modules, or of the named ones.
    """

    make: Callable[..., Adaptation]
    steps: int
    learning_rate: float
    rate_per: str
    next_batch: NextBatch
    batch_size: int
    on_all: bool

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
    native: bool = False,
    optimizer: str,
    learning_rate: float,
    steps: int,
    batch_size: int = 0,
    data: str = "train",
    rate_per: str = "module",
    **options: Any,
) -> AdaptSettings:
    """The settings of a config section; native as in adaptation.

    Raises:
      UsageError: a number out of range or an unknown name.
    """
    if not learning_rate > 0 or batch_size < 0 or steps < 1:
        raise UsageError(
            f"adapt got learning_rate={learning_rate}, batch_size={batch_size}, steps={steps}; "
            "expected a positive rate, batch_size >= 0 (0: all examples), at least 1 step."
        )
    choose("adapt.data", dict.fromkeys(("train", "all")), data)
    choose("adapt.rate_per", dict.fromkeys(("module", "parameter")), rate_per)
    if batch_size:
        next_batch = random_batch(size=batch_size, augment=augment)
    else:
        next_batch = full_batch(augment=augment)
    task_optimizer = call("adapt", choose("adapt.optimizer", optimizers, optimizer), options)
    return AdaptSettings(
        partial(adaptation, nll, task_optimizer, registry, next_batch=next_batch, native=native),
        steps,
        learning_rate,
        rate_per,
        next_batch,
        batch_size,
        on_all=data == "all",
    )
