"""Which TensorFlow operations a backbone may hold: a SavedModel is a program.

Mathematics, array operations and control flow. No operation that reads or writes files, opens
connections or calls Python; but in the two functions that TensorFlow itself puts into every
SavedModel, those that save and restore its variables, which nothing else may call.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, saver_pb2
from tensorflow.python.framework import op_def_registry

from meta_shrink.durable_files import open_regular, read_file
from meta_shrink.errors import ArtefactError

_SAVED_MODEL = """
Assert Const DisableCopyOnRead Identity IdentityN NoOp Placeholder PlaceholderWithDefault
ReadVariableOp VarHandleOp VarIsInitializedOp VariableShape
"""
_CONTROL = """
Case If Merge PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
Switch While TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGetItem
TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem
TensorListStack EmptyTensorList AccumulateNV2 PreventGradient StopGradient
"""
_ARRAYS = """
AddN All Any ArgMax ArgMin BatchToSpaceND BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize
Cast CheckNumerics ClipByValue ConcatOffset ConcatV2 Cumprod Cumsum DepthToSpace Diag
DynamicPartition DynamicStitch Equal ExpandDims Fill FloorDiv FloorMod Gather GatherNd GatherV2
Greater GreaterEqual InvertPermutation LeftShift Less LessEqual LinSpace LogicalAnd LogicalNot
LogicalOr MatrixBandPart MatrixDiagPartV3 MatrixDiagV3 MirrorPad MirrorPadGrad NotEqual OneHot
OnesLike Pack Pad PadV2 Range Rank Reshape ResourceGather ReverseSequence ReverseV2 Roll ScatterNd
SegmentSumV2 Select SelectV2 Shape ShapeN Size Slice SpaceToBatchND SpaceToDepth Split SplitV
Squeeze StridedSlice StridedSliceGrad TensorScatterAdd TensorScatterUpdate Tile TopKV2 Transpose
UnsortedSegmentSum Unpack Where ZerosLike
"""
_MATHS = """
Abs Acos Add AddV2 Asin Atan Atan2 Ceil Conj Cos Cosh Digamma Div DivNoNan Einsum Elu EluGrad Erf
Erfc Exp Expm1 FFT Floor IFFT IRFFT Imag Inv InvGrad IsFinite IsInf IsNan L2Loss LeakyRelu
LeakyReluGrad Lgamma Log Log1p LogSoftmax Max Maximum Mean Min Minimum Mod Mul MulNoNan Neg
NextAfter Pow Prod RFFT Real RealDiv Reciprocal ReciprocalGrad Relu Relu6 Relu6Grad ReluGrad Rint
Round Rsqrt RsqrtGrad Selu SeluGrad Sigmoid SigmoidGrad Sign Sin Sinh Softmax
SoftmaxCrossEntropyWithLogits
Softplus SoftplusGrad Softsign SoftsignGrad SparseSoftmaxCrossEntropyWithLogits Sqrt
SqrtGrad Square SquaredDifference Sub Sum Tan Tanh TanhGrad TruncateDiv Xdivy Xlogy Complex
ComplexAbs Angle
"""
_NETWORKS = """
AvgPool AvgPool3D AvgPoolGrad BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddGrad Conv2D
Conv2DBackpropFilter Conv2DBackpropInput Conv3D Conv3DBackpropFilterV2 Conv3DBackpropInputV2
CropAndResize DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
DepthwiseConv2dNativeBackpropInput ExtractImagePatches FusedBatchNormGradV2 FusedBatchNormGradV3
FusedBatchNormV2 FusedBatchNormV3 MatMul
MaxPool MaxPoolGrad MaxPoolV2 ResizeBilinear ResizeBilinearGrad ResizeNearestNeighbor
ResizeNearestNeighborGrad
StatelessRandomGetKeyCounter StatelessRandomUniformV2 StatelessRandomNormalV2
StatelessRandomUniformIntV2 StatelessRandomUniformFullIntV2 StatelessTruncatedNormalV2
StatelessRandomUniform StatelessRandomNormal StatelessTruncatedNormal StatelessMultinomial
StatelessRandomGetAlg StatelessRandomGetKeyCounterAlg BitwiseXor BitwiseAnd BitwiseOr Bitcast
RightShift
"""
# What the two functions may hold that save and restore a SavedModel; in them, names of files.
_SAVE = """
Const DisableCopyOnRead Identity MergeV2Checkpoints NoOp Pack ReadVariableOp SaveV2 Select
ShardedFilename StaticRegexFullMatch StringJoin
"""
_RESTORE = "AssignVariableOp Const Identity NoOp RestoreV2"
_FILE_NAMES = {"SaveV2": (0,), "RestoreV2": (0,), "MergeV2Checkpoints": (0, 1)}
_FILE_NAME_OPERATIONS = """
Const Identity Pack Select ShardedFilename StaticRegexFullMatch StringJoin
"""
_FILE_NAME_ENDS = {b".part", b"_temp/part"}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_OBJECTS = ("user_object", "variable", "constant", "captured_tensor", "function")
_OBJECTS += ("bare_concrete_function",)
ALLOWED = frozenset((_SAVED_MODEL + _CONTROL + _ARRAYS + _MATHS + _NETWORKS).split())


def check_operations(saved_model: str, allow: Collection[str] = ()) -> None:
    """Read a SavedModel's graph, without running it, and refuse what is not allowed in it.

    Args:
      saved_model: its folder.
      allow: further operations, anywhere.

    Raises:
      ArtefactError: an operation that is not allowed, or not where it stands, or no readable graph.
    """
    _require_regular(saved_model)
    path = os.path.join(saved_model, "saved_model.pb")
    graph = _read(path)
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    if clash := next((name for name in functions if op_def_registry.get(name)), None):
        raise ArtefactError(f"{path} has a function called {clash}, as an operation is: refused.")
    _check_objects(graph, path)
    bodies = [("", graph.graph_def.node)]
    bodies += [(name, function.node_def) for name, function in functions.items()]
    own = _saver_functions(graph, path)
    for name, nodes in bodies:
        found = {node.op for node in nodes} - functions.keys()  # Calls of functions by their name.
        if refused := sorted(found - own.get(name, ALLOWED) - set(allow)):
            raise ArtefactError(
                f"{path} holds operations that a backbone may not have{' there' * (name in own)}: "
                f"{', '.join(refused)}. If you trust who made it, name them in allow_operations "
                "(--allow_operations)."
            )


def _require_regular(folder: str) -> None:
    """TensorFlow would wait for a pipe."""
    for place, _, names in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            try:
                os.close(open_regular(path, os.O_RDONLY, links=True))
            except OSError as error:
                why = error.strerror or error
                raise ArtefactError(f"{path} cannot be read ({why}): export it again.") from error


def _read(path: str) -> meta_graph_pb2.MetaGraphDef:
    """The one graph of a SavedModel of TensorFlow 2; one of TensorFlow 1 runs while it loads."""
    if others := [end for end in ("pbtxt", "cpb") if os.path.lexists(f"{path[:-2]}{end}")]:
        raise ArtefactError(f"There is a saved_model.{others[0]} beside {path}: remove one.")
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(read_file(path))
    except (OSError, DecodeError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}): export it again.") from error
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        raise ArtefactError(f"{path} is no SavedModel of TensorFlow 2: export it again.")
    return model.meta_graphs[0]


def _check_objects(graph: meta_graph_pb2.MetaGraphDef, path: str) -> None:
    """Only objects whose loading runs nothing: no tables, no assets, no savers of their own."""
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS or node.saveable_objects or node.registered_saver:
            raise ArtefactError(
                f"{path} holds an object that a backbone may not have ({kind}, of the kind that "
                "runs while it is loaded): export a model of plain layers."
            )


def _saver_functions(graph: meta_graph_pb2.MetaGraphDef, path: str) -> dict[str, frozenset[str]]:
    """{function: operations it may hold} of the two with which a SavedModel saves and restores.

    Nothing else may call them, and all file names in them are made of their argument.
    """
    saver = graph.saver_def
    calls = {node.name: node for node in graph.graph_def.node}
    found: dict[str, frozenset[str]] = {}
    for name, allowed in ((saver.save_tensor_name, _SAVE), (saver.restore_op_name, _RESTORE)):
        call = calls.get(name.partition(":")[0])
        if call is None or call.op not in _CALLS or not _is_fed(call, calls, saver):
            continue  # Then nothing may save or restore.
        if _users(graph, call.name, call.attr["f"].func.name) == 1:
            found[call.attr["f"].func.name] = frozenset(allowed.split())
    for function in graph.graph_def.library.function:
        if function.signature.name in found and not _is_plain_saver(function):
            raise ArtefactError(f"{path} saves or restores files of its own choice: refused.")
    return found


def _is_fed(call: Any, nodes: dict[str, Any], saver: saver_pb2.SaverDef) -> bool:
    """Whether the name of the file, a call's first argument, comes from whoever runs it."""
    name = saver.filename_tensor_name.removesuffix(":0")
    return list(call.input)[:1] == [name] and name in nodes and nodes[name].op == "Placeholder"


