"""Networks that work while Keras builds them, and not when they are called again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from meta_shrink.errors import UsageError, foreign
from meta_shrink.models.private_names import flat_layers
from meta_shrink.models.refusals import example_specs
from meta_shrink.models.replaced_calls import replaced_calls
from meta_shrink.models.row_refusals import Rows, as_many_as, modes, numbers


def check_calls(model: keras.Model, rows: Rows) -> None:
    """The network can be called on examples in inference and in training mode.

    Raises:
      UsageError: it cannot; the sentence names the innermost layer that fails.
    """
    rows = as_many_as(example_specs(model), rows)
    failing: list[str] = []

    def wrap(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            try:
                return call(*args, **options)
            except Exception:
                failing.append(layer.name)
                raise

        return noted

    for call in modes(model):
        try:
            with replaced_calls(flat_layers(model, include_self=False), wrap):
                call(next(numbers(model)), rows)
        except (ValueError, TypeError, RuntimeError, AttributeError, tf.errors.OpError) as error:
            raise UsageError(_sentence(model, failing, str(error))) from error


def _sentence(model: keras.Model, failing: list[str], reason: str) -> str:
    where = f", first in layer {failing[0]!r}" if failing else ""
    what = f"Model {model.name!r} cannot be called on examples{where}"
    if "out of scope" in reason:
        return (
            f"{what}: it keeps a tensor of an earlier call, which is gone; compute it anew in "
            "every call, or make it with self.add_weight."
        )
    return f"{what}: {foreign(reason)}"
