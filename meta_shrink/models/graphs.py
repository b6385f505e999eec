"""Questions to the graph of a network: random draws, tables, derivatives that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from meta_shrink.models.private_names import function_nodes, gradient_entries

# Declared not differentiable by TensorFlow, which takes their gradient for zero; it is not zero.
NOT_ZERO = (
    "DrawBoundingBoxes",
    "ExtractGlimpse",
    "FakeQuantWithMinMaxArgsGradient",
    "FakeQuantWithMinMaxVarsGradient",
    "FakeQuantWithMinMaxVarsPerChannelGradient",
    "HSVToRGB",
    "ImageProjectiveTransformV2",  # Its gradient is that of the inverse transform, which is
    "ImageProjectiveTransformV3",  # another one where pixels are between pixels.
    "LinSpace",
    "OneHot",  # In the values that it writes; its indices are whole numbers.
    "PyFunc",
    "PyFuncStateless",
    "RandomCrop",
    "RandomShuffle",
    "ResizeBilinearGrad",
    "SparseAddGrad",
    "SparseConcat",
    "XlaVariadicReduce",
)
# The numbers of their inputs whose derivative TensorFlow leaves out.
NOT_ZERO_BY = {"Betainc": (0, 1), "Polygamma": (0,), "ScaleAndTranslate": (2, 3), "Zeta": (0,)}
PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")  # They call Python.
# They draw from a generator of TensorFlow's own, which nothing resumes.
STATEFUL_RANDOM = (
    "AllCandidateSampler",
    "FixedUnigramCandidateSampler",
    "FractionalAvgPool",
    "FractionalMaxPool",
    "LearnedUnigramCandidateSampler",
    "LogUniformCandidateSampler",
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomCrop",
    "RandomGamma",
    "RandomPoisson",
    "RandomPoissonV2",
    "RandomShuffle",
    "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "StatefulRandomBinomial",
    "ThreadUnsafeUnigramCandidateSampler",
    "TruncatedNormal",
    "UniformCandidateSampler",
)
STATELESS_RANDOM = (
    "RandomIndexShuffle",
    "StatelessMultinomial",
    "StatelessParameterizedTruncatedNormal",
    "StatelessRandom",
    "StatelessSample",
    "StatelessShuffle",
    "StatelessTruncatedNormal",
)
MAKES_KEYS = "StatelessRandomGet"  # From seeds; it draws nothing.
READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")  # of a tf.Variable
TABLES = ("AnonymousHashTable", "HashTable", "LookupTable", "MutableHashTable")


def is_stateful_draw(kind: str) -> bool:
    """Whether an operation of this type draws from TensorFlow's own generator."""
    return kind in STATEFUL_RANDOM


def is_stateless_draw(kind: str) -> bool:
    """Whether an operation of this type draws from a seed that is one of its inputs."""
    return kind.startswith(STATELESS_RANDOM) and not kind.startswith(MAKES_KEYS)


def is_table(kind: str) -> bool:
    """Whether an operation of this type makes or reads a lookup table."""
    return kind.startswith(TABLES)


def behind(targets: Iterable[tf.Tensor]) -> list[tuple[str, str, str]]:
    """(type, name, name outside all functions) of all operations that tensors of a graph depend on.

    Those inside the functions that they call have their function's call as name outside.
    """
    found: dict[str, Any] = {}
    waiting = [tensor.op for tensor in targets]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs]
    seen: set[str] = set()
    return [row for operation in found.values() for row in _with_inner(operation, seen)]


def _with_inner(operation: Any, seen: set[str]) -> Iterator[tuple[str, str, str]]:
    yield operation.type, operation.name, operation.name
    waiting = _called(operation.node_def)
    while waiting:
        name = waiting.pop()
        nodes = () if name in seen else function_nodes(operation.graph, name)
        seen.add(name)
        for node in nodes:
            yield node.op, node.name, operation.name
            waiting |= _called(node)


def _called(node: Any) -> set[str]:
    """Names of the functions that a node calls."""
    values = node.attr.values()
    one = {value.func.name for value in values if value.HasField("func")}
    return one | {function.name for value in values for function in value.list.func}


def in_front_of(sources: Iterable[tf.Tensor]) -> set[str]:
    """Names of the operations of one graph that depend on these tensors."""
    found: set[str] = set()
    waiting = [use for tensor in sources for use in tensor.consumers()]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found.add(operation.name)
            waiting += [use for tensor in operation.outputs for use in tensor.consumers()]
    return found


def closes_over(operation: Any, params: Sequence[tf.Tensor]) -> bool:
    """Whether an operation is a tf.custom_gradient whose results depend on these params otherwise
    than by its arguments: its gradient leaves them out.

    Its inputs are the results and the arguments; of its outputs only the results are used.
    """
    if operation.type != "IdentityN" or not _own_gradient(operation):
        return False
    pairs = list(zip(operation.inputs, operation.outputs, strict=True))
    seen = {x.op.name for x, output in pairs if not output.consumers()}
    waiting = [x.op for x, output in pairs if output.consumers()]
    learned = {x.op.name for x in params} - seen
    while waiting:
        inner = waiting.pop()
        if inner.name in learned:
            return True
        if inner.name not in seen:
            seen.add(inner.name)
            waiting += [x.op for x in inner.inputs]
    return False


def _own_gradient(operation: Any) -> bool:
    attribute = operation.node_def.attr.get("_gradient_op_type")
    return attribute is not None and attribute.s.startswith(b"CustomGradient")


@contextmanager
def nothing_taken_for_zero(params: Sequence[tf.Tensor]) -> Iterator[None]:
    """Gradients in these params asked for in this block fail with LookupError, where TensorFlow
    would take an operation's derivative for zero though it is not."""
    registry = gradient_entries()
    before = {kind: registry[kind] for kind in (*NOT_ZERO, *NOT_ZERO_BY) if kind in registry}
    for kind, entry in before.items():
        fails = _fails(kind)
        if kind in NOT_ZERO_BY:
            fails = _fails_by(kind, entry["type"], params)
        registry[kind] = {**entry, "type": fails}
    try:
        yield
    finally:
        registry.update(before)


def _fails(kind: str) -> Callable[..., Any]:
    def fail(*args: Any) -> Any:
        raise LookupError(f"the derivative of {kind} is taken for zero")

    return fail


def _fails_by(
    kind: str, gradient: Callable[..., Any], params: Sequence[tf.Tensor]
) -> Callable[..., Any]:
    def fail(operation: Any, *grads: Any) -> Any:
        lost = [operation.inputs[number] for number in NOT_ZERO_BY[kind]]
        if any(found is not None for found in tf.gradients(lost, list(params))):
            raise LookupError(f"a derivative of {kind} is left out")
        return gradient(operation, *grads)

    return fail


def culprit(error: Exception, results: Sequence[tf.Tensor]) -> tuple[str, str]:
    """(type, name) of the operation that a LookupError of gradients of these results is about."""
    rows = [row for row in behind(results) if row[0] in str(error)]
    kind, _, name = max(rows, key=lambda row: len(row[0]), default=("an operation", "", "?"))
    return kind, name