def _users(graph: meta_graph_pb2.MetaGraphDef, call: str, function: str) -> int:
    """How often a function is named, and the node that calls it used: 1 is that call itself."""
    nodes = [*graph.graph_def.node]
    for other in graph.graph_def.library.function:
        nodes += other.node_def
    values = [value for node in nodes for value in node.attr.values()]
    named = [value.func.name for value in values] + [node.op for node in nodes]
    named += [item.name for value in values for item in value.list.func]
    library, objects = graph.graph_def.library, graph.object_graph_def
    named += [item.gradient_func for item in (*library.gradient, *library.registered_gradients)]
    named += objects.concrete_functions
    for thing in objects.nodes:
        named += thing.function.concrete_functions
        named.append(thing.bare_concrete_function.concrete_function_name)
    used = [name for node in graph.graph_def.node for name in node.input]
    for signature in graph.signature_def.values():
        used += [t.name for t in (*signature.inputs.values(), *signature.outputs.values())]
    for collection in graph.collection_def.values():
        used += collection.node_list.value
    uses = sum(name.lstrip("^").partition(":")[0] == call for name in used)
    return named.count(function) + uses


def _is_plain_saver(function: Any) -> bool:
    """Whether all names of files are made of a function's first argument, as TensorFlow does it."""
    if not function.signature.input_arg or "api_implements" in function.attr:
        return False  # What implements the same as others may be called in their place.
    nodes = {node.name: node for node in function.node_def}
    pending = [
        name
        for node in function.node_def
        for position in _FILE_NAMES.get(node.op, ())
        for name in node.input[position : position + 1]
    ]
    seen = {function.signature.input_arg[0].name}
    while pending:
        name = pending.pop().partition(":")[0]
        if name in seen or name.startswith("^"):
            continue
        seen.add(name)
        node = nodes.get(name)
        if node is None or node.op not in _FILE_NAME_OPERATIONS.split():
            return False
        value = node.attr["value"].tensor
        is_text = value.dtype == tf.string.as_datatype_enum
        if is_text and (not set(value.string_val) <= _FILE_NAME_ENDS or value.tensor_content):
            return False
        pending += node.input
    return True
