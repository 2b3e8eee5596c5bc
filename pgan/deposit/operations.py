"""Which operations a deposited graph may hold: what the project's own exports use, and plain maths.

It is a list of what is allowed, not of what is forbidden: TensorFlow has about a hundred operations
that read or write files (`PrintV2`, `WriteSummary`, `SaveSlices` ...) and others that run Python,
use a network or keep state, and every version brings more. Operations whose result can be of any
size (`Fill`, `Tile`, `Range`, `ResizeBilinear`) are left out, too, but for those that exports need.
"""

# What exports of tools/export_generator.py hold, at all precisions, stable or fading.
_OF_EXPORTS = frozenset(
    """
    AddV2 BiasAdd BitwiseOr BroadcastTo Cast ConcatV2 Const Conv2D Conv2DBackpropInput EncodePng
    FloorMod Identity IdentityN LeakyRelu LeakyReluGrad LeftShift Less LogicalAnd MatMul Maximum
    Mean Minimum Mul Neg NoOp Pack Pad Placeholder ReadVariableOp Reshape Round Rsqrt Shape Sign
    StatefulPartitionedCall StatelessRandomNormalV2 StatelessRandomUniformFullIntV2 StatelessWhile
    StopGradient StridedSlice StringJoin Sub Substr TensorListFromTensor TensorListGetItem
    TensorListReserve TensorListSetItem TensorListStack VarHandleOp While
    """.split()
)

# What another network may need: functions of numbers alone, without state.
_MATHS = frozenset(
    """
    Abs Add AddN AvgPool BatchMatMulV2 ClipByValue DepthToSpace DepthwiseConv2dNative Div Elu Equal
    Erf Exp ExpandDims Floor FloorDiv FusedBatchNormV3 GatherV2 Greater GreaterEqual LessEqual Log
    Log1p LogicalNot LogicalOr Max MaxPool NotEqual OnesLike PartitionedCall Pow Prod Rank RealDiv
    Relu Relu6 Select SelectV2 Selu Sigmoid Size Slice Softmax Softplus SpaceToDepth Split SplitV
    Sqrt Square SquaredDifference Squeeze Sum Tanh Transpose Unpack ZerosLike
    """.split()
)

# Anywhere in the graph.
ALLOWED = _OF_EXPORTS | _MATHS

# In the function that writes variables, and in that which reads them, only. `tf.saved_model.load`
# runs neither; TensorFlow Serving runs the second.
SAVING = ALLOWED | {
    "DisableCopyOnRead",
    "MergeV2Checkpoints",
    "SaveV2",
    "ShardedFilename",
    "StaticRegexFullMatch",
}
RESTORING = frozenset({"AssignVariableOp", "Const", "Identity", "NoOp", "RestoreV2"})

# Every name that has a meaning here: no function may be called so, since a node of that name would
# then run the function in the place of the operation.
KNOWN = ALLOWED | SAVING | RESTORING
