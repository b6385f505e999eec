"""The private names of Keras and TensorFlow that the library needs, each in one place.

Where a version lacks one, the sentence says so: nothing goes on without what the name gave.
tests/conformance tries them with every version that is supported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src import backend  # pyright: ignore[reportMissingImports]
from tensorflow.python.framework import ops  # pyright: ignore[reportMissingImports]

from meta_shrink.errors import ArtefactError


def flat_layers(model: keras.Model, *, include_self: bool = True) -> list[Any]:
    """All layers of a model, those inside others included."""
    return list(_found(model, "_flatten_layers")(include_self=include_self))


def seed_generators(layer: Any) -> Sequence[Any]:
    """The seed generators of a layer's own."""
    return _found(layer, "_seed_generators")


def keras_mask(tensor: tf.Tensor) -> tf.Tensor | None:
    """The mask that Keras keeps with a tensor, None without one."""
    return _found(backend, "get_keras_mask")(tensor)


def function_nodes(graph: Any, name: str) -> Sequence[Any]:
    """The operations, as NodeDef, of a function that a graph calls; none if it has no such one."""
    function = _found(graph, "_get_function")(name)
    return _found(function, "cached_definition").node_def if function is not None else ()


def gradient_entries() -> dict[str, Any]:
    """Operation -> its registered gradient, as TensorFlow itself looks it up."""
    return _found(_found(ops, "gradient_registry"), "_registry")


def take_reduced_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """The optimizer no longer sums gradients over replicas: each brings the sum already."""
    _found(optimizer, "_all_reduce_sum_gradients")
    optimizer._all_reduce_sum_gradients = lambda gradients_and_variables: gradients_and_variables


def _found(owner: Any, name: str) -> Any:
    if not hasattr(owner, name):
        where = getattr(owner, "__name__", type(owner).__name__)
        raise ArtefactError(
            f"TensorFlow {tf.__version__} with Keras {keras.__version__} has no {where}.{name}, "
            "without which networks cannot be checked: install the versions that setup.py names."
        )
    return getattr(owner, name)
