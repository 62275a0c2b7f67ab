"""Functions of TensorFlow between layers: TFOpLambda, SlicingOpLambda, TensorFlowOpLayer.

Source: the functions' own documentation in TensorFlow 2.15; TensorFlow 1's names of arguments are those of its
documentation. Lengths of axes are known here, for the model is computed and not drawn.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.evaluation import activations
from tcn_migrate.evaluation.convolution import convolve, depthwise
from tcn_migrate.evaluation.images import resized
from tcn_migrate.evaluation.model import cast
from tcn_migrate.evaluation.normalization import l2_normalized
from tcn_migrate.evaluation.pooling import pooled
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import SINGLE, UNCLEAR, Tensor, floating

Compute = Callable[["Given"], Any]

FUNCTIONS: dict[str, tuple[tuple[str, ...], Compute]] = {}
"""By name without the module: the parameters in order, and what computes it."""


class Given:
    """The arguments of one call, by the parameters' names."""

    def __init__(self, layer: Layer, values: Mapping[str, Any]) -> None:
        self.layer = layer
        self.values = {name: value for name, value in values.items() if value is not None}

    def has(self, name: str) -> bool:
        return name in self.values

    def array(self, name: str) -> Array:
        """An argument as an array: a tensor, a number, or a list of them."""
        if name not in self.values:
            raise self.layer.unproven(f"its argument {name} is not in the file")
        return as_array(self.layer, self.values[name])

    def arrays(self, name: str) -> list[Array]:
        value = self.values.get(name)
        return [as_array(self.layer, one) for one in (value if isinstance(value, list) else [value])]

    def plain(self, name: str, default: Any = None) -> Any:
        """A number, text or list of whole numbers."""
        value = self.values.get(name, default)
        if isinstance(value, Tensor | list):
            found = as_array(self.layer, value)
            return found.tolist()
        return value

    def axes(self, name: str = "axis") -> Any:
        """None for all axes."""
        value = self.plain(name)
        return tuple(value) if isinstance(value, list) else value


def as_array(layer: Layer, value: Any) -> Array:
    if isinstance(value, Tensor):
        return value.values
    if isinstance(value, list):
        if any(isinstance(one, Tensor | list) for one in value):
            return np.stack([as_array(layer, one) for one in value])
        array = np.asarray(value)
    else:
        array = np.asarray(value)
    if array.dtype.kind == "f":  # a constant is as exact as the type that the layer computes in
        return array.astype(np.float32).astype(np.float64) if layer.unit >= SINGLE else array.astype(np.float64)
    if array.dtype.kind not in "biuSU":
        raise layer.unproven("one of its arguments is neither a tensor nor a number")
    return array


def function(names: str, parameters: str) -> Callable[[Compute], Compute]:
    def enter(compute: Compute) -> Compute:
        for name in names.split():
            FUNCTIONS[name] = (tuple(parameters.split()), compute)
        return compute

    return enter


UNARY: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": lambda x: activations.erf(floating(x)),
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "is_finite": np.isfinite,
    "is_inf": np.isinf,
    "is_nan": np.isnan,
    "log": np.log,
    "log1p": np.log1p,
    "log_sigmoid": lambda x: -activations.softplus(-x),
    "logical_not": np.logical_not,
    "negative": np.negative,
    "neg": np.negative,
    "reciprocal": lambda x: 1 / x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "rint": np.rint,
    "round": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "selu": activations.selu,
    "sigmoid": activations.sigmoid,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": activations.softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}


def _divided(x: Array, y: Array) -> Array:
    return np.asarray(x / y)


def _divided_or_zero(x: Array, y: Array) -> Array:
    return np.where(y == 0, 0.0, x / np.where(y == 0, 1, y))


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "divide": _divided,
    "div": _divided,
    "truediv": _divided,
    "divide_no_nan": _divided_or_zero,
    "equal": np.equal,
    "eq": np.equal,
    "floordiv": np.floor_divide,
    "floor_div": np.floor_divide,
    "floormod": np.mod,
    "floor_mod": np.mod,
    "mod": np.mod,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "ne": np.not_equal,
    "pow": np.power,
    "subtract": np.subtract,
    "sub": np.subtract,
    "squared_difference": lambda x, y: np.square(x - y),
}


