"""The variables of meta-training: Phi, its meta-optimizers, the step and the logging window."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.private_names import take_reduced_gradients
from meta_shrink.sections import check_keys
from meta_shrink.types import MetaParams

META_OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
# Of Keras's own loop of training: here they would change nothing, or divide the meta-gradient by a
# factor that no loss was multiplied by.
WITHOUT_USE = ("kwargs", "name", "use_ema", "ema_momentum", "ema_overwrite_frequency")
WITHOUT_USE += ("loss_scale_factor",)
DECAYS = ("none", "linear")


def meta_optimizer(
    *, name: str, learning_rate: float, decay: str = "none", steps: int, **options: Any
) -> keras.optimizers.Optimizer:
    """A Keras optimizer for one component of Phi.

    Args:
      name: "adam" or "sgd".
      learning_rate: at the first meta-step.
      decay: "none", or "linear" to 0 at meta-step `steps`.
      **options: of the Keras optimizer, for instance momentum, beta_1, epsilon.

    Raises:
      UsageError: unknown name or decay, an option that the optimizer does not have, or a
        learning rate that is not positive and finite.
    """
    if name not in META_OPTIMIZERS or decay not in DECAYS or not 0 < learning_rate < math.inf:
        raise UsageError(
            f"meta_optimizer got name={name!r}, decay={decay!r}, learning_rate={learning_rate}; "
            f"expected a name of {', '.join(META_OPTIMIZERS)}, a decay of {', '.join(DECAYS)}, a "
            "positive finite learning rate."
        )
    parameters = inspect.signature(META_OPTIMIZERS[name]).parameters
    known = [key for key in parameters if key not in WITHOUT_USE]
    check_keys(f"The meta_optimizer {name!r}", options, (), known)
    rate: Any = learning_rate
    if decay == "linear":
        rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, max(steps, 1), 0.0)
    try:
        return META_OPTIMIZERS[name](learning_rate=rate, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"meta_optimizer {name!r} refused its options: {error}.") from error


@dataclass
class MetaState:
    """Everything that changes during meta-training; all of it is in a checkpoint.

    components: "phi", "log_sigma2", "log_alpha" -> its variables (phi: V, log_sigma2: one [M],
        log_alpha: one [M] or V).
    optimizers: the meta-optimizer of each *learned* component; none where Phi is only read.
    step: meta-steps done. bad_steps: non-finite meta-steps in a row; max_bad_steps end a run.
    window: metric sums since the last row of the log, over the meta-steps with a finite task, and
        their number.
    """

    components: dict[str, list[keras.Variable]]
    optimizers: dict[str, keras.optimizers.Optimizer]
    step: tf.Variable
    bad_steps: tf.Variable
    window: tf.Variable
    max_bad_steps: int
    _per_parameter_alpha: bool = field(default=False)

    @classmethod
    def create(
        cls,
        initial: MetaParams,
        optimizers: Mapping[str, keras.optimizers.Optimizer],
        *,
        num_metrics: int = 0,
        max_bad_steps: int = 2**31 - 1,
        names: tuple[str, ...],
    ) -> MetaState:
        """Variables at their initial values; call inside the strategy's scope.

        Args:
          initial: Phi at meta-step 0.
          optimizers: of the learned components.
          num_metrics: length of the logging window. max_bad_steps: see MetaState.
          names: path of each variable of phi.

        Raises:
          UsageError: a learned component that Phi does not have.
        """
        per_parameter = isinstance(initial.log_alpha, (list, tuple))
        components = {
            "phi": _variables("phi", initial.phi, names),
            "log_sigma2": _variables("log_sigma2", [initial.log_sigma2], ("modules",)),
            "log_alpha": _variables("log_alpha", initial.log_alpha, names)
            if per_parameter
            else _variables("log_alpha", [initial.log_alpha], ("modules",)),
        }
        unknown = sorted(set(optimizers) - set(components))
        if unknown:
            raise UsageError(
                f"meta_optimizer has a section {', '.join(unknown)}; the components of Phi are "
                f"{', '.join(components)}."
            )
        for component, optimizer in optimizers.items():
            optimizer.build(components[component])
            take_reduced_gradients(optimizer)
        return cls(
            components,
            dict(optimizers),
            step=_counter(),
            bad_steps=_counter(),
            window=tf.Variable(tf.zeros([num_metrics]), trainable=False),
            max_bad_steps=max_bad_steps,
            _per_parameter_alpha=per_parameter,
        )

    def meta(self) -> MetaParams:
        """Phi as tensors."""
        values = {
            name: [tf.convert_to_tensor(v.value) for v in variables]
            for name, variables in self.components.items()
        }
        alpha = values["log_alpha"]
        return MetaParams(
            values["phi"], values["log_sigma2"][0], alpha if self._per_parameter_alpha else alpha[0]
        )

    def count_step(self, good: tf.Tensor) -> None:
        """One meta-step more, with a finite task or without.

        Once max_bad_steps in a row had none it stays so, whatever follows: who looks from time to
        time finds it, however many steps lie between.
        """
        recovers = good & (self.bad_steps < self.max_bad_steps)
        self.bad_steps.assign(tf.where(recovers, tf.zeros_like(self.bad_steps), self.bad_steps + 1))
        self.step.assign_add(1)

    def learning_rates(self) -> dict[str, float]:
        """The present rate of each meta-optimizer."""
        return {name: float(o.learning_rate) for name, o in self.optimizers.items()}

    def learned(self) -> dict[str, tf.Variable]:
        """The variables of Phi and the step under their names in a checkpoint."""
        named = {"step": self.step}
        for component, variables in self.components.items():
            for variable in variables:
                named[f"{component}.{variable.name}"] = variable.value
        return named

    def trackables(self) -> dict[str, tf.Variable]:
        """Every variable under a stable name, for a checkpoint."""
        named = {**self.learned(), "bad_steps": self.bad_steps, "window": self.window}
        for component, optimizer in self.optimizers.items():
            for number, variable in enumerate(optimizer.variables):
                named[f"optimizer.{component}.{number}.{variable.name}"] = variable.value
        return named


def _variables(component: str, values, names) -> list[keras.Variable]:
    return [
        keras.Variable(value, name=name, trainable=True)
        for value, name in zip(values, _apart([n.replace("/", ".") for n in names]), strict=True)
    ]


def _apart(names: list[str]) -> list[str]:
    """The names, those that are used twice (of b/c and b.c) with their number."""
    return [f"{n}#{i}" if names.count(n) > 1 else n for i, n in enumerate(names)]


def _counter() -> tf.Variable:
    return tf.Variable(0, dtype=tf.int64, trainable=False)
