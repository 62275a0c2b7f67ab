"""Operations on one value at a time, comparisons, reductions and products.

Source: tensorflow/core/ops/math_ops.cc and nn_ops.cc for names, inputs and attributes; the kernels of the same names in
tensorflow/core/kernels for what they compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.messages import Node
from tcn_migrate.serving_graph.values import Operation, Runner, Value, array, whole, wholes


def _of_one(function: Callable[[Array], Any]) -> Operation:
    def operation(run: Runner, node: Node, x: Value) -> Array:
        got = array(x, node)
        result = np.asarray(function(got))
        return result.astype(got.dtype) if result.dtype.kind == got.dtype.kind == "f" else result

    return operation


def _of_two(function: Callable[[Array, Array], Any]) -> Operation:
    def operation(run: Runner, node: Node, x: Value, y: Value) -> Array:
        a, b = array(x, node), array(y, node)
        run.budget.room(np.broadcast_shapes(a.shape, b.shape), node.name)
        if a.dtype != b.dtype:
            raise NotInterpreted(f"operation {node.op!r} on {a.dtype} and {b.dtype}", node=node.name)
        return np.asarray(function(a, b))

    return operation


_COST_OF_ERF = 256
"""What `erf` of one value counts as in multiplications: NumPy has none, so each is a call of Python's."""


def _one_by_one(function: Callable[[float], float]) -> Operation:
    each = np.frompyfunc(function, 1, 1)

    def operation(run: Runner, node: Node, x: Value) -> Array:
        got = array(x, node)
        run.budget.multiply(_COST_OF_ERF * got.size, node.name)
        return np.asarray(each(got), got.dtype)

    return operation


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _no_nan(x: Array, y: Array) -> Array:
    return np.where(y == 0, 0, x / np.where(y == 0, 1, y)).astype(x.dtype)


def _truncated_quotient(x: Array, y: Array) -> Array:
    return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)), x.dtype)


def _leaky(run: Runner, node: Node, x: Value) -> Array:
    """nn_ops.cc, LeakyRelu: alpha is 0.2 unless it is given."""
    got = array(x, node)
    return np.where(got > 0, got, got * node.number("alpha", 0.2))


def _approximately(run: Runner, node: Node, x: Value, y: Value) -> Array:
    return np.asarray(np.abs(array(x, node) - array(y, node)) < node.number("tolerance", 1e-5))


def _cast(run: Runner, node: Node, x: Value) -> Array:
    """cast_op.cc: floats are cut off towards 0; a bool is 0 or 1; a number is true if it is not 0."""
    got, to = array(x, node), node.dtype("DstT")
    if to is np.object_ or got.dtype == object:
        raise NotInterpreted("operation 'Cast' of strings", node=node.name)
    if got.dtype.kind == "f" and to is np.float64:
        return got
    return got.astype(to)


def _add_many(run: Runner, node: Node, *terms: Value) -> Array:
    total = array(terms[0], node)
    for term in terms[1:]:
        total = total + array(term, node)
    return total


def _clip(run: Runner, node: Node, x: Value, low: Value, high: Value) -> Array:
    got = array(x, node)
    return np.asarray(np.minimum(np.maximum(got, array(low, node)), array(high, node)))


def _select(run: Runner, node: Node, condition: Value, x: Value, y: Value) -> Array:
    """cwise_op_select.cc: the condition of `Select` (not `SelectV2`) may be a vector that picks rows."""
    picked, a, b = array(condition, node), array(x, node), array(y, node)
    if node.op == "Select" and picked.ndim == 1 and a.ndim > 1:
        picked = picked.reshape(-1, *[1] * (a.ndim - 1))
    run.budget.room(np.broadcast_shapes(picked.shape, a.shape, b.shape), node.name)
    if a.dtype != b.dtype or picked.dtype != bool:
        raise NotInterpreted(f"operation {node.op!r} on values of several types", node=node.name)
    return np.where(picked, a, b)


def _reduction(function: Callable[..., Any]) -> Operation:
    def operation(run: Runner, node: Node, x: Value, axes: Value) -> Array:
        got = array(x, node)
        along = tuple(axis % got.ndim for axis in wholes(axes, node)) if got.ndim else ()
        result = np.asarray(function(got, axis=along, keepdims=node.flag("keep_dims")))
        return result if result.dtype.kind == "b" else result.astype(got.dtype)

    return operation


def _position(function: Callable[..., Any]) -> Operation:
    def operation(run: Runner, node: Node, x: Value, axis: Value) -> Array:
        to = np.int32 if node.integer("output_type", 9) == 3 else np.int64
        return np.asarray(function(array(x, node), axis=whole(axis, node)), to)

    return operation


def _cumulative(function: Callable[..., Any]) -> Operation:
    """scan_ops.cc: `reverse` runs from the end, `exclusive` leaves out the value at hand."""

    def operation(run: Runner, node: Node, x: Value, axis: Value) -> Array:
        got, along = array(x, node), whole(axis, node)
        values = np.flip(got, along) if node.flag("reverse") else got
        result = function(values, axis=along).astype(got.dtype)
        if node.flag("exclusive") and got.shape[along]:
            first = np.full_like(np.take(result, [0], along), 0 if function is np.cumsum else 1)
            result = np.concatenate([first, np.delete(result, -1, along)], along)
        return np.flip(result, along) if node.flag("reverse") else result

    return operation


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _log_softmax(x: Array) -> Array:
    below = x - x.max(-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(-1, keepdims=True)))


