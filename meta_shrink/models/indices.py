"""Rows that examples look up in tables (embeddings): each must be there.

TensorFlow fails on the CPU in the middle of training, and with XLA or on a GPU goes on with zeros
or another row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from meta_shrink.errors import DataError
from meta_shrink.models import graphs
from meta_shrink.models.pure_call import pure_call
from meta_shrink.models.refusals import layer_of


def check_indices(model: keras.Model, examples: Iterable[tuple[str, Any]]) -> None:
    """Nothing is looked up that is not there, as far as that follows from the inputs alone.

    Args:
      examples: (name of a task, inputs [N, ...] in a structure that the model takes).

    Raises:
      DataError: it is; the sentence names the task and the layer.
    """
    look_up = None
    for name, inputs in examples:
        look_up = look_up or _lookups(model, inputs)
        if look_up is None:
            return
        for layer, count, rows in look_up(inputs):
            odd = rows[(rows < 0) | (rows >= count)]
            if odd.size:
                raise DataError(
                    f"Task {name!r}: {layer} has {count} rows, and the examples ask for row "
                    f"{odd[0]}; expected 0 to {count - 1}."
                )


def _lookups(model: keras.Model, inputs: Any) -> Callable[[Any], list[tuple[str, int, Any]]] | None:
    """inputs -> (layer, number of its rows, those looked up) for each table; on the CPU. None where
    there is no table.

    Only what leads to the rows is computed: next to nothing of the network.
    """
    state = [variable.numpy() for variable in model.non_trainable_variables]
    learned = [tf.TensorSpec(v.shape, v.dtype) for v in model.trainable_variables]
    given = tf.nest.map_structure(lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), inputs)
    call = tf.function(lambda params, inputs: pure_call(model, params, state, inputs).outputs)
    graph = call.get_concrete_function(learned, given).graph
    first, last = len(learned), len(learned) + len(tf.nest.flatten(given))
    feeds = graph.inputs[first:last]
    known = graphs.in_front_of(feeds) | {x.op.name for x in feeds}
    known -= graphs.in_front_of([*graph.inputs[:first], *graph.inputs[last:]])
    tables = [(rows, count) for rows, count in _gathers(graph) if rows.op.name in known]
    if not tables:
        return None
    layers = [layer_of(model, rows.consumers()[0].name) for rows, _ in tables]
    on_cpu = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    session = tf.compat.v1.Session(graph=graph, config=on_cpu)

    def look_up(inputs: Any) -> list[tuple[str, int, Any]]:
        values = [np.asarray(x) for x in tf.nest.flatten(inputs)]
        fed = {x.name: value for x, value in zip(feeds, values, strict=True)}
        found = session.run([rows.name for rows, _ in tables], fed)
        counts = [count for _, count in tables]
        return list(zip(layers, counts, found, strict=True))

    return look_up


def _gathers(graph: Any) -> Iterator[tuple[tf.Tensor, int]]:
    for operation in graph.get_operations():
        if operation.type == "GatherV2":
            table, indices, axis = operation.inputs
            place = tf.get_static_value(axis)
            count = None if place is None or not table.shape.rank else table.shape[int(place)]
            if count is not None:
                yield indices, count