def _unary(compute: Callable[[Array], Array]) -> Compute:
    return lambda given: given.layer.rounded(np.asarray(compute(given.array("x"))), 4)


def _binary(compute: Callable[[Array, Array], Array]) -> Compute:
    return lambda given: compute(given.array("x"), given.array("y"))


for _name, _compute in UNARY.items():
    FUNCTIONS[_name] = (("x",), _unary(_compute))
for _name, _pair in BINARY.items():
    FUNCTIONS[_name] = (("x", "y"), _binary(_pair))


@function("atan2", "y x")
def _atan2(given: Given) -> Array:
    return np.asarray(np.arctan2(given.array("y"), given.array("x")))


# ---- reductions


def _mean(x: Array, **where: Any) -> Array:
    return np.trunc(x.mean(**where)).astype(x.dtype) if x.dtype.kind in "iu" else np.asarray(x.mean(**where))


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_all": np.all,
    "reduce_any": np.any,
    "reduce_max": np.max,
    "reduce_mean": _mean,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_std": np.std,
    "reduce_sum": np.sum,
    "reduce_variance": np.var,
    "reduce_euclidean_norm": lambda x, **where: np.sqrt(np.sum(x * x, **where)),
    "reduce_logsumexp": lambda x, **where: np.log(np.sum(np.exp(x), **where)),
}


def reduced(layer: Layer, x: Array, compute: Callable[..., Any], axis: Any, keepdims: bool) -> Array:
    count = x.size if axis is None else int(np.prod([x.shape[one] for one in np.atleast_1d(axis).tolist()]))
    return np.asarray(compute(layer.terms(x, count), axis=axis, keepdims=keepdims))


def _reduction(compute: Callable[..., Any]) -> Compute:
    return lambda given: reduced(
        given.layer, given.array("input_tensor"), compute, given.axes(), bool(given.plain("keepdims", False))
    )


for _name, _over in REDUCTIONS.items():
    FUNCTIONS[_name] = (("input_tensor", "axis", "keepdims"), _reduction(_over))


@function("cumsum", "x axis exclusive reverse")
def _cumsum(given: Given) -> Array:
    return _accumulated(given, np.cumsum, 0)


@function("cumprod", "x axis exclusive reverse")
def _cumprod(given: Given) -> Array:
    return _accumulated(given, np.cumprod, 1)


def _accumulated(given: Given, compute: Callable[..., Array], neutral: int) -> Array:
    x, axis = given.array("x"), int(given.plain("axis", 0))
    x = np.flip(x, axis) if given.plain("reverse") else x
    y = compute(x, axis=axis)
    if given.plain("exclusive"):
        first = np.full_like(np.take(y, [0], axis=axis), neutral)
        y = np.concatenate([first, np.take(y, range(y.shape[axis] - 1), axis=axis)], axis=axis)
    return np.flip(y, axis) if given.plain("reverse") else y


@function("norm", "tensor ord axis keepdims")
def _norm(given: Given) -> Array:
    order, x = given.plain("ord", "euclidean"), given.array("tensor")
    axis, keepdims = given.axes(), bool(given.plain("keepdims", False))
    if order in ("euclidean", "fro") or (order == 2 and not isinstance(axis, tuple)):
        return np.asarray(np.sqrt(reduced(given.layer, x * x, np.sum, axis, keepdims)))
    if order == 1 and not isinstance(axis, tuple):
        return np.asarray(np.abs(x).sum(axis=axis, keepdims=keepdims))
    if order == math.inf and not isinstance(axis, tuple):
        return np.asarray(np.abs(x).max(axis=axis, keepdims=keepdims))
    raise given.layer.unproven("its order is not known")


