"""Networks that compute otherwise in training mode, noise and batch statistics aside.

Held-out metrics are measured in training mode without noise, as adaptation computes; what is
exported computes in inference. Both must be one network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.refusals import example_specs
from meta_shrink.models.row_refusals import Call, Rows, as_many_as, differ, modes, numbers, seen

ALL = slice(None)


def check_modes(model: keras.Model, rows: Rows) -> None:
    """The network computes alike in inference and in training mode without noise, in which batch
    normalisations are as in inference.

    Args:
      rows: a few examples.

    Raises:
      UsageError: it does not; the sentence names the first layer that differs.
    """
    rows = as_many_as(example_specs(model), rows)
    calls = modes(model)
    both = tf.function(lambda *given: [_flat(call(*given)) for call in calls], autograph=False)
    for params in numbers(model):
        if _unlike(*both(params, rows)):
            raise UsageError(
                f"Model {model.name!r} computes something else in training mode than in inference, "
                f"first {_first_difference(model, calls, params, rows)}: its metrics would be of a "
                "network that is not served. Use the argument `training` of a call for noise alone."
            )


def _flat(values: Any) -> list[tf.Tensor]:
    return [x for x in tf.nest.flatten(values) if tf.is_tensor(x)]


def _unlike(some: Sequence[Any], others: Sequence[Any]) -> bool:
    if [x.shape for x in some] != [x.shape for x in others]:
        return True
    return differ([np.asarray(x) for x in some], [np.asarray(x) for x in others])


def _first_difference(
    model: keras.Model, calls: Sequence[Call], params: Sequence[tf.Tensor], rows: Rows
) -> str:
    """Where inference first computes something else, in words."""
    served, trained = (_by_call(model, partial(call, params), rows) for call in calls)
    others = dict(trained)
    for key, some in served:
        if key in others and _unlike(some, others[key]):
            return key[0]
    return "behind its last layer"


def _by_call(
    model: keras.Model, call: Callable[[Rows], Any], rows: Rows
) -> Iterator[tuple[tuple[str, int], list[np.ndarray]]]:
    """((place, how often it was seen before), numbers there), as a layer may be called again."""
    counts = Counter[str]()
    for where, values in seen(model, call, rows, ALL):
        yield (where, counts[where]), values
        counts[where] += 1
