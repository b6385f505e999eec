"""What a loop can compute before it starts: all that the moving arguments of its body do not reach.

With the first layers of a network frozen, their outputs are the same in every step of adaptation,
and so is what the backward pass makes of frozen weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]


class TwoParts(NamedTuple):
    """A function of named tensors with a list of results, cut in two; both build operations.

    before: fixed arguments -> what `step` needs to know of them, by names of its own.
    step: (known, moving arguments) -> the results.
    """

    before: Callable[[Tensors], dict[str, tf.Tensor]]
    step: Callable[[Tensors, Tensors], list[tf.Tensor]]


def in_two_parts(function: Any, moving: Iterable[str]) -> TwoParts:
    """Cut a function where `moving` comes in.

    Args:
      function: a concrete function of keyword arguments, without side effects, whose structured
        outputs are a list.
      moving: names of the arguments that change from step to step.
    """
    graph = function.graph
    results = [tensor.name for tensor in function.structured_outputs]
    reached = _reached(graph, {f"{name}:0" for name in moving})
    border = {tensor.name for op in reached for tensor in op.inputs if _outside(tensor, reached)}
    border |= {name for name in results if _outside(graph.get_tensor_by_name(name), reached)}

    def before(fixed: Tensors) -> dict[str, tf.Tensor]:
        known = {inner.name: outer for outer, inner in graph.captures}
        known |= {f"{name}:0": tensor for name, tensor in fixed.items()}
        return known | dict(zip(border, _built(graph, [*border], known), strict=True))

    def step(known: Tensors, moving: Tensors) -> list[tf.Tensor]:
        arguments = {f"{name}:0": tensor for name, tensor in moving.items()}
        return _built(graph, results, {**known, **arguments})

    return TwoParts(before, step)


def _reached(graph: Any, tensors: Collection[str]) -> set[Any]:
    """Operations that depend on the tensors; a graph lists operations after their inputs."""
    found: set[Any] = set()
    for op in graph.get_operations():
        if any(x.name in tensors or x.op in found for x in op.inputs):
            found.add(op)
    return found


def _outside(tensor: tf.Tensor, reached: set[Any]) -> bool:
    """Whether to compute it beforehand; constants stay with their users."""
    return tensor.op not in reached and tensor.op.type not in ("Const", "Placeholder")


def _built(graph: Any, wanted: list[str], known: Tensors) -> list[tf.Tensor]:
    """The wanted tensors of the graph, built in the graph of the moment from the known ones."""
    missing = [name for name in wanted if name not in known]
    part = graph.as_graph_def()
    nodes = [op.node_def for op in _needed(graph, missing, known)]
    for node in nodes:
        # Nothing has side effects: what an operation waits for may be left out.
        node.input[:] = [name for name in node.input if not name.startswith("^")]
        node.attr.pop("_class", None)  # The place of an operation that may not be in this part.
        node.attr.pop("_gradient_op_type", None)  # Of a gradient that has been taken already.
    del part.node[:]
    part.node.extend(nodes)
    # tf.identity brings a tensor into the graph of the moment.
    inputs = {name: tf.identity(tensor) for name, tensor in known.items()}
    used = {name for node in nodes for name in map(_full_name, node.input)}
    inputs = {name: tensor for name, tensor in inputs.items() if name in used}
    built = tf.graph_util.import_graph_def(part, inputs, missing, name="part")
    values = {**known, **dict(zip(missing, built, strict=True))}
    return [values[name] for name in wanted]


def _full_name(reference: str) -> str:
    """The name of a tensor as a node refers to it: output 0 has no number."""
    return reference if ":" in reference else f"{reference}:0"


def _needed(graph: Any, tensors: Iterable[str], known: Collection[str]) -> list[Any]:
    """Operations that compute the tensors from the known ones."""
    found: dict[str, Any] = {}
    waiting = [graph.get_tensor_by_name(name) for name in tensors]
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in known and tensor.op.name not in found:
            found[tensor.op.name] = tensor.op
            waiting += tensor.op.inputs
    return list(found.values())