@function("l2_normalize", "x axis epsilon")
def _l2_normalize(given: Given) -> Array:
    axis = given.axes()
    axes = axis if axis is None or isinstance(axis, tuple) else (axis,)
    return l2_normalized(given.layer, given.array("x"), axes, float(given.plain("epsilon", 1e-12)))


# ---- shapes, order, place


@function("cast saturate_cast", "x dtype")
def _cast(given: Given) -> Array:
    return cast(given.array("x"), str(given.plain("dtype")))


@function("identity stop_gradient", "input")
def _identity(given: Given) -> Array:
    return given.array("input")


@function("shape", "input out_type")
def _shape(given: Given) -> Array:
    return np.asarray(given.array("input").shape, np.int64)


@function("zeros_like", "input dtype")
def _zeros_like(given: Given) -> Array:
    return np.zeros_like(given.array("input"))


@function("ones_like", "input dtype")
def _ones_like(given: Given) -> Array:
    return np.ones_like(given.array("input"))


@function("fill", "dims value")
def _fill(given: Given) -> Array:
    return np.full(given.plain("dims"), given.array("value"))


@function("expand_dims", "input axis")
def _expand_dims(given: Given) -> Array:
    return np.expand_dims(given.array("input"), int(given.plain("axis", 0)))


@function("squeeze", "input axis")
def _squeeze(given: Given) -> Array:
    axis = given.axes()
    return np.squeeze(given.array("input"), axis=None if axis == () else axis)


@function("transpose", "a perm conjugate")
def _transpose(given: Given) -> Array:
    return np.transpose(given.array("a"), given.axes("perm"))


@function("reshape", "tensor shape")
def _reshape(given: Given) -> Array:
    return given.array("tensor").reshape(given.plain("shape"))


@function("batch_flatten", "x")
def _batch_flatten(given: Given) -> Array:
    x = given.array("x")
    return x.reshape(len(x), -1)


@function("broadcast_to", "input shape")
def _broadcast_to(given: Given) -> Array:
    return np.broadcast_to(given.array("input"), given.plain("shape"))


@function("concat concatenate", "values axis")
def _concat(given: Given) -> Array:
    return np.concatenate(given.arrays("values"), axis=int(given.plain("axis", 0)))


@function("stack", "values axis")
def _stack(given: Given) -> Array:
    return np.stack(given.arrays("values"), axis=int(given.plain("axis", 0)))


@function("split", "value num_or_size_splits axis num")
def _split(given: Given) -> list[Array]:
    x, axis, parts = given.array("value"), int(given.plain("axis", 0)), given.plain("num_or_size_splits")
    if isinstance(parts, list):
        if -1 in parts:
            parts[parts.index(-1)] = x.shape[axis] - sum(part for part in parts if part >= 0)
        parts = np.cumsum(parts)[:-1]
    return np.split(x, parts, axis=axis)


@function("unstack", "value num axis")
def _unstack(given: Given) -> list[Array]:
    return list(np.moveaxis(given.array("value"), int(given.plain("axis", 0)), 0))


@function("tile", "input multiples")
def _tile(given: Given) -> Array:
    return np.tile(given.array("input"), given.plain("multiples"))


@function("repeat", "input repeats axis")
def _repeat(given: Given) -> Array:
    return np.repeat(given.array("input"), given.plain("repeats"), axis=given.axes())


@function("reverse", "tensor axis")
def _reverse(given: Given) -> Array:
    return np.flip(given.array("tensor"), given.axes())


@function("roll", "input shift axis")
def _roll(given: Given) -> Array:
    return np.roll(given.array("input"), given.plain("shift"), axis=given.axes())