def _matmul(run: Runner, node: Node, x: Value, y: Value) -> Array:
    """math_ops.cc: MatMul transposes by `transpose_a`, BatchMatMul takes the adjoint by `adj_x`."""
    a, b = array(x, node), array(y, node)
    if node.flag("transpose_a") or node.flag("adj_x"):
        a = np.swapaxes(a, -1, -2)
    if node.flag("transpose_b") or node.flag("adj_y"):
        b = np.swapaxes(b, -1, -2)
    if a.dtype.kind == "c":
        raise NotInterpreted(f"operation {node.op!r} on complex numbers", node=node.name)
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    run.budget.room(shape, node.name)
    run.budget.multiply(math.prod(shape) * a.shape[-1], node.name)
    return np.asarray(np.matmul(a, b))


def _einsum(run: Runner, node: Node, *operands: Value) -> Array:
    """linalg_ops.cc, Einsum: NumPy's notation, with `...` for axes that are broadcast."""
    equation = node.string("equation").replace(" ", "")
    arrays = [array(operand, node) for operand in operands]
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != len(arrays) or len(arrays) > 2:
        raise node.odd("equation")
    sizes: dict[str, int] = {}
    broadcast: list[tuple[int, ...]] = []
    for term, got in zip(terms, arrays, strict=True):
        before, dots, after = term.partition("...")
        labels = before + after
        if (not dots and len(labels) != got.ndim) or len(labels) > got.ndim:
            raise node.odd("equation")
        named = got.shape[: len(before)] + got.shape[got.ndim - len(after) :]
        sizes.update(zip(labels, named, strict=True))
        broadcast.append(got.shape[len(before) : got.ndim - len(after)])
    around = math.prod(np.broadcast_shapes(*broadcast))
    inner = right.replace("...", "")
    if not set(inner) <= set(sizes):
        raise node.odd("equation")
    run.budget.room((around, *(sizes[label] for label in inner)), node.name)
    run.budget.multiply(around * math.prod(sizes.values()), node.name)
    return np.asarray(np.einsum(equation, *arrays, optimize=True))


def _bucketize(run: Runner, node: Node, x: Value) -> Array:
    """bucketize_op.cc: std::upper_bound, the number of boundaries that are not above the value."""
    boundaries = node.attributes.get("boundaries")
    if not isinstance(boundaries, list):
        raise node.odd("boundaries")
    return np.searchsorted(np.array(boundaries, np.float64), array(x, node), side="right").astype(np.int32)


def _top(run: Runner, node: Node, x: Value, k: Value) -> dict[str, Value | list[Value]]:
    """topk_op.cc: the largest first; of equal values the one with the lower index."""
    got, count = array(x, node), whole(k, node)
    if not 0 <= count <= got.shape[-1]:
        raise node.odd("k")
    order = np.argsort(-got.astype(np.float64), -1, kind="stable")[..., :count]
    return {"values": np.take_along_axis(got, order, -1), "indices": order.astype(np.int32)}


_ONE: Mapping[str, Callable[[Array], Any]] = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Elu": _elu,
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Floor": np.floor,
    "Inv": lambda x: 1 / x,
    "IsFinite": np.isfinite,
    "IsInf": np.isinf,
    "IsNan": np.isnan,
    "Log": np.log,
    "Log1p": np.log1p,
    "LogSoftmax": _log_softmax,
    "LogicalNot": np.logical_not,
    "Neg": np.negative,
    "OnesLike": np.ones_like,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Rint": np.rint,
    "Round": np.rint,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "Sigmoid": sigmoid,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Softmax": softmax,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Square": np.square,
    "Tan": np.tan,
    "Tanh": np.tanh,
    "ZerosLike": np.zeros_like,
}
_TWO: Mapping[str, Callable[[Array, Array], Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Atan2": np.arctan2,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Div": lambda x, y: x / y if x.dtype.kind == "f" else _truncated_quotient(x, y),
    "DivNoNan": _no_nan,
    "Equal": np.equal,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mod": np.fmod,
    "Mul": np.multiply,
    "MulNoNan": lambda x, y: np.where(y == 0, 0, x * y).astype(x.dtype),
    "NotEqual": np.not_equal,
    "Pow": np.power,
    "RealDiv": np.divide,
    "SquaredDifference": lambda x, y: np.square(x - y),
    "Sub": np.subtract,
    "TruncateDiv": _truncated_quotient,
    "TruncateMod": np.fmod,
    "Xdivy": lambda x, y: np.where(x == 0, 0, x / np.where(x == 0, 1, y)).astype(x.dtype),
    "Xlogy": lambda x, y: np.where(x == 0, 0, x * np.log(np.where(x == 0, 1, y))).astype(x.dtype),
}
_REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    "All": np.all,
    "Any": np.any,
    "Max": np.max,
    "Mean": np.mean,
    "Min": np.min,
    "Prod": np.prod,
    "Sum": np.sum,
}
ARITHMETIC: Mapping[str, Operation] = {
    **{name: _of_one(function) for name, function in _ONE.items()},
    **{name: _of_two(function) for name, function in _TWO.items()},
    **{name: _reduction(function) for name, function in _REDUCTIONS.items()},
    "AddN": _add_many,
    "ApproximateEqual": _approximately,
    "ArgMax": _position(np.argmax),
    "ArgMin": _position(np.argmin),
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Bucketize": _bucketize,
    "Cast": _cast,
    "ClipByValue": _clip,
    "Cumprod": _cumulative(np.cumprod),
    "Cumsum": _cumulative(np.cumsum),
    "Einsum": _einsum,
    "Erf": _one_by_one(math.erf),
    "Erfc": _one_by_one(math.erfc),
    "LeakyRelu": _leaky,
    "MatMul": _matmul,
    "Select": _select,
    "SelectV2": _select,
    "TopKV2": _top,
}
