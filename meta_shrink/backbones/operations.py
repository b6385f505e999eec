"""Which TensorFlow operations a backbone may hold: a SavedModel is a program.

Mathematics, array operations, control flow, and what TensorFlow itself puts into every SavedModel
to restore its variables. No operation that reads other files, opens connections or calls Python.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from meta_shrink.errors import ArtefactError

_SAVED_MODEL = """
Assert AssignVariableOp Const DisableCopyOnRead Identity IdentityN MergeV2Checkpoints NoOp
Placeholder PlaceholderWithDefault ReadVariableOp RestoreV2 SaveV2 ShardedFilename
StaticRegexFullMatch StringJoin VarHandleOp VarIsInitializedOp VariableShape
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
ALLOWED = frozenset((_SAVED_MODEL + _CONTROL + _ARRAYS + _MATHS + _NETWORKS).split())


def check_operations(saved_model: str, allow: Collection[str] = ()) -> None:
    """Read a SavedModel's graph, without running it, and refuse what is not allowed in it.

    Args:
      saved_model: its folder.
      allow: further operations.

    Raises:
      ArtefactError: an operation that is not allowed, or no readable graph.
    """
    path = os.path.join(saved_model, "saved_model.pb")
    model = saved_model_pb2.SavedModel()
    try:
        with open(path, "rb") as file:
            model.ParseFromString(file.read())
    except (OSError, DecodeError) as error:
        raise ArtefactError(f"{path} can not be read ({error}): export it again.") from error
    found: set[str] = set()
    for graph in model.meta_graphs:
        functions = graph.graph_def.library.function
        found.update(node.op for node in graph.graph_def.node)
        found.update(node.op for function in functions for node in function.node_def)
        # Calls of functions by their name.
        found.difference_update(function.signature.name for function in functions)
    refused = sorted(found - ALLOWED - set(allow))
    if refused:
        raise ArtefactError(
            f"{path} holds operations that a backbone may not have: {', '.join(refused)}. If you "
            "trust who made it, name them in allow_operations (--allow_operations)."
        )
