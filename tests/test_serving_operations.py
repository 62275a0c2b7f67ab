"""Every operation of the interpreter computes what TensorFlow computes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tcn_migrate.serving_graph.interpreter import OPERATIONS, Interpreter
from tcn_migrate.serving_graph.messages import parse_function

RAW = tf.raw_ops
RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 5, 3)).astype("float32")
Y = RNG.normal(size=(2, 5, 3)).astype("float32")
SMALL = RNG.uniform(-0.9, 0.9, (2, 5, 3)).astype("float32")
ABOVE = RNG.uniform(1.1, 3, (2, 5, 3)).astype("float32")
IMAGE = RNG.normal(size=(2, 7, 6, 4)).astype("float32")
VOLUME = RNG.normal(size=(1, 4, 5, 4, 2)).astype("float32")
WHOLE = np.array([[3, -4, 5], [-7, 1, 2]], np.int32)
BY = np.array([[2, 3, -2], [2, 5, -3]], np.int32)
TRUE = X > 0
KERNEL = RNG.normal(size=(3, 2, 4, 6)).astype("float32")
HALVES = RNG.normal(size=(3, 2, 2, 6)).astype("float32")
CUBE = RNG.normal(size=(2, 3, 2, 2, 3)).astype("float32")

UNARY = [
    "Abs",
    "Atan",
    "Asinh",
    "Ceil",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Erfc",
    "Exp",
    "Expm1",
    "Floor",
    "Inv",
    "Neg",
    "OnesLike",
    "Reciprocal",
    "Relu",
    "Relu6",
    "Rint",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Square",
    "Tan",
    "Tanh",
    "ZerosLike",
    "IsNan",
    "IsInf",
    "IsFinite",
    "Identity",
    "StopGradient",
    "Snapshot",
    "PreventGradient",
]
BINARY = [
    "Add",
    "AddV2",
    "Atan2",
    "Div",
    "DivNoNan",
    "FloorDiv",
    "FloorMod",
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "Maximum",
    "Minimum",
    "Mod",
    "Mul",
    "MulNoNan",
    "NotEqual",
    "Equal",
    "RealDiv",
    "SquaredDifference",
    "Sub",
    "Xdivy",
    "ApproximateEqual",
]
REDUCTIONS = ["Max", "Mean", "Min", "Prod", "Sum"]


def _one(name: str, key: str) -> Callable[[Any], Any]:
    return lambda x: getattr(RAW, name)(**{key: x})


def _loop(x: Any) -> Any:
    steps = tf.TensorArray(tf.float32, 5)
    for step in tf.range(5):
        steps = steps.write(step, tf.cond(step > 2, lambda step=step: x[:, step] * 2, lambda step=step: x[:, step]))
    return steps.stack()


def _pushed(x: Any) -> Any:
    items = RAW.EmptyTensorList(element_shape=[5, 3], max_num_elements=5, element_dtype=tf.float32)
    items = RAW.TensorListPushBack(input_handle=items, tensor=x[0])
    items = RAW.TensorListPushBack(input_handle=items, tensor=x[1])
    count = RAW.TensorListLength(input_handle=items)
    items, last = RAW.TensorListPopBack(input_handle=items, element_shape=[5, 3], element_dtype=tf.float32)
    return last + tf.cast(count, tf.float32)


CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{
        f"{name} of integers": ((lambda n: lambda x, y: getattr(RAW, n)(x=x, y=y))(name), (WHOLE, BY))
        for name in (
            "FloorDiv",
            "FloorMod",
            "TruncateDiv",
            "TruncateMod",
            "BitwiseAnd",
            "BitwiseOr",
            "BitwiseXor",
            "Mul",
            "Div",
        )
    },
    **{name: ((lambda n: lambda x, y: getattr(RAW, n)(x=x, y=y))(name), (X, Y)) for name in BINARY},
    **{
        f"{name} {keep}": (
            (lambda n, k: lambda x: getattr(RAW, n)(input=x, axis=[0, -1], keep_dims=k))(name, keep),
            (X,),
        )
        for name in REDUCTIONS
        for keep in (True, False)
    },
    "All": (lambda x: RAW.All(input=x > 0, axis=[1]), (X,)),
    "Any": (lambda x: RAW.Any(input=x > 0, axis=[1], keep_dims=True), (X,)),
    "AddN": (lambda x, y: RAW.AddN(inputs=[x, y, x]), (X, Y)),
    "Acos": (tf.acos, (SMALL,)),
    "Acosh": (tf.acosh, (ABOVE,)),
    "Asin": (tf.asin, (SMALL,)),
    "Atanh": (tf.atanh, (SMALL,)),
    "Log": (tf.math.log, (ABOVE,)),
    "Log1p": (tf.math.log1p, (ABOVE,)),
    "Sqrt": (tf.sqrt, (ABOVE,)),
    "Rsqrt": (tf.math.rsqrt, (ABOVE,)),
    "Pow": (tf.pow, (ABOVE, X)),
    "Xlogy": (lambda x, y: RAW.Xlogy(x=tf.nn.relu(x), y=y), (X, ABOVE)),
    "LeakyRelu": (lambda x: RAW.LeakyRelu(features=x), (X,)),
    "LeakyRelu alpha": (lambda x: RAW.LeakyRelu(features=x, alpha=0.3), (X,)),
    "Softmax": (tf.nn.softmax, (X,)),
    "LogSoftmax": (lambda x: RAW.LogSoftmax(logits=x), (X,)),
    "LogicalAnd": (tf.logical_and, (TRUE, X > 0.5)),
    "LogicalOr": (tf.logical_or, (TRUE, X > 0.5)),
    "LogicalNot": (tf.logical_not, (TRUE,)),
    "ClipByValue": (lambda x: RAW.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.25), (X,)),
    "Select": (lambda x, y: RAW.Select(condition=[True, False], x=x, y=y), (X, Y)),
    "SelectV2": (lambda x, y: RAW.SelectV2(condition=x > 0, t=x, e=y[:1]), (X, Y)),
    "ArgMax": (lambda x: tf.argmax(x, 1), (X,)),
    "ArgMin": (lambda x: tf.argmin(x, -1, output_type=tf.int32), (X,)),
    "Cumsum": (lambda x: tf.cumsum(x, 1), (X,)),
    "Cumsum turned": (lambda x: tf.cumsum(x, 1, exclusive=True, reverse=True), (X,)),
    "Cumprod": (lambda x: tf.math.cumprod(x, -1, exclusive=True), (X,)),
    "MatMul": (lambda x, y: tf.matmul(x[0], y[0], transpose_b=True), (X, Y)),
    "MatMul first": (lambda x, y: RAW.MatMul(a=x[0], b=y[0], transpose_a=True), (X, Y)),
    "BatchMatMulV2": (lambda x, y: RAW.BatchMatMulV2(x=x, y=y[:1], adj_y=True), (X, Y)),
    "BatchMatMul": (lambda x, y: RAW.BatchMatMul(x=x, y=y, adj_x=True), (X, Y)),
    "BatchMatMulV3": (lambda x, y: RAW.BatchMatMulV3(x=x, y=y, Tout=tf.float32, adj_y=True), (X, Y)),
    "Einsum": (lambda x, y: tf.einsum("abc,dbc->ad", x, y), (X, Y)),
    "Einsum dots": (lambda x, y: tf.einsum("...bc,cd->...bd", x, y[0][:3]), (X, Y)),
    "Bucketize": (lambda x: RAW.Bucketize(input=x, boundaries=[-0.5, 0.0, 1.0]), (np.array([-1, -0.5, 0, 2], "f"),)),
    "TopKV2": (lambda x: tf.math.top_k(x, 2).values + tf.cast(tf.math.top_k(x, 2).indices, tf.float32), (X,)),
    "Cast down": (lambda x: tf.cast(x * 3, tf.int32), (X,)),
    "Cast bool": (lambda x: tf.cast(x > 0, tf.float32) + tf.cast(tf.cast(x, tf.bool), tf.float32), (X,)),
    # shapes
    "Shape": (lambda x: RAW.Shape(input=x, out_type=tf.int64), (X,)),
    "ShapeN": (lambda x, y: RAW.ShapeN(input=[x, y])[1], (X, IMAGE)),
    "Size Rank": (lambda x: RAW.Size(input=x) + RAW.Rank(input=x), (X,)),
    "Reshape": (lambda x: tf.reshape(x, [-1, 5]), (X,)),
    "ExpandDims Squeeze": (lambda x: tf.squeeze(tf.expand_dims(x, -1)[:1], [0]), (X,)),
    "Squeeze": (lambda x: RAW.Squeeze(input=x[:1, :1]), (X,)),
    "Transpose": (lambda x: tf.transpose(x, [2, 0, 1]), (X,)),
    "ConcatV2": (lambda x, y: tf.concat([x, y], -1), (X, Y)),
    "Concat": (lambda x, y: RAW.Concat(concat_dim=1, values=[x, y]), (X, Y)),
    "Pack": (lambda x, y: tf.stack([x, y], 2), (X, Y)),
    "Unpack": (lambda x: tf.unstack(x, axis=1)[3], (X,)),
    "Split": (lambda x: tf.split(x, 3, -1)[1], (X,)),
    "SplitV": (lambda x: tf.split(x, [1, -1, 2], 1)[1], (X,)),
    "StridedSlice": (lambda x: x[:, tf.newaxis, 4:0:-2, ..., -1], (X,)),
    "Slice": (lambda x: tf.slice(x, [0, 1, 0], [-1, 3, 2]), (X,)),
    "Pad": (lambda x: tf.pad(x, [[0, 0], [2, 1], [0, 1]]), (X,)),
    "PadV2": (lambda x: tf.pad(x, [[0, 0], [2, 1], [0, 1]], constant_values=3.0), (X,)),
    "MirrorPad reflect": (lambda x: tf.pad(x, [[0, 0], [2, 1], [0, 0]], "REFLECT"), (X,)),
    "MirrorPad symmetric": (lambda x: tf.pad(x, [[0, 0], [2, 1], [0, 0]], "SYMMETRIC"), (X,)),
    "Tile": (lambda x: tf.tile(x, [1, 2, 3]), (X,)),
    "BroadcastTo": (lambda x: tf.broadcast_to(x[:, :1], [2, 4, 3]), (X,)),
    "BroadcastArgs": (lambda x: RAW.BroadcastArgs(s0=[2, 5, 1], s1=tf.shape(x)), (X,)),
    "Fill": (lambda x: tf.fill(tf.shape(x), 2.5), (X,)),
    "Range": (lambda x: tf.range(1, 3 * tf.shape(x)[1], 2), (X,)),
    "LinSpace": (lambda x: RAW.LinSpace(start=x[0, 0, 0], stop=2.0, num=5), (X,)),
    "GatherV2": (lambda x: tf.gather(x, [[2, 0], [1, 1]], axis=-1), (X,)),
    "GatherV2 batch": (lambda x: tf.gather(x, [[4, 0], [1, 1]], axis=1, batch_dims=1), (X,)),
    "Gather": (lambda x: RAW.Gather(params=x, indices=[1, 0, 1]), (X,)),
    "GatherNd": (lambda x: tf.gather_nd(x, [[0, 4], [1, 2]]), (X,)),
    "ScatterNd": (lambda x: tf.scatter_nd([[1], [1], [3]], x[0, :3], [4, 3]), (X,)),
    "ReverseV2": (lambda x: tf.reverse(x, [1, -1]), (X,)),
    "ReverseSequence": (lambda x: tf.reverse_sequence(x, [2, 4], seq_axis=1, batch_axis=0), (X,)),
    "OneHot": (lambda x: tf.one_hot(tf.cast(x, tf.int32), 3, on_value=2.0, off_value=-1.0), (X,)),
    "OneHot axis": (lambda x: tf.one_hot(tf.cast(x, tf.int32), 3, axis=1), (X,)),
    "Where": (lambda x: tf.where(x > 0), (X,)),
    "Roll": (lambda x: tf.roll(x, [1, -2], [0, 1]), (X,)),
    "MatrixBandPart": (lambda x: tf.linalg.band_part(x, 1, 0) + tf.linalg.band_part(x, -1, 1), (X,)),
    "InvertPermutation": (lambda x: RAW.InvertPermutation(x=x), (np.array([2, 0, 3, 1], np.int32),)),
    "DenseBincount": (
        lambda x: RAW.DenseBincount(input=x, size=4, weights=tf.zeros([0]), binary_output=False),
        (np.array([[1, 3, 3], [0, 5, 1]], np.int32),),
    ),
    "DenseBincount binary": (
        lambda x: RAW.DenseBincount(input=x, size=4, weights=tf.zeros([0]), binary_output=True),
        (np.array([1, 3, 3, 9], np.int32),),
    ),
    "SpaceToBatchND": (
        lambda x: RAW.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[0, 1], [2, 1]]),
        (IMAGE,),
    ),
    "BatchToSpaceND": (
        lambda x: RAW.BatchToSpaceND(
            input=RAW.SpaceToBatchND(input=x, block_shape=[2, 3], paddings=[[0, 1], [2, 1]]),
            block_shape=[2, 3],
            crops=[[1, 2], [0, 1]],
        ),
        (IMAGE,),
    ),
    "EnsureShape": (lambda x: tf.ensure_shape(x, [None, 5, 3]), (X,)),
    "IdentityN": (lambda x, y: RAW.IdentityN(input=[x, y])[1], (X, Y)),
    "CheckNumerics": (lambda x: tf.debugging.check_numerics(x, ""), (X,)),
    "PlaceholderWithDefault": (lambda x: RAW.PlaceholderWithDefault(input=x, shape=[None, 5, 3]), (X,)),
    # flow
    "While If TensorList": (tf.function(_loop), (X,)),
    "TensorListFromTensor": (lambda x: tf.map_fn(lambda row: tf.reduce_max(row, 0), x), (X,)),
    "TensorListPushBack": (_pushed, (X,)),
    # neural
    "BiasAdd": (lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0]), (X,)),
    "BiasAdd first": (lambda x: RAW.BiasAdd(value=x, bias=[1.0] * 7, data_format="NCHW"), (IMAGE,)),
    **{
        f"Conv2D {padding} {strides} {dilations}": (
            (lambda p, s, d: lambda x: tf.nn.conv2d(x, KERNEL, s, p, dilations=d))(padding, strides, dilations),
            (IMAGE,),
        )
        for padding in ("SAME", "VALID", [[0, 0], [1, 2], [0, 1], [0, 0]])
        for strides, dilations in ((1, 1), ([2, 3], 1), (1, [2, 1]))
    },
    "Conv2D grouped": (lambda x: RAW.Conv2D(input=x, filter=HALVES, strides=[1, 1, 1, 1], padding="SAME"), (IMAGE,)),
    "Conv3D": (lambda x: tf.nn.conv3d(x, CUBE, [1, 2, 1, 2, 1], "SAME"), (VOLUME,)),
    "Conv2DBackpropInput same": (
        lambda x: tf.nn.conv2d_transpose(x, tf.transpose(KERNEL, [0, 1, 3, 2]), [2, 14, 12, 6], 2, "SAME"),
        (IMAGE,),
    ),
    "Conv2DBackpropInput valid": (
        lambda x: tf.nn.conv2d_transpose(x, tf.transpose(KERNEL, [0, 1, 3, 2]), [2, 21, 12, 6], [3, 2], "VALID"),
        (IMAGE,),
    ),
    "Conv3DBackpropInputV2": (
        lambda x: tf.nn.conv3d_transpose(x, tf.transpose(CUBE, [0, 1, 2, 4, 3]), [1, 8, 10, 8, 3], 2, "SAME"),
        (VOLUME,),
    ),
    "DepthwiseConv2dNative": (lambda x: tf.nn.depthwise_conv2d(x, KERNEL, [1, 2, 2, 1], "SAME"), (IMAGE,)),
    **{
        f"{name} {padding}": ((lambda n, p: lambda x: getattr(tf.nn, n)(x, 3, 2, p))(name, padding), (IMAGE,))
        for name in ("max_pool2d", "avg_pool2d")
        for padding in ("SAME", "VALID")
    },
    "MaxPool3D": (lambda x: tf.nn.max_pool3d(x, 2, 1, "SAME"), (VOLUME,)),
    "AvgPool3D": (lambda x: tf.nn.avg_pool3d(x, 3, 2, "SAME"), (VOLUME,)),
    **{
        f"{name} {training}": (
            (
                lambda n, t: (
                    lambda x: getattr(RAW, n)(
                        x=x,
                        scale=[1.0, 2, 3, 4],
                        offset=[0.0, 1, 2, 3],
                        mean=[0.5] * 4,
                        variance=[2.0] * 4,
                        epsilon=1e-3,
                        is_training=t,
                    )[0]
                )
            )(name, training),
            (IMAGE,),
        )
        for name in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
        for training in (False,)
    },
    "FusedBatchNormV3 training": (
        lambda x: RAW.FusedBatchNormV3(x=x, scale=[1.0] * 4, offset=[0.0] * 4, mean=[], variance=[], epsilon=1e-3)[0],
        (IMAGE,),
    ),
    "DepthToSpace": (lambda x: tf.nn.depth_to_space(x, 2), (IMAGE,)),
    "SpaceToDepth": (lambda x: tf.nn.space_to_depth(x[:, :6], 2), (IMAGE,)),
    **{
        f"{name} {kind}": (
            (lambda n, k: lambda x: getattr(RAW, n)(images=x, size=[5, 11], **k))(name, kind_arguments),
            (IMAGE,),
        )
        for name in ("ResizeBilinear", "ResizeNearestNeighbor")
        for kind, kind_arguments in {
            "plain": {},
            "corners": {"align_corners": True},
            "halves": {"half_pixel_centers": True},
        }.items()
    },
}
for unary in UNARY:
    function = getattr(RAW, unary)
    CALLS[unary] = (_one(unary, next(iter(inspect.signature(function).parameters))), (X,))


@functools.cache
def computed(name: str) -> tuple[list[Any], set[str]]:
    """What the interpreter makes of a function of TensorFlow, and the operations in it."""
    function, inputs = CALLS[name]
    concrete = tf.function(function).get_concrete_function(*[tf.TensorSpec(x.shape, x.dtype) for x in inputs])
    functions = [concrete.function_def, *concrete.graph.as_graph_def().library.function]
    messages = {one.signature.name: memoryview(one.SerializeToString()) for one in functions}
    run = Interpreter(messages)
    given = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    got = run.call(concrete.function_def.signature.name, list(given), None)
    nodes = [parse_function(one, message, run.budget).nodes for one, message in messages.items()]
    return got, {node.op for some in nodes for node in some.values()}


@pytest.mark.parametrize("name", CALLS)
def test_an_operation_computes_what_tensorflow_computes(name: str) -> None:
    function, inputs = CALLS[name]
    got, _ = computed(name)
    wanted = np.asarray(function(*map(tf.constant, inputs)))
    assert isinstance(got[0], np.ndarray)
    assert got[0].shape == wanted.shape
    assert got[0].dtype.kind == wanted.dtype.kind
    np.testing.assert_allclose(got[0].astype(np.float64), wanted.astype(np.float64), rtol=2e-5, atol=2e-6)


def test_every_operation_of_the_table_is_compared() -> None:
    seen = set().union(*(computed(name)[1] for name in CALLS))
    compared = {OPERATIONS[name] for name in seen if name in OPERATIONS}
    variables = {"ReadVariableOp", "ResourceGather", "VarIsInitializedOp", "VariableShape"}
    tables = {"LookupTableFindV2", "LookupTableImportV2", "LookupTableSizeV2"}
    left = {name for name, operation in OPERATIONS.items() if operation not in compared}
    assert left - variables - tables == set()
