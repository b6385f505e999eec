"""One batch, many adapters: each row of a batch runs with tensors of its own.

`tf.vectorized_map` turns the network of one row into that of a batch. Layers without tensors of
the adapter see the whole batch at once and cost as much as without adapters; the others become
batched products. It has no rule for a convolution whose filter changes from row to row, so those
layers alone are computed as a product over patches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import keras
import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]
_LOCK = threading.RLock()


def row_wise(forward: Callable[[Tensors, Tensors], Tensors]) -> Callable[..., Tensors]:
    """(inputs [B, ...], index [B], stacked adapters [A, ...]) -> outputs [B, ...].

    Args:
      forward: (inputs [1, ...], the tensors of one adapter) -> outputs [1, ...].

    The function it returns raises ValueError when traced, where the network holds an operation
    that can not be vectorised.
    """

    def mixed(inputs: Tensors, index: tf.Tensor, stacked: Tensors) -> Tensors:
        count = tf.size(index)
        # Two rows at least: a vectorised tf.squeeze, which Keras has in every bias, also drops the
        # axis of the batch where that is 1.
        row = tf.minimum(tf.range(tf.maximum(count, 2)), count - 1)
        rows = {name: tf.gather(tensor, tf.gather(index, row)) for name, tensor in stacked.items()}
        inputs = {name: tf.gather(x, row) for name, x in inputs.items()}

        def one(row: tuple[Tensors, Tensors]) -> dict[str, tf.Tensor]:
            own, adapter = row
            outputs = forward({name: x[tf.newaxis] for name, x in own.items()}, adapter)
            return {name: y[0] for name, y in outputs.items()}

        outputs = tf.vectorized_map(one, (inputs, rows), fallback_to_while_loop=False)
        return {name: y[:count] for name, y in outputs.items()}

    return mixed


@contextmanager
def convolutions_as_products(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """While a model is traced, convolutions inside these of its layers multiply patches."""
    changed: list[Any] = list(layers)
    try:
        for layer in changed:
            # An attribute of the instance hides the method of its class.
            layer.call = _with_products(layer.call)
        yield
    finally:
        for layer in changed:
            del layer.call


def _with_products(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def wrapped(*args: Any, **options: Any) -> Any:
        with _LOCK:
            # Keras looks the function up when a layer is called.
            original = tf.nn.convolution
            tf.nn.convolution = _convolution
            try:
                return call(*args, **options)
            finally:
                tf.nn.convolution = original

    return wrapped


def _convolution(
    input, filters, strides=1, padding="VALID", data_format=None, dilations=1, name=None
) -> tf.Tensor:
    """tf.nn.convolution of [N, W, C] or [N, H, W, C] as a product over patches."""
    del name
    rank = len(filters.shape) - 2
    last = data_format is None or data_format.endswith("C")
    if rank not in (1, 2) or not last or input.shape[-1] != filters.shape[-2]:
        raise ValueError("a convolution is neither a plain 1-D nor a plain 2-D one, channels last")
    strides, dilations = _per_axis(strides, rank), _per_axis(dilations, rank)
    if rank == 2:
        return _product(input, filters, strides, dilations, padding)
    inputs, kernel = input[:, :, tf.newaxis], filters[:, tf.newaxis]
    return _product(inputs, kernel, (*strides, 1), (*dilations, 1), padding)[:, :, 0]


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _product(inputs, kernel, strides, dilations, padding: str) -> tf.Tensor:
    """[N, H, W, C] * [h, w, C, F] -> [N, H', W', F], H' and W' as tf.nn.conv2d has them."""
    size = kernel.shape[:2]
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    lengths = [inputs.shape[axis] or tf.shape(inputs)[axis] for axis in (1, 2)]
    sizes = list(zip(lengths, reach, strides, strict=True))
    if padding == "SAME":
        counts = [-(-n // stride) for n, _, stride in sizes]
        missing = [
            tf.maximum((count - 1) * stride + r - n, 0)
            for count, (n, r, stride) in zip(counts, sizes, strict=True)
        ]
        pads = [[0, 0], *([total // 2, total - total // 2] for total in missing), [0, 0]]
        inputs = tf.pad(inputs, pads)
    else:
        counts = [(n - r) // stride + 1 for n, r, stride in sizes]
    windows = [
        _window(inputs, (i * dilations[0], j * dilations[1]), counts, strides)
        for i in range(size[0])
        for j in range(size[1])
    ]
    flat = tf.reshape(kernel, [size[0] * size[1] * kernel.shape[2], kernel.shape[3]])
    patches = tf.concat(windows, axis=-1)
    outputs = tf.matmul(tf.reshape(patches, [-1, flat.shape[0]]), flat)
    return tf.reshape(outputs, [-1, *counts, flat.shape[1]])


def _window(inputs: tf.Tensor, start, counts, strides) -> tf.Tensor:
    """The pixels that one weight of the filter meets: [N, H', W', C]."""
    rows, columns = (
        slice(first, first + (count - 1) * stride + 1, stride)
        for first, count, stride in zip(start, counts, strides, strict=True)
    )
    return inputs[:, rows, columns]
