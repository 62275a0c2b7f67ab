"""TensorFlow's arithmetic, activations, comparisons, products in operations of Keras 3; see `functions`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import is_tensor
from tcn_migrate.config.graph.rewrite import Outputs
from tcn_migrate.config.operators.calls import (
    Call,
    Draw,
    Function,
    Several,
    Untranslatable,
    entering,
    is_number,
    is_whole,
)

ARITHMETIC: dict[str, Function] = {}


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    return entering(ARITHMETIC, names, parameters)


_UNARY = {
    "abs": "numpy.Absolute",
    "acos": "numpy.Arccos",
    "acosh": "numpy.Arccosh",
    "asin": "numpy.Arcsin",
    "asinh": "numpy.Arcsinh",
    "atan": "numpy.Arctan",
    "atanh": "numpy.Arctanh",
    "ceil": "numpy.Ceil",
    "cos": "numpy.Cos",
    "cosh": "numpy.Cosh",
    "erf": "math.Erf",
    "exp": "numpy.Exp",
    "expm1": "numpy.Expm1",
    "floor": "numpy.Floor",
    "is_finite": "numpy.Isfinite",
    "is_inf": "numpy.Isinf",
    "is_nan": "numpy.Isnan",
    "log": "numpy.Log",
    "log1p": "numpy.Log1p",
    "log_sigmoid": "nn.LogSigmoid",
    "logical_not": "numpy.LogicalNot",
    "negative": "numpy.Negative",
    "reciprocal": "numpy.Reciprocal",
    "relu": "nn.Relu",
    "relu6": "nn.Relu6",
    "rsqrt": "math.Rsqrt",
    "selu": "nn.Selu",
    "sigmoid": "nn.Sigmoid",
    "sign": "numpy.Sign",
    "sin": "numpy.Sin",
    "sinh": "numpy.Sinh",
    "softplus": "nn.Softplus",
    "softsign": "nn.Softsign",
    "sqrt": "numpy.Sqrt",
    "square": "numpy.Square",
    "tan": "numpy.Tan",
    "tanh": "numpy.Tanh",
}

_BINARY = {
    "add": "numpy.Add",
    "atan2": "numpy.Arctan2",
    "divide": "numpy.TrueDivide",
    "divide_no_nan": "numpy.DivideNoNan",
    "equal": "numpy.Equal",
    "floordiv": "numpy.FloorDivide",
    "floormod": "numpy.Mod",
    "greater": "numpy.Greater",
    "greater_equal": "numpy.GreaterEqual",
    "less": "numpy.Less",
    "less_equal": "numpy.LessEqual",
    "logical_and": "numpy.LogicalAnd",
    "logical_or": "numpy.LogicalOr",
    "logical_xor": "numpy.LogicalXor",
    "maximum": "numpy.Maximum",
    "minimum": "numpy.Minimum",
    "multiply": "numpy.Multiply",
    "not_equal": "numpy.NotEqual",
    "pow": "numpy.Power",
    "subtract": "numpy.Subtract",
    "truediv": "numpy.TrueDivide",
}

_REDUCTIONS: dict[str, tuple[str, Json]] = {
    "reduce_all": ("numpy.All", {}),
    "reduce_any": ("numpy.Any", {}),
    "reduce_max": ("numpy.Max", {"initial": None}),
    "reduce_mean": ("numpy.Mean", {}),
    "reduce_min": ("numpy.Min", {"initial": None}),
    "reduce_prod": ("numpy.Prod", {"dtype": None}),
    "reduce_std": ("numpy.Std", {}),
    "reduce_sum": ("numpy.Sum", {}),
    "reduce_variance": ("numpy.Var", {}),
}


def _elementwise(kind: str, parameters: tuple[str, ...]) -> Draw:
    return lambda call: call.last(kind, *(call.tensor(name) for name in parameters))


def _reduction(kind: str, settings: Json) -> Draw:
    return lambda call: call.last(
        kind, call.tensor("input_tensor"), axis=call.axes(), keepdims=call.flag("keepdims"), **settings
    )


for _name, _kind in _UNARY.items():
    ARITHMETIC[_name] = Function(("x",), _elementwise(_kind, ("x",)))
for _name, _kind in _BINARY.items():
    _pair = ("y", "x") if _name == "atan2" else ("x", "y")
    ARITHMETIC[_name] = Function(_pair, _elementwise(_kind, _pair))
for _name, (_kind, _settings) in _REDUCTIONS.items():
    ARITHMETIC[_name] = Function(("input_tensor", "axis", "keepdims"), _reduction(_kind, _settings))

ELEMENTWISE = frozenset(_UNARY) | frozenset(_BINARY)
"""Names of functions that compute each element of their result from one element of each argument."""


# ---- arithmetic of several operations


@_function("round", "x")
def _round(call: Call) -> Json:
    return call.last("numpy.Round", call.tensor("x"), decimals=0)


@_function("reduce_logsumexp", "input_tensor axis keepdims")
def _reduce_logsumexp(call: Call) -> Json:
    axes = call.wholes("axis") if call.given("axis") else None  # Keras 3.0.5 takes no single axis
    return call.last("math.Logsumexp", call.tensor("input_tensor"), axis=axes, keepdims=call.flag("keepdims"))


@_function("squared_difference", "x y")
def _squared_difference(call: Call) -> Json:
    return call.last("numpy.Square", call.step("numpy.Subtract", call.tensor("x"), call.tensor("y")))


@_function("scalar_mul", "scalar x")
def _scalar_mul(call: Call) -> Json:
    return call.last("numpy.Multiply", call.tensor("scalar"), call.tensor("x"))


@_function("add_n", "inputs")
def _add_n(call: Call) -> Any:
    first, *more = call.tensors("inputs")
    for term in more[:-1]:
        first = call.step("numpy.Add", first, term)
    return call.last("numpy.Add", first, more[-1]) if more else first


@_function("bias_add", "value bias data_format")
def _bias_add(call: Call) -> Json:
    call.only("data_format", "NHWC", "NWC", "N...C")
    return call.last("numpy.Add", call.tensor("value"), call.tensor("bias"))


@_function("clip_by_value", "t clip_value_min clip_value_max")
def _clip_by_value(call: Call) -> Json:
    low, high = call.values.get("clip_value_min"), call.values.get("clip_value_max")
    if is_number(low) and is_number(high):
        return call.last("numpy.Clip", call.tensor("t"), x_min=low, x_max=high)
    if high == math.inf:
        return call.last("numpy.Maximum", call.tensor("t"), call.tensor("clip_value_min"))
    below = call.step("numpy.Minimum", call.tensor("t"), call.tensor("clip_value_max"))
    return call.last("numpy.Maximum", below, call.tensor("clip_value_min"))


@_function("l2_normalize", "x axis epsilon")
def _l2_normalize(call: Call) -> Json:
    x = call.tensor("x")
    total = call.step("numpy.Sum", call.step("numpy.Square", x), axis=call.axes(), keepdims=True)
    largest = call.step("numpy.Maximum", total, call.number("epsilon", 1e-12))
    return call.last("numpy.Multiply", x, call.step("math.Rsqrt", largest))


@_function("norm", "tensor ord axis keepdims")
def _norm(call: Call) -> Json:
    order, axes = call.values.get("ord", "euclidean"), call.axes()
    where: Json = {"axis": axes, "keepdims": call.flag("keepdims")}
    if order in ("euclidean", "fro") or (order == 2 and not isinstance(axes, list)):
        return call.last(
            "numpy.Sqrt", call.step("numpy.Sum", call.step("numpy.Square", call.tensor("tensor")), **where)
        )
    absolute = call.step("numpy.Absolute", call.tensor("tensor"))
    if order == 1 and not isinstance(axes, list):
        return call.last("numpy.Sum", absolute, **where)
    if order == math.inf and not isinstance(axes, list):
        return call.last("numpy.Max", absolute, **where, initial=None)
    raise Untranslatable("its argument ord has a value that is not known")


@_function("reduce_euclidean_norm", "input_tensor axis keepdims")
def _reduce_euclidean_norm(call: Call) -> Json:
    squares = call.step("numpy.Square", call.tensor("input_tensor"))
    total = call.step("numpy.Sum", squares, axis=call.axes(), keepdims=call.flag("keepdims"))
    return call.last("numpy.Sqrt", total)


@_function("cumsum", "x axis exclusive reverse")
def _cumsum(call: Call) -> Json:
    x, axis = call.tensor("x"), call.whole("axis", 0)
    backwards, exclusive = call.flag("reverse"), call.flag("exclusive")
    if not (backwards or exclusive):
        return call.last("numpy.Cumsum", x, axis=axis, dtype=None)
    total = call.step("numpy.Flip", x, axis=axis) if backwards else x
    total = call.step("numpy.Cumsum", total, axis=axis, dtype=None)
    if backwards and not exclusive:
        return call.last("numpy.Flip", total, axis=axis)
    if backwards:
        total = call.step("numpy.Flip", total, axis=axis)
    return call.last("numpy.Subtract", total, x)


@_function("cumprod", "x axis exclusive reverse")
def _cumprod(call: Call) -> Json:
    call.only("exclusive", False)
    call.only("reverse", False)
    return call.last("numpy.Cumprod", call.tensor("x"), axis=call.whole("axis", 0), dtype=None)


# ---- activations


@_function("softmax", "logits axis")
def _softmax(call: Call) -> Json:
    return call.last("nn.Softmax", call.tensor("logits"), axis=call.whole("axis", -1))


@_function("log_softmax", "logits axis")
def _log_softmax(call: Call) -> Json:
    return call.last("nn.LogSoftmax", call.tensor("logits"), axis=call.whole("axis", -1))


@_function("elu", "features")
def _elu(call: Call) -> Json:
    return call.last("nn.Elu", call.tensor("features"), alpha=1.0)


@_function("leaky_relu", "features alpha")
def _leaky_relu(call: Call) -> Json:
    return call.last("nn.LeakyRelu", call.tensor("features"), negative_slope=call.number("alpha", 0.2))


@_function("gelu", "features approximate")
def _gelu(call: Call) -> Json:
    return call.last("nn.Gelu", call.tensor("features"), approximate=call.flag("approximate"))


@_function("silu", "features beta")
def _silu(call: Call) -> Json:
    x = call.tensor("features")
    if call.values.get("beta", 1.0) == 1.0:
        return call.last("nn.Silu", x)
    gate = call.step("nn.Sigmoid", call.step("numpy.Multiply", x, call.tensor("beta")))
    return call.last("numpy.Multiply", x, gate)


@_function("dropout", "x rate noise_shape seed")
def _dropout(call: Call) -> Any:
    if call.number("rate", -1) != 0:
        raise Untranslatable("as a function it drops at random in predictions too, so there is nothing to equal")
    return call.tensor("x")


# ---- comparison, choice, order


@_function("where", "condition x y")
def _where(call: Call) -> Json:
    return call.last("numpy.Where", call.tensor("condition"), call.tensor("x"), call.tensor("y"))


@_function("argmax", "input axis output_type")
def _argmax(call: Call) -> Json:
    return call.last("numpy.Argmax", call.tensor("input"), axis=call.whole("axis", 0))


@_function("argmin", "input axis output_type")
def _argmin(call: Call) -> Json:
    return call.last("numpy.Argmin", call.tensor("input"), axis=call.whole("axis", 0))


@_function("top_k", "input k sorted index_type")
def _top_k(call: Call) -> Outputs:
    return Several(call.last("math.TopK", call.tensor("input"), k=call.whole("k", 1), sorted=True))


@_function("sort", "values axis direction")
def _sort(call: Call) -> Json:
    axis, x = call.whole("axis", -1), call.tensor("values")
    call.only("direction", "ASCENDING", "DESCENDING")
    if call.values.get("direction") != "DESCENDING":
        return call.last("numpy.Sort", x, axis=axis)
    return call.last("numpy.Negative", call.step("numpy.Sort", call.step("numpy.Negative", x), axis=axis))


@_function("argsort", "values axis direction stable")
def _argsort(call: Call) -> Json:
    call.only("direction", "ASCENDING")
    return call.last("numpy.Argsort", call.tensor("values"), axis=call.whole("axis", -1))


# ---- products


@_function(
    "matmul", "a b transpose_a transpose_b adjoint_a adjoint_b a_is_sparse b_is_sparse output_type grad_a grad_b"
)
def _matmul(call: Call) -> Json:
    return call.last("numpy.Matmul", _matrix(call, "a"), _matrix(call, "b"))


def _matrix(call: Call, name: str) -> Any:
    factor = call.tensor(name)
    if call.flag(f"transpose_{name}") or call.flag(f"adjoint_{name}"):
        factor = call.step("numpy.Swapaxes", factor, axis1=-1, axis2=-2)
    return factor


@_function("matvec", "a b transpose_a adjoint_a a_is_sparse b_is_sparse")
def _matvec(call: Call) -> Json:
    """A matrix by a vector, or many by many: the vectors as matrices of one column.

    Between layers Keras 2 stores it as these three steps; a Lambda calls it whole.
    """
    matrix, vector = _matrix(call, "a"), call.tensor("b")
    if not is_tensor(vector):
        if len(np.shape(vector["config"]["value"])) != 1:
            raise Untranslatable("its vectors are numbers in the file, and more than one")
        return call.last("numpy.Matmul", matrix, vector)
    column = call.step("numpy.ExpandDims", vector, axis=-1)
    return call.last("numpy.Squeeze", call.step("numpy.Matmul", matrix, column), axis=-1)


@_function("tensordot", "a b axes")
def _tensordot(call: Call) -> Json:
    axes = call.values.get("axes")
    pairs = isinstance(axes, list) and all(isinstance(one, list) and all(map(is_whole, one)) for one in axes)
    if not pairs:
        axes = call.axes("axes")
    return call.last("numpy.Tensordot", call.tensor("a"), call.tensor("b"), axes=axes)


@_function("einsum", "equation inputs")
def _einsum(call: Call) -> Json:
    if not call.given("inputs"):
        raise Untranslatable("Keras 2 did not store what it is applied to, so no program can read this file")
    equation = call.values.get("equation")
    if not isinstance(equation, str) or not set(equation) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,->. "
    ):
        raise Untranslatable("its equation is not known")
    return call.last("numpy.Einsum", *call.tensors("inputs"), subscripts=equation)
