"""Arithmetic on parameter lists: one tensor per variable, all functions elementwise or a total."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from meta_shrink.types import Params


def add(a: Params, b: Params) -> Params:
    """a + b."""
    return [x + y for x, y in zip(a, b, strict=True)]


def subtract(a: Params, b: Params) -> Params:
    """a - b."""
    return [x - y for x, y in zip(a, b, strict=True)]


def multiply(a: Sequence[tf.Tensor], b: Params) -> Params:
    """a * b; a may hold one scalar per variable."""
    return [x * y for x, y in zip(a, b, strict=True)]


def add_scaled(a: Params, scale: tf.Tensor, b: Params) -> Params:
    """a + scale * b for one scalar []."""
    return [x + scale * y for x, y in zip(a, b, strict=True)]


def dot(a: Params, b: Params) -> tf.Tensor:
    """Inner product [] over all variables."""
    return tf.add_n([tf.reduce_sum(x * y) for x, y in zip(a, b, strict=True)])


def global_norm(a: Params) -> tf.Tensor:
    """Euclidean norm [] over all variables."""
    return tf.sqrt(dot(a, a))


def dense(gradients: Any) -> Any:
    """Gradients as tensors: that of an embedding comes as its rows and their numbers."""
    return tf.nest.map_structure(tf.convert_to_tensor, gradients)


def to_vector(params: Params) -> tf.Tensor:
    """All numbers as one vector [D], variable after variable."""
    return tf.concat([tf.reshape(x, [-1]) for x in params], axis=0)


def from_vector(vector: tf.Tensor, shapes: Sequence[Sequence[int]]) -> Params:
    """[D] -> tensors of these shapes; the inverse of to_vector."""
    parts = tf.split(vector, [math.prod(shape) for shape in shapes])
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def spread_vector(values: Sequence[Any], shapes: Sequence[Sequence[int]]) -> tf.Tensor:
    """A value per variable, a scalar or a tensor of its shape, for each of its numbers: [D]."""
    return to_vector([tf.broadcast_to(x, s) for x, s in zip(values, shapes, strict=True)])


def zeros_like(a: Params) -> Params:
    """Zeros of the same shapes."""
    return [tf.zeros_like(x) for x in a]


def where(condition: tf.Tensor, a: Params, b: Params) -> Params:
    """a where the scalar condition [] holds, else b."""
    return [tf.where(condition, x, y) for x, y in zip(a, b, strict=True)]


def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether every number of every tensor is finite: bool []."""
    finite = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors]
    return tf.reduce_all(tf.stack(finite))
