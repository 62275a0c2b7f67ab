"""Nodes of TensorFlow's graph, by the functions that make them; see `functions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """What a node computes.

    Attributes:
        function: a name in `FUNCTIONS`.
        inputs: the function's parameters in the order of the node's inputs; one with a star takes several.
        attributes: the node's attribute -> the function's parameter.
        settings: parameters that this node implies.
    """

    function: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


_UNARY = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "Inv": "reciprocal",
    "IsFinite": "is_finite",
    "IsInf": "is_inf",
    "IsNan": "is_nan",
    "Log": "log",
    "Log1p": "log1p",
    "LogicalNot": "logical_not",
    "Neg": "negative",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Relu6": "relu6",
    "Rint": "round",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Square": "square",
    "Tan": "tan",
    "Tanh": "tanh",
}

_BINARY = {
    "Add": "add",
    "AddV2": "add",
    "Div": "divide",
    "DivNoNan": "divide_no_nan",
    "Equal": "equal",
    "FloorDiv": "floordiv",
    "FloorMod": "floormod",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mul": "multiply",
    "NotEqual": "not_equal",
    "Pow": "pow",
    "RealDiv": "truediv",
    "SquaredDifference": "squared_difference",
    "Sub": "subtract",
}

_REDUCTIONS = {
    "All": "reduce_all",
    "Any": "reduce_any",
    "EuclideanNorm": "reduce_euclidean_norm",
    "Max": "reduce_max",
    "Mean": "reduce_mean",
    "Min": "reduce_min",
    "Prod": "reduce_prod",
    "Sum": "reduce_sum",
}

_MATMUL = {"transpose_a": "transpose_a", "transpose_b": "transpose_b", "adj_x": "adjoint_a", "adj_y": "adjoint_b"}
_POOL = {name: name for name in ("ksize", "strides", "padding", "data_format")}
_CONVOLUTION = {name: name for name in ("strides", "padding", "data_format", "dilations")}
_NORM = {name: name for name in ("epsilon", "data_format", "is_training")}
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")

NODES: dict[str, Node] = {
    **{node: Node(function, ("x",)) for node, function in _UNARY.items()},
    **{node: Node(function, ("x", "y")) for node, function in _BINARY.items()},
    **{
        node: Node(function, ("input_tensor", "axis"), {"keep_dims": "keepdims"})
        for node, function in _REDUCTIONS.items()
    },
    **{node: Node("matmul", ("a", "b"), _MATMUL) for node in ("MatMul", "BatchMatMul", "BatchMatMulV2")},
    "AddN": Node("add_n", ("*inputs",)),
    "ArgMax": Node("argmax", ("input", "axis")),
    "ArgMin": Node("argmin", ("input", "axis")),
    "Atan2": Node("atan2", ("y", "x")),
    "AvgPool": Node("avg_pool", ("input",), _POOL),
    "AvgPool3D": Node("avg_pool3d", ("input",), _POOL),
    "BiasAdd": Node("bias_add", ("value", "bias"), {"data_format": "data_format"}),
    "BroadcastTo": Node("broadcast_to", ("input", "shape")),
    "Cast": Node("cast", ("x",), {"DstT": "dtype"}),
    "ConcatV2": Node("concat", ("*values", "axis")),
    "Conv2D": Node("conv2d", ("input", "filters"), _CONVOLUTION),
    "Conv3D": Node("conv3d", ("input", "filters"), _CONVOLUTION),
    "Cumprod": Node("cumprod", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
    "Cumsum": Node("cumsum", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
    "DepthwiseConv2dNative": Node("depthwise_conv2d", ("input", "filters"), _CONVOLUTION),
    "Einsum": Node("einsum", ("*inputs",), {"equation": "equation"}),
    "Elu": Node("elu", ("features",)),
    "ExpandDims": Node("expand_dims", ("input", "axis")),
    "Fill": Node("fill", ("dims", "value")),
    **{
        f"FusedBatchNorm{version}": Node("fused_batch_norm", ("x", "scale", "offset", "mean", "variance"), _NORM)
        for version in ("", "V2", "V3")
    },
    "GatherV2": Node("gather", ("params", "indices", "axis"), {"batch_dims": "batch_dims"}),
    "Identity": Node("identity", ("input",)),
    "LeakyRelu": Node("leaky_relu", ("features",), {"alpha": "alpha"}),
    "LogSoftmax": Node("log_softmax", ("logits",)),
    "MatrixBandPart": Node("band_part", ("input", "num_lower", "num_upper")),
    "MaxPool": Node("max_pool", ("input",), _POOL),
    "MaxPool3D": Node("max_pool3d", ("input",), _POOL),
    "MirrorPad": Node("pad", ("tensor", "paddings"), {"mode": "mode"}),
    "OneHot": Node("one_hot", ("indices", "depth", "on_value", "off_value"), {"axis": "axis"}),
    "OnesLike": Node("ones_like", ("input",)),
    "Pack": Node("stack", ("*values",), {"axis": "axis"}),
    "Pad": Node("pad", ("tensor", "paddings")),
    "PadV2": Node("pad", ("tensor", "paddings", "constant_values")),
    "Reshape": Node("reshape", ("tensor", "shape")),
    "ReverseV2": Node("reverse", ("tensor", "axis")),
    "Roll": Node("roll", ("input", "shift", "axis")),
    "Select": Node("where", ("condition", "x", "y")),
    "SelectV2": Node("where", ("condition", "x", "y")),
    "Shape": Node("shape", ("input",)),
    "Slice": Node("slice", ("input_", "begin", "size")),
    "Softmax": Node("softmax", ("logits",)),
    "Split": Node("split", ("axis", "value"), {"num_split": "num_or_size_splits"}),
    "SplitV": Node("split", ("value", "num_or_size_splits", "axis")),
    "Squeeze": Node("squeeze", ("input",), {"squeeze_dims": "axis"}),
    "StopGradient": Node("stop_gradient", ("input",)),
    "StridedSlice": Node("strided_slice", ("input_", "begin", "end", "strides"), {mask: mask for mask in _MASKS}),
    "Tile": Node("tile", ("input", "multiples")),
    "TopKV2": Node("top_k", ("input", "k")),
    "Transpose": Node("transpose", ("a", "perm")),
    "Unpack": Node("unstack", ("value",), {"axis": "axis", "num": "num"}),
    "ZerosLike": Node("zeros_like", ("input",)),
}
