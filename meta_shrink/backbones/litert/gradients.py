"""Gradients made of operations that LiteRT has, in place of TensorFlow's own.

LiteRT runs forward kernels only: the gradient of a convolution, a pooling, a ReLU or a slice is
one operation in TensorFlow and none there. Here each is made of forward operations, whatever layer
it comes from. Shapes must be static; convolutions have channels last and one group.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from meta_shrink.errors import UsageError

Gradient = Callable[..., Any]
Pads = list[list[int]]


@contextmanager
def builtin_gradients() -> Iterator[None]:
    """Operations made in this block, in the graph of the moment, have these gradients.

    For tf.gradients; a GradientTape does not ask the graph.
    """
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({name: f"LiteRT{name}" for name in _GRADIENTS}):
        yield


def _relu(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    return gradient * _where(op.outputs[0] > 0, gradient)


def _relu6(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    output = op.outputs[0]
    return gradient * _where((output > 0) & (output < 6), gradient)


def _leaky_relu(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    slope, positive = op.get_attr("alpha"), _where(op.inputs[0] > 0, gradient)
    return gradient * (positive + slope * (1 - positive))


def _elu(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    return gradient * (1 + tf.minimum(op.outputs[0], 0))


def _where(condition: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(condition, like.dtype)


def _strided_slice(op: tf.Operation, gradient: tf.Tensor) -> list[Any]:
    source = op.inputs[0]
    slices = [part.indices(size) for part, size in zip(_slices(op), source.shape, strict=True)]
    lengths = [len(range(*part)) for part in slices]
    spread = tf.reshape(gradient, lengths)
    for axis, (start, _, step) in enumerate(slices):
        spread = _scatter(spread, axis, start=start, step=step, size=source.shape[axis])
    return [spread, None, None, None]


def _slices(op: tf.Operation) -> list[slice]:
    """One Python slice per axis of the input; an index keeps its axis, with length 1."""
    begin, end, step = (tf.get_static_value(tensor) for tensor in op.inputs[1:])
    if begin is None or end is None or step is None or min(step) < 1:
        raise UsageError(
            f"{op.name} slices backwards or by computed bounds, which has no gradient in LiteRT."
        )
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    flags = [[op.get_attr(mask) >> i & 1 for mask in masks] for i in range(len(begin))]
    rank = op.inputs[0].shape.rank
    found: list[slice] = []
    for i, (no_begin, no_end, ellipsis, new_axis, single) in enumerate(flags):
        if ellipsis:
            later = sum(not new for *_, new, _ in flags[i + 1 :])
            found += [slice(None)] * (rank - len(found) - later)
        elif single:
            found.append(slice(begin[i], begin[i] + 1 or None, 1))
        elif not new_axis:
            first, last = (None if no_begin else begin[i]), (None if no_end else end[i])
            found.append(slice(first, last, step[i]))
    return found + [slice(None)] * (rank - len(found))


def _scatter(values: tf.Tensor, axis: int, *, start: int, step: int, size: int) -> tf.Tensor:
    """Zeros of length `size` along the axis, with the values at start, start + step, ..."""
    shape = values.shape.as_list()
    if step > 1:
        gaps = [[0, 0] if i != axis + 1 else [0, step - 1] for i in range(len(shape) + 1)]
        shape[axis] *= step
        values = tf.reshape(tf.pad(tf.expand_dims(values, axis + 1), gaps), shape)
        shape[axis] = min(shape[axis], size - start)
        values = tf.slice(values, [0] * len(shape), shape)
    around = [[0, 0] for _ in shape]
    around[axis] = [start, size - start - shape[axis]]
    return tf.pad(values, around) if any(around[axis]) else values


def _conv2d(op: tf.Operation, gradient: tf.Tensor) -> list[tf.Tensor]:
    images, kernel = op.inputs
    if op.get_attr("data_format") != b"NHWC" or images.shape[3] != kernel.shape[2]:
        raise UsageError(
            f"{op.name} has channels first or several groups, which has no gradient in LiteRT."
        )
    window, strides, dilations = (
        kernel.shape.as_list()[:2],
        op.get_attr("strides")[1:3],
        op.get_attr("dilations")[1:3],
    )
    reach = [(size - 1) * gap + 1 for size, gap in zip(window, dilations, strict=True)]
    pads = _pads(op, reach, strides)
    return [
        _conv2d_images(op, gradient, reach, strides, dilations, pads),
        _conv2d_kernel(images, gradient, reach, strides, dilations, pads),
    ]


def _conv2d_images(op, gradient, reach, strides, dilations, pads: Pads) -> tf.Tensor:
    """Convolution of the gradient, spread by the strides, with the mirrored kernel."""
    images, kernel = op.inputs
    if max(dilations) == 1 and op.get_attr("padding") != b"EXPLICIT":
        padding = op.get_attr("padding").decode()
        return tf.nn.conv2d_transpose(gradient, kernel, images.shape, strides, padding)
    for axis, (stride, size) in enumerate(zip(strides, gradient.shape[1:3], strict=True), 1):
        length = (size - 1) * stride + 1
        gradient = _scatter(gradient, axis, start=0, step=stride, size=length)
    inner = [
        [far - 1 - before, size + before - length]
        for far, (before, _), size, length in zip(
            reach, pads, images.shape[1:3], gradient.shape[1:3], strict=True
        )
    ]
    mirrored = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
    return tf.nn.conv2d(_padded(gradient, inner), mirrored, 1, "VALID", dilations=dilations)


def _conv2d_kernel(images, gradient, reach, strides, dilations, pads: Pads) -> tf.Tensor:
    """Convolution of the images with the gradient, examples and channels exchanged."""
    sizes = [
        (length - 1) * stride + far
        for length, stride, far in zip(gradient.shape[1:3], strides, reach, strict=True)
    ]
    # Rows at the end that the stride never reached are cut off.
    padded = _padded(images, pads)[:, : sizes[0], : sizes[1], :]
    per_channel = tf.transpose(padded, [3, 1, 2, 0])
    window = tf.transpose(gradient, [1, 2, 0, 3])
    kernel = tf.nn.conv2d(per_channel, window, dilations, "VALID", dilations=strides)
    return tf.transpose(kernel, [1, 2, 0, 3])


def _max_pool(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """The first of equal maxima gets the gradient, as in TensorFlow."""
    images, remaining, shares = op.inputs[0], tf.ones_like(gradient), []
    far, strides = op.get_attr("ksize")[1:3], op.get_attr("strides")[1:3]
    pads = _pads(op, far, strides)
    padded = _padded(images, pads, images.dtype.min)
    for row, column in itertools.product(*map(range, far)):
        end = [size - f + 1 for size, f in zip(padded.shape[1:3], far, strict=True)]
        values = padded[
            :, row : row + end[0] : strides[0], column : column + end[1] : strides[1], :
        ]
        chosen = remaining * _where(values >= op.outputs[0], gradient)
        remaining -= chosen
        shares.append(gradient * chosen)
    return _put_back(op, shares)


def _avg_pool(op: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """Every pixel of a window gets an equal share; padding is no pixel."""
    far, strides = op.get_attr("ksize")[1:3], op.get_attr("strides")[1:3]
    sizes = zip(
        op.inputs[0].shape[1:3],
        gradient.shape[1:3],
        far,
        strides,
        _pads(op, far, strides),
        strict=True,
    )
    rows, columns = (
        [
            min(i * stride - before + length, size) - max(i * stride - before, 0)
            for i in range(count)
        ]
        for size, count, length, stride, (before, _) in sizes
    )
    share = gradient / np.outer(rows, columns)[None, :, :, None].astype(
        gradient.dtype.as_numpy_dtype
    )
    return _put_back(op, [share] * (far[0] * far[1]))


def _put_back(op: tf.Operation, shares: Sequence[tf.Tensor]) -> tf.Tensor:
    """The sum of what a pixel gets from all windows it is in; one share per place in a window."""
    images, far = op.inputs[0], op.get_attr("ksize")[1:3]
    strides = op.get_attr("strides")[1:3]
    pads = _pads(op, far, strides)
    total = [size + sum(pad) for size, pad in zip(images.shape[1:3], pads, strict=True)]
    parts = []
    for place, share in zip(itertools.product(*map(range, far)), shares, strict=True):
        for axis in (0, 1):
            share = _scatter(
                share, axis + 1, start=place[axis], step=strides[axis], size=total[axis]
            )
        parts.append(share)
    start = [0, pads[0][0], pads[1][0], 0]
    return tf.slice(tf.add_n(parts), start, images.shape)


def _pads(op: tf.Operation, reach: Sequence[int], strides: Sequence[int]) -> Pads:
    """Zeros [before, after] that the operation puts around height and width."""
    padding = op.get_attr("padding")
    if padding == b"EXPLICIT":
        numbers = op.get_attr("explicit_paddings")
        return [list(numbers[2:4]), list(numbers[4:6])]
    if padding == b"VALID":
        return [[0, 0], [0, 0]]
    sizes = op.inputs[0].shape[1:3]
    totals = [
        max((-(-size // stride) - 1) * stride + far - size, 0)
        for size, stride, far in zip(sizes, strides, reach, strict=True)
    ]
    return [[total // 2, total - total // 2] for total in totals]


def _padded(images: tf.Tensor, pads: Pads, value: float = 0.0) -> tf.Tensor:
    around = [[0, 0], *pads, [0, 0]]
    return tf.pad(images, around, constant_values=value) if any(map(any, pads)) else images


_GRADIENTS: dict[str, Gradient] = {
    "AvgPool": _avg_pool,
    "Conv2D": _conv2d,
    "Elu": _elu,
    "LeakyRelu": _leaky_relu,
    "MaxPool": _max_pool,
    "Relu": _relu,
    "Relu6": _relu6,
    "StridedSlice": _strided_slice,
}
for _name, _gradient in _GRADIENTS.items():
    tf.RegisterGradient(f"LiteRT{_name}")(_gradient)