@function("pad", "tensor paddings mode constant_values")
def _pad(given: Given) -> Array:
    mode = str(given.plain("mode", "CONSTANT")).lower()
    fill = {"constant_values": given.plain("constant_values", 0)} if mode == "constant" else {}
    return np.pad(given.array("tensor"), given.plain("paddings"), mode=mode, **fill)  # type: ignore[call-overload,no-any-return]


@function("gather", "params indices validate_indices axis batch_dims")
def _gather(given: Given) -> Array:
    if given.plain("batch_dims", 0):
        raise given.layer.unproven("it gathers in batches")
    indices = given.array("indices").astype(np.int64)
    return np.take(given.array("params"), indices, axis=int(given.plain("axis", 0)))


@function("one_hot", "indices depth on_value off_value axis dtype")
def _one_hot(given: Given) -> Array:
    hits = given.array("indices")[..., None] == np.arange(int(given.plain("depth")))
    y = np.where(hits, float(given.plain("on_value", 1)), float(given.plain("off_value", 0)))
    return np.moveaxis(y, -1, int(given.plain("axis", -1)))


@function("band_part", "input num_lower num_upper")
def _band_part(given: Given) -> Array:
    x, lower, upper = given.array("input"), int(given.plain("num_lower")), int(given.plain("num_upper"))
    right = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
    return np.where(((lower < 0) | (right >= -lower)) & ((upper < 0) | (right <= upper)), x, np.zeros_like(x))


def element(layer: Layer, value: Any) -> Any:
    """One element between the brackets of `x[...]`."""
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(value, dict) and value.get("class_name") == "__slice__":
        value = value["config"]
    if isinstance(value, dict) and {"start", "stop", "step"} <= set(value):
        parts = [value[name] for name in ("start", "stop", "step")]
        return slice(*(None if part is None else int(as_array(layer, part)) for part in parts))
    if isinstance(value, Tensor):
        if value.values.ndim:
            return value.values.astype(bool) if value.values.dtype == bool else value.values
        return int(value.values)
    return value


@function("getitem", "tensor slice_spec")
def _getitem(given: Given) -> Array:
    stored = given.values.get("slice_spec")
    key = tuple(element(given.layer, one) for one in (stored if isinstance(stored, list) else [stored]))
    return np.asarray(given.array("tensor")[key])


@function("slice", "input_ begin size")
def _slice(given: Given) -> Array:
    begins, lengths = given.plain("begin"), given.plain("size")
    key = tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begins, lengths, strict=True))
    return given.array("input_")[key]


@function(
    "strided_slice", "input_ begin end strides begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask var"
)
def _strided_slice(given: Given) -> Array:
    begins, ends = given.plain("begin"), given.plain("end")
    steps = given.plain("strides") if given.has("strides") else [1] * len(begins)
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    no_begin, no_end, dots, new, one = (int(given.plain(mask, 0) or 0) for mask in masks)
    key: list[Any] = []
    for place, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << place
        if dots & bit:
            key.append(...)
        elif new & bit:
            key.append(None)
        elif one & bit:
            key.append(begin)
        else:
            key.append(slice(None if no_begin & bit else begin, None if no_end & bit else end, step))
    return np.asarray(given.array("input_")[tuple(key)])


# ---- choice and order


@function("where where_v2", "condition x y")
def _where(given: Given) -> Array:
    return np.where(given.array("condition"), given.array("x"), given.array("y"))


@function("argmax arg_max", "input axis output_type")
def _argmax(given: Given) -> Array:
    return np.asarray(given.array("input").argmax(axis=int(given.plain("axis", 0))))


@function("argmin arg_min", "input axis output_type")
def _argmin(given: Given) -> Array:
    return np.asarray(given.array("input").argmin(axis=int(given.plain("axis", 0))))


@function("top_k", "input k sorted index_type")
def _top_k(given: Given) -> list[Array]:
    x, count = given.array("input"), int(given.plain("k", 1))
    order = np.argsort(-x, axis=-1, kind="stable")[..., :count]
    return [np.take_along_axis(x, order, axis=-1), order]


