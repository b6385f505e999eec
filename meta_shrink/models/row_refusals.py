"""Networks whose examples see each other: each must be computed by itself.

Tasks are padded with copies of their examples, and a served row stands beside those of other
tasks. Batch normalisation alone is made right for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError
from meta_shrink.models.private_names import flat_layers
from meta_shrink.models.pure_call import batch_norms, mode, pure_call
from meta_shrink.models.refusals import example_specs
from meta_shrink.models.replaced_calls import replaced_calls

TOLERANCE = 1e-5  # of the largest number: the same operations on the same shapes
Rows = Any  # Inputs [N, ...] in the structure that the model takes.
Call = Callable[[Sequence[tf.Tensor], Rows], Any]


def check_rows(model: keras.Model, rows: Rows) -> None:
    """What the network computes for an example does not change with the others of its batch.

    Tried in inference mode and in training mode without noise, in which batch normalisations are
    as in inference; with the numbers where the network starts, and with random ones.

    Args:
      rows: a few examples that are not all alike.

    Raises:
      UsageError: it does; the sentence names the first layer where it does.
    """
    rows = as_many_as(example_specs(model), rows)
    for call in modes(model):
        compiled = tf.function(call, autograph=False)
        for params in numbers(model):
            if (row := _mixed(partial(compiled, params), rows)) is not None:
                where = _first_difference(model, partial(call, params), rows, row)
                raise UsageError(
                    f"Model {model.name!r} computes an example from the other examples of its "
                    f"batch, first {where}: padding would count, and a served answer would change "
                    "with its neighbours. Compute each example by itself; of layers over the "
                    "batch, only batch normalisation is allowed."
                )


def _mixed(call: Callable[[Rows], Any], rows: Rows) -> int | None:
    """The first or last row, if its outputs change when all others are made equal to it."""
    count = _count(rows)
    together = call(rows)
    for row in {0, count - 1}:
        alone = call(_repeated(rows, row))
        if differ(of_row(together, row, count), of_row(alone, row, count)):
            return row
    return None


def _count(rows: Rows) -> int:
    return len(tf.nest.flatten(rows)[0])


def as_many_as(specs: Any, rows: Rows) -> Rows:
    """The rows, or as many as a network of one batch size takes."""
    sizes = [x.shape[0] for x in tf.nest.flatten(specs) if x is not None and x.shape.rank]
    if not any(sizes):
        return rows
    wanted = tf.range(max(size or 0 for size in sizes))
    return tf.nest.map_structure(lambda x: tf.gather(x, wanted % len(x)), rows)


def _repeated(rows: Rows, row: int) -> Rows:
    return tf.nest.map_structure(lambda x: tf.repeat(x[row : row + 1 or None], len(x), 0), rows)


def modes(model: keras.Model) -> list[Call]:
    """The network in inference, and in training without noise and batch statistics."""
    state = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]

    def inference(params: Sequence[tf.Tensor], rows: Rows) -> Any:
        return model.stateless_call(params, state, rows, **mode(model, training=False))[0]

    def training(params: Sequence[tf.Tensor], rows: Rows) -> Any:
        with replaced_calls(batch_norms(model), _in_inference):
            return pure_call(model, params, state, rows, second_derivatives=False).outputs

    return [inference, training]


def _in_inference(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    del layer
    return lambda inputs, training=None, mask=None: call(inputs, training=False, mask=mask)


def numbers(model: keras.Model) -> Iterator[list[tf.Tensor]]:
    """Values of what is learned: as it starts, which may be zeros, and of a usual size."""
    own = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    rng = np.random.default_rng(0)
    yield own
    yield [tf.constant(rng.normal(size=x.shape, scale=_scale(x.shape)), x.dtype) for x in own]


def _scale(shape: Sequence[int]) -> float:
    return 1.0 / np.sqrt(max(1, np.prod(shape[:-1])))


def of_row(values: Any, row: int | slice, count: int) -> list[np.ndarray]:
    """What belongs to an example among tensors that have one row each."""
    flat = [x for x in tf.nest.flatten(values) if tf.is_tensor(x) and not tf.is_symbolic_tensor(x)]
    return [np.asarray(x[row]) for x in flat if x.shape.rank and x.shape[0] == count]


def differ(
    some: Sequence[np.ndarray], others: Sequence[np.ndarray], tolerance: float = TOLERANCE
) -> bool:
    """Whether the same tensors, computed twice, hold other numbers.

    tolerance: of the largest number.
    """
    for a, b in zip(some, others, strict=True):
        scale = np.max(np.abs(a[np.isfinite(a)]), initial=0.0) if a.dtype.kind in "fc" else 0.0
        if not np.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=a.dtype.kind == "f"):
            return True
    return False


def _first_difference(model: keras.Model, call: Callable[[Rows], Any], rows: Rows, row: int) -> str:
    """Where the row first changes when all others are made equal to it, in words."""
    together, alone = seen(model, call, rows, row), seen(model, call, _repeated(rows, row), row)
    for (where, some), (_, others) in zip(together, alone, strict=False):
        if len(some) == len(others) and differ(some, others):
            return where
    return "behind its last layer"


def seen(
    model: keras.Model, call: Callable[[Rows], Any], rows: Rows, row: int | slice
) -> list[tuple[str, list[np.ndarray]]]:
    """(place, numbers of the row there) before and behind each layer, in the order of a call."""
    found: list[tuple[str, list[np.ndarray]]] = []
    count = _count(rows)

    def wrap(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            given = [args, [options[name] for name in sorted(options)]]
            found.append((f"in front of layer {layer.name!r}", of_row(given, row, count)))
            outputs = call(*args, **options)
            found.append((f"in layer {layer.name!r}", of_row(outputs, row, count)))
            return outputs

        return noted

    with replaced_calls(flat_layers(model, include_self=False), wrap):
        call(rows)
    return found
