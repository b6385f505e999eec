"""One batch, many adapters: each row of a batch runs with tensors of its own.

`tf.vectorized_map` turns the network of one row into that of a batch. Layers without tensors of
the adapter see the whole batch at once and cost as much as without adapters; dense layers with
their own tensors become batched products. What has no rule there, a convolution whose filter
changes from row to row above all, runs row by row in a loop of that operation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]


def row_wise(forward: Callable[[Tensors, Tensors], Tensors]) -> Callable[..., Tensors]:
    """(inputs [B, ...], index [B], stacked adapters [A, ...]) -> outputs [B, ...].

    Args:
      forward: (inputs [1, ...], the tensors of one adapter) -> outputs [1, ...].

    The function it returns raises ValueError when traced, where the network holds an operation
    that cannot be vectorised at all.
    """

    def mixed(inputs: Tensors, index: tf.Tensor, stacked: Tensors) -> Tensors:
        count = tf.size(index)
        # Two rows at least: a vectorised tf.squeeze, which Keras has in every bias, also drops the
        # axis of the batch where that is 1.
        row = tf.minimum(tf.range(tf.maximum(count, 2)), count - 1)
        rows = {name: tf.gather(tensor, tf.gather(index, row)) for name, tensor in stacked.items()}
        inputs = {name: tf.gather(x, row) for name, x in inputs.items()}

        def outputs_of(row: tuple[Tensors, Tensors]) -> dict[str, tf.Tensor]:
            own, adapter = row
            outputs = forward({name: x[tf.newaxis] for name, x in own.items()}, adapter)
            return {name: y[0] for name, y in outputs.items()}

        outputs = tf.vectorized_map(outputs_of, (inputs, rows))
        return {name: y[:count] for name, y in outputs.items()}

    return mixed