@function("sort", "values axis direction")
def _sort(given: Given) -> Array:
    x, axis = given.array("values"), int(given.plain("axis", -1))
    y = np.sort(x, axis=axis)
    return np.flip(y, axis) if given.plain("direction", "ASCENDING") == "DESCENDING" else y


@function("argsort", "values axis direction stable")
def _argsort(given: Given) -> Array:
    x = given.array("values")
    x = -x if given.plain("direction", "ASCENDING") == "DESCENDING" else x
    return np.argsort(x, axis=int(given.plain("axis", -1)), kind="stable")


# ---- arithmetic with settings


@function("scalar_mul scalar_mul_v2", "scalar x")
def _scalar_mul(given: Given) -> Array:
    return np.asarray(given.array("scalar") * given.array("x"))


@function("add_n", "inputs")
def _add_n(given: Given) -> Array:
    first, *others = given.arrays("inputs")
    for other in others:
        first = given.layer.rounded(np.asarray(first + other))
    return first


@function("bias_add", "value bias data_format")
def _bias_add(given: Given) -> Array:
    value, bias = given.array("value"), given.array("bias")
    if str(given.plain("data_format", "NHWC")).startswith("NC"):
        bias = bias.reshape(-1, *(1,) * (value.ndim - 2))
    return np.asarray(value + bias)


@function("clip_by_value", "t clip_value_min clip_value_max")
def _clip_by_value(given: Given) -> Array:
    return np.maximum(np.minimum(given.array("t"), given.array("clip_value_max")), given.array("clip_value_min"))


@function("softmax softmax_v2", "logits axis")
def _softmax(given: Given) -> Array:
    return activations.softmax(floating(given.array("logits")), int(given.plain("axis", -1)))


@function("log_softmax log_softmax_v2", "logits axis")
def _log_softmax(given: Given) -> Array:
    return activations.log_softmax(floating(given.array("logits")), int(given.plain("axis", -1)))


@function("elu", "features")
def _elu(given: Given) -> Array:
    return given.layer.rounded(activations.elu(given.array("features")), 4)


@function("leaky_relu", "features alpha")
def _leaky_relu(given: Given) -> Array:
    x = given.array("features")
    return np.where(x > 0, x, float(given.plain("alpha", 0.2)) * x)


@function("gelu", "features approximate")
def _gelu(given: Given) -> Array:
    return given.layer.rounded(activations.gelu(given.array("features"), bool(given.plain("approximate", False))), 4)


@function("silu swish", "features beta")
def _silu(given: Given) -> Array:
    x = given.array("features")
    beta = given.array("beta") if given.has("beta") else 1.0
    return given.layer.rounded(np.asarray(x * activations.sigmoid(np.asarray(beta * x))), 4)


@function("dropout", "x rate noise_shape seed")
def _dropout(given: Given) -> Array:
    if float(given.plain("rate", -1)) != 0:
        raise given.layer.unproven("it drops at random in predictions, too")
    return given.array("x")


# ---- products


@function("matmul", "a b transpose_a transpose_b adjoint_a adjoint_b a_is_sparse b_is_sparse output_type grad_a grad_b")
def _matmul(given: Given) -> Array:
    factors = [
        np.swapaxes(given.array(name), -1, -2)
        if given.plain(f"transpose_{name}") or given.plain(f"adjoint_{name}")
        else given.array(name)
        for name in ("a", "b")
    ]
    return given.layer.product(*factors)


@function("matvec", "a b transpose_a adjoint_a a_is_sparse b_is_sparse")
def _matvec(given: Given) -> Array:
    matrix, vector = given.array("a"), given.array("b")
    if given.plain("transpose_a") or given.plain("adjoint_a"):
        matrix = np.swapaxes(matrix, -1, -2)
    return given.layer.rounded(np.einsum("...ij,...j->...i", given.layer.terms(matrix, matrix.shape[-1]), vector))


