"""Networks that compute something else where TensorFlow does not know the lengths in advance.

An exported network takes any length where its inputs leave it open, and so does a compiled one.
Keras's TimeDistributed then takes the number of examples for that of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError, foreign
from meta_shrink.models.private_names import flat_layers
from meta_shrink.models.refusals import example_specs
from meta_shrink.models.replaced_calls import replaced_calls
from meta_shrink.models.row_refusals import Rows, differ, modes, numbers

TOLERANCE = 1e-4  # of the largest number: compiled otherwise, operations round otherwise


def check_lengths(model: keras.Model, rows: Rows) -> None:
    """Axes of any length are computed alike whether or not their length is known in advance.

    Args:
      rows: a few examples.

    Raises:
      UsageError: they are not; the sentence names the layer where it shows first.
    """
    specs = example_specs(model)
    if not _has_open_axes(specs):
        return
    params = next(numbers(model))
    count = _count(specs, rows)
    given = tf.nest.map_structure(
        lambda spec, x: tf.cast(tf.gather(x, tf.range(count) % len(x)), spec.dtype), specs, rows
    )
    own = [tf.TensorSpec(x.shape, x.dtype) for x in params]
    known, where = _computed(model, tf.function(autograph=False), params, given)
    try:
        compiled = tf.function(autograph=False, input_signature=[own, specs])
        told, names = _computed(model, compiled, params, given)
    except tf.errors.OpError as error:
        first = str(error).strip().splitlines()[0]
        raise _refusal(model, f"fails ({foreign(first, 200)})", "") from error
    expected = dict(zip(where, known, strict=True))
    for name, values in zip(names, told, strict=True):
        if name in expected and _differ(expected[name], values):
            raise _refusal(model, "computes other numbers", f", first in layer {name!r}")


def _count(specs: Any, rows: Rows) -> int:
    """Of examples: as many as the network takes, else as no axis is long, for which one may be
    taken."""
    sizes = {spec.shape[0] for spec in tf.nest.flatten(specs) if spec is not None} - {None}
    lengths = {size for x in tf.nest.flatten(rows) for size in x.shape[1:]}
    return max(sizes) if sizes else min({*range(2, 3 + len(lengths))} - lengths)


def _refusal(model: keras.Model, what: str, where: str) -> UsageError:
    timed = [x.name for x in flat_layers(model) if isinstance(x, keras.layers.TimeDistributed)]
    hint = f" (a known fault of Keras's TimeDistributed, {timed[0]!r})" if timed else ""
    return UsageError(
        f"Model {model.name!r} {what} where the lengths of its inputs are not known in advance"
        f"{where}{hint}: give keras.Input the lengths, or use layers that take any "
        "(Dense does without TimeDistributed)."
    )


def _has_open_axes(specs: Any) -> bool:
    return any(None in x.shape[1:] for x in tf.nest.flatten(specs) if x is not None)


def _computed(
    model: keras.Model, function: Callable[..., Any], params: Sequence[tf.Tensor], rows: Rows
) -> tuple[list[list[np.ndarray]], list[str]]:
    """What each layer computes in inference, in the order of the first calls, and the layers."""
    inference, names = modes(model)[0], list[str]()

    @function
    def call(params: Sequence[tf.Tensor], rows: Rows) -> list[list[tf.Tensor]]:
        graph, seen = tf.compat.v1.get_default_graph(), dict[str, list[tf.Tensor]]()

        def wrap(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
            def noted(*args: Any, **options: Any) -> Any:
                outputs = call(*args, **options)
                flat = [x for x in tf.nest.flatten(outputs) if tf.is_tensor(x)]
                if all(x.graph is graph for x in flat):  # Not of a loop inside.
                    seen.setdefault(layer.name, flat)
                return outputs

            return noted

        with replaced_calls(flat_layers(model, include_self=False), wrap):
            outputs = inference(params, rows)
        seen[""] = [x for x in tf.nest.flatten(outputs) if tf.is_tensor(x)]
        names[:] = seen
        return list(seen.values())

    values = call(params, rows)
    return [[np.asarray(x) for x in some] for some in values], names


def _differ(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    if [x.shape for x in some] != [x.shape for x in others]:
        return True
    numbers_of = ([x for x in values if x.dtype.kind in "fc"] for values in (some, others))
    return differ(*numbers_of, tolerance=TOLERANCE)