@function("tensordot", "a b axes")
def _tensordot(given: Given) -> Array:
    a, b, axes = given.array("a"), given.array("b"), given.plain("axes")
    if isinstance(axes, list):
        axes = [one if isinstance(one, list) else [one] for one in axes]
    return given.layer.rounded(np.tensordot(given.layer.terms(a, a.shape[-1]), b, axes=axes))


@function("einsum", "equation inputs")
def _einsum(given: Given) -> Array:
    if not given.has("inputs"):
        raise given.layer.unproven("what it is applied to is not in the file")
    return given.layer.einsum(str(given.plain("equation")), *given.arrays("inputs"))


def _windows(given: Given, name: str, rank: int) -> tuple[int, ...]:
    value = given.plain(name, 1)
    found = value if isinstance(value, list) else [value]
    inner = found[1:-1] if len(found) == rank + 2 else found
    return tuple(inner * rank if len(inner) == 1 else inner)


def _last(given: Given) -> None:
    if str(given.plain("data_format", "NHWC")) not in ("NWC", "NHWC", "NDHWC"):
        raise given.layer.unproven("its channels are not last")


@function("conv1d conv1d_v2", "input filters stride padding data_format dilations use_cudnn_on_gpu")
def _conv1d(given: Given) -> Array:
    return _convolution(given, "stride", 1)


@function("conv2d conv2d_v2", "input filters strides padding data_format dilations use_cudnn_on_gpu")
def _conv2d(given: Given) -> Array:
    return _convolution(given, "strides", 2)


@function("conv3d conv3d_v2", "input filters strides padding data_format dilations")
def _conv3d(given: Given) -> Array:
    return _convolution(given, "strides", 3)


@function("depthwise_conv2d depthwise_conv2d_v2", "input filters strides padding data_format dilations")
def _depthwise_conv2d(given: Given) -> Array:
    _last(given)
    strides, rates = _windows(given, "strides", 2), _windows(given, "dilations", 2)
    padding = str(given.plain("padding"))
    return depthwise(given.layer, given.array("input"), given.array("filters"), strides, rates, padding)


@function("image.resize resize", "images size method preserve_aspect_ratio antialias")
def _resize(given: Given) -> Array:
    height, width = given.plain("size")
    if given.plain("preserve_aspect_ratio") or given.plain("antialias"):
        raise given.layer.unproven("it keeps the aspect ratio, or smooths before it resizes")
    return resized(
        given.layer, given.array("images"), (int(height), int(width)), str(given.plain("method", "bilinear"))
    )


@function("image.flip_left_right flip_left_right", "image")
def _flip_left_right(given: Given) -> Array:
    return np.flip(given.array("image"), -2)


@function("image.flip_up_down flip_up_down", "image")
def _flip_up_down(given: Given) -> Array:
    return np.flip(given.array("image"), -3)


def _convolution(given: Given, stride: str, rank: int) -> Array:
    _last(given)
    strides, rates = _windows(given, stride, rank), _windows(given, "dilations", rank)
    padding = str(given.plain("padding"))
    return convolve(given.layer, given.array("input"), given.array("filters"), strides, rates, padding)


@function("avg_pool1d avg_pool2d avg_pool3d avg_pool avg_pool_v2", "input ksize strides padding data_format")
def _average_pool(given: Given) -> Array:
    return _pool(given, "Average")


@function("max_pool1d max_pool2d max_pool3d max_pool max_pool_v2", "input ksize strides padding data_format")
def _max_pool(given: Given) -> Array:
    return _pool(given, "Max")


def _pool(given: Given, kind: str) -> Array:
    _last(given)
    x = floating(given.array("input"))
    size, strides = (_windows(given, name, x.ndim - 2) for name in ("ksize", "strides"))
    return pooled(given.layer, x, size, strides, str(given.plain("padding")), kind)


# ---- layers that hold a function

_MODULES = ("compat.v1.", "compat.v2.", "__operators__.", "keras.backend.", "math.", "nn.", "linalg.")
_FORMER = {
    "dim": "axis",
    "dimension": "axis",
    "reduction_indices": "axis",
    "squeeze_dims": "axis",
    "split_dim": "axis",
    "keep_dims": "keepdims",
    "filter": "filters",
    "other": "y",
}


@computes("TFOpLambda", "SlicingOpLambda")
def of_function(layer: Layer, arguments: Arguments) -> list[Tensor]:
    name = str(layer.config.get("function"))
    for module in _MODULES:
        name = name.removeprefix(module)
    if name not in FUNCTIONS:
        raise layer.unproven(f"TensorFlow's function {name!r} has no evaluation")
    parameters, compute = FUNCTIONS[name]
    values = dict(zip(parameters, arguments.args, strict=False))
    for key, value in arguments.kwargs.items():
        if value is not None and key not in ("name", "training"):
            values[key if key in parameters else _FORMER.get(key, key)] = value
    return _tensors(layer, name, compute(Given(layer, values)), arguments)


def _tensors(layer: Layer, name: str, made: Any, arguments: Arguments) -> list[Tensor]:
    """The outputs, without masks; but a cast or an identity may hand on its very input."""
    first = arguments.first
    mask = (
        UNCLEAR if name in ("cast", "identity", "stop_gradient") and getattr(first, "mask", None) is not None else None
    )
    return [Tensor(np.asarray(one), mask) for one in (made if isinstance(made, list) else [made])]


_NODES: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        node: (name, ("x",))
        for node, name in {
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
            "Rint": "rint",
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
        }.items()
    },
    **{
        node: (name, ("x", "y"))
        for node, name in {
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
        }.items()
    },
    **{
        node: (name, ("input_tensor", "axis"))
        for node, name in {
            "All": "reduce_all",
            "Any": "reduce_any",
            "EuclideanNorm": "reduce_euclidean_norm",
            "Max": "reduce_max",
            "Mean": "reduce_mean",
            "Min": "reduce_min",
            "Prod": "reduce_prod",
            "Sum": "reduce_sum",
        }.items()
    },
    "MatMul": ("matmul", ("a", "b")),
    "BatchMatMul": ("matmul", ("a", "b")),
    "BatchMatMulV2": ("matmul", ("a", "b")),
    "AddN": ("add_n", ("*inputs",)),
    "ArgMax": ("argmax", ("input", "axis")),
    "ArgMin": ("argmin", ("input", "axis")),
    "Atan2": ("atan2", ("y", "x")),
    "AvgPool": ("avg_pool", ("input",)),
    "BiasAdd": ("bias_add", ("value", "bias")),
    "BroadcastTo": ("broadcast_to", ("input", "shape")),
    "Cast": ("cast", ("x",)),
    "ConcatV2": ("concat", ("*values", "axis")),
    "Cumprod": ("cumprod", ("x", "axis")),
    "Cumsum": ("cumsum", ("x", "axis")),
    "Einsum": ("einsum", ("*inputs",)),
    "Elu": ("elu", ("features",)),
    "ExpandDims": ("expand_dims", ("input", "axis")),
    "Fill": ("fill", ("dims", "value")),
    "GatherV2": ("gather", ("params", "indices", "axis")),
    "Identity": ("identity", ("input",)),
    "LeakyRelu": ("leaky_relu", ("features",)),
    "LogSoftmax": ("log_softmax", ("logits",)),
    "MatrixBandPart": ("band_part", ("input", "num_lower", "num_upper")),
    "MaxPool": ("max_pool", ("input",)),
    "MaxPool3D": ("max_pool", ("input",)),
    "AvgPool3D": ("avg_pool", ("input",)),
    "Conv2D": ("conv2d", ("input", "filters")),
    "Conv3D": ("conv3d", ("input", "filters")),
    "DepthwiseConv2dNative": ("depthwise_conv2d", ("input", "filters")),
    "MirrorPad": ("pad", ("tensor", "paddings")),
    "OneHot": ("one_hot", ("indices", "depth", "on_value", "off_value")),
    "OnesLike": ("ones_like", ("input",)),
    "Pack": ("stack", ("*values",)),
    "Pad": ("pad", ("tensor", "paddings")),
    "PadV2": ("pad", ("tensor", "paddings", "constant_values")),
    "Reshape": ("reshape", ("tensor", "shape")),
    "ReverseV2": ("reverse", ("tensor", "axis")),
    "Roll": ("roll", ("input", "shift", "axis")),
    "Select": ("where", ("condition", "x", "y")),
    "SelectV2": ("where", ("condition", "x", "y")),
    "Shape": ("shape", ("input",)),
    "Slice": ("slice", ("input_", "begin", "size")),
    "Softmax": ("softmax", ("logits",)),
    "Split": ("split", ("axis", "value")),
    "SplitV": ("split", ("value", "num_or_size_splits", "axis")),
    "Squeeze": ("squeeze", ("input",)),
    "StopGradient": ("stop_gradient", ("input",)),
    "StridedSlice": ("strided_slice", ("input_", "begin", "end", "strides")),
    "Tile": ("tile", ("input", "multiples")),
    "TopKV2": ("top_k", ("input", "k")),
    "Transpose": ("transpose", ("a", "perm")),
    "Unpack": ("unstack", ("value",)),
    "ZerosLike": ("zeros_like", ("input",)),
}
"""Nodes of TensorFlow's graph: the function, and its parameters in the order of the node's inputs; one with a star
takes all that the others leave. Source: the operations' definitions, tensorflow/core/api_def."""

_ATTRIBUTES = {
    "keep_dims": "keepdims",
    "adj_x": "adjoint_a",
    "adj_y": "adjoint_b",
    "DstT": "dtype",
    "num_split": "num_or_size_splits",
    "squeeze_dims": "axis",
}
_TYPES = {"DT_BOOL": "bool", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8", "DT_INT8": "int8"}


def _attribute(value: Any) -> Any:
    """An attribute in protobuf's JSON: whole numbers as texts, texts in base64, types by name."""
    for kind, held in value.items() if isinstance(value, dict) else ():
        if kind == "i":
            return int(held)
        if kind == "s":
            return base64.b64decode(held.encode()).decode("ascii", "replace")
        if kind == "type":
            return _TYPES.get(held, "float32")
        if kind == "list":
            return [_attribute({inner: one}) for inner, many in held.items() for one in many]
        return held
    return None


@computes("TensorFlowOpLayer")
def of_node(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """A node of TensorFlow's graph, with constants for some of its inputs."""
    stored = layer.config.get("node_def")
    node: Json = json.loads(stored) if isinstance(stored, str) else stored or {}
    kind = str(node.get("op"))
    if kind not in _NODES:
        raise layer.unproven(f"TensorFlow's node {kind!r} has no evaluation")
    name, parameters = _NODES[kind]
    constants = layer.config.get("constants") or {}
    tensors = list(arguments.args[0]) if isinstance(arguments.first, list) else list(arguments.args)
    count = len([one for one in node.get("input") or [] if not str(one).startswith("^")])
    inputs = [constants[str(place)] if str(place) in constants else tensors.pop(0) for place in range(count)]
    values: Json = {}
    for place, parameter in enumerate(parameters):
        if parameter.startswith("*"):
            more = len(inputs) - (len(parameters) - place - 1)
            values[parameter[1:]], inputs = inputs[:more], inputs[more:]
        elif inputs:
            values[parameter] = inputs.pop(0)
    known, compute = FUNCTIONS[name]
    for key, value in (node.get("attr") or {}).items():
        key = _ATTRIBUTES.get(key, key)
        if key in known and key not in values:
            values[key] = _attribute(value)
    return _tensors(layer, name, compute(Given(layer, values)), arguments)
