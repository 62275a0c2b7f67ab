"""What TensorFlow functions that people apply to tensors between layers are in operations of Keras 3.

The table `FUNCTIONS` is by the function's name without its module: `math.multiply`, `tf.multiply` and a graph's node
`Mul` are all `multiply`. A function has parameters, as TensorFlow 2 names them, and draws its operations.
Every entry was compared with TensorFlow 2.1, 2.4 and 2.15, by values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.operations import Drawing, is_tensor, sliced
from tcn_migrate.config.redraw import Outputs


class Untranslatable(Exception):
    """Why a call has no counterpart, in words that follow the function's name."""


@dataclass(frozen=True)
class Size:
    """The length of a tensor's axis, which is known only when the model runs."""

    axis: int


class Sizes:
    """The lengths of a tensor's axes from one on, known only when the model runs; of all axes `of` says of what."""

    def __init__(self, first: int = 0, of: Json | None = None) -> None:
        self.first, self.of = first, of

    def __getitem__(self, index: int) -> Size:
        return Size(self.first + index)


class _Several:
    """The outputs of one operation whose number only Keras knows."""

    def __init__(self, first: Json) -> None:
        self.first = first

    def __getitem__(self, index: int) -> Json:
        place = list(self.first["config"]["keras_history"])
        place[2] = index
        return type(self.first)({**self.first, "config": {**self.first["config"], "keras_history": place}})


class Call:
    """One call of a function.

    Args:
        drawing: what operations are drawn into.
        name: the layer's name, which the last operation gets.
        values: the arguments by the parameters' names; None counts as not given.
    """

    def __init__(self, drawing: Drawing, name: str, values: Mapping[str, Any]) -> None:
        self.drawing, self.name = drawing, name
        self.values = {key: value for key, value in values.items() if value is not None}

    def step(self, kind: str, *arguments: Any, **settings: Any) -> Json:
        """An operation on the way."""
        name = f"{self.name}_{kind.rpartition('.')[2].lower()}"
        return self.drawing.operation(kind, *arguments, name=name, **settings)

    def last(self, kind: str, *arguments: Any, **settings: Any) -> Json:
        """The operation that gives the result."""
        return self.drawing.operation(kind, *arguments, name=self.name, **settings)

    def given(self, name: str) -> bool:
        return name in self.values

    def tensor(self, name: str) -> Any:
        """An argument that may be a tensor or a constant."""
        if name not in self.values:
            raise Untranslatable(f"its argument {name} is not in the file")
        return operand(self.values[name])

    def tensors(self, name: str) -> list[Any]:
        value = self.values.get(name)
        return [operand(one) for one in value] if isinstance(value, list) else [self.tensor(name)]

    def whole(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if not _is_whole(value):
            raise Untranslatable(f"its argument {name} is no whole number that stands in the file")
        return int(value)

    def wholes(self, name: str) -> list[int]:
        value = self.values.get(name)
        value = [value] if _is_whole(value) else value
        if not isinstance(value, list) or not all(_is_whole(one) for one in value):
            raise Untranslatable(f"its argument {name} is no list of whole numbers that stands in the file")
        return [int(one) for one in value]

    def number(self, name: str, default: float) -> float:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Untranslatable(f"its argument {name} is no number that stands in the file")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if value not in (True, False):
            raise Untranslatable(f"its argument {name} is neither true nor false")
        return bool(value)

    def axes(self, name: str = "axis") -> int | list[int] | None:
        """None for all axes."""
        if name not in self.values:
            return None
        axes = self.wholes(name)
        return axes[0] if len(axes) == 1 else axes

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse any value but these and none."""
        if name in self.values and self.values[name] not in allowed:
            raise Untranslatable(f"its argument {name} has a value that is not known")


def operand(value: Any) -> Any:
    """A tensor as it is, a number as it is, numbers in lists as an array."""
    if is_tensor(value) or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        numbers = list(_numbers(value))
        if numbers and all(isinstance(number, bool) for number in numbers):
            kind = "bool"
        else:
            kind = "int32" if all(_is_whole(number) for number in numbers) else "float32"
        return {"class_name": "__numpy__", "config": {"value": value, "dtype": kind}}
    if isinstance(value, Size | Sizes):
        raise Untranslatable("it computes with a length that is known only when the model runs")
    raise Untranslatable("one of its arguments is neither a tensor nor a number")


def _numbers(value: list[Any]) -> Sequence[Any]:
    found: list[Any] = []
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, bool | int | float):
            found.append(one)
        else:
            operand(one if isinstance(one, Size | Sizes) else None)
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


Draw = Callable[[Call], Any]


@dataclass(frozen=True)
class Function:
    """A function's parameters in order, and how it is drawn: to one tensor, or to a list of outputs."""

    parameters: tuple[str, ...]
    draw: Draw


FUNCTIONS: dict[str, Function] = {}


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    def enter(draw: Draw) -> Draw:
        for name in names.split():
            FUNCTIONS[name] = Function(tuple(parameters.split()), draw)
        return draw

    return enter


def outputs_of(function: Function, call: Call) -> Outputs:
    """Draw a call and return its outputs."""
    result = function.draw(call)
    return result if isinstance(result, list | _Several) else [result]


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
    "reduce_logsumexp": ("math.Logsumexp", {}),
    "reduce_max": ("numpy.Max", {"initial": None}),
    "reduce_mean": ("numpy.Mean", {}),
    "reduce_min": ("numpy.Min", {"initial": None}),
    "reduce_prod": ("numpy.Prod", {"dtype": None}),
    "reduce_std": ("numpy.Std", {}),
    "reduce_sum": ("numpy.Sum", {}),
    "reduce_variance": ("numpy.Var", {}),
}

ALIASES = {
    "arg_max": "argmax",
    "arg_min": "argmin",
    "div": "divide",
    "eq": "equal",
    "floor_div": "floordiv",
    "floor_mod": "floormod",
    "log_softmax_v2": "log_softmax",
    "mod": "floormod",
    "mul": "multiply",
    "ne": "not_equal",
    "neg": "negative",
    "rint": "round",
    "scalar_mul_v2": "scalar_mul",
    "softmax_v2": "softmax",
    "sub": "subtract",
    "swish": "silu",
    "where_v2": "where",
}
"""Other names of the same functions, over the releases of TensorFlow."""


def _elementwise(kind: str, parameters: tuple[str, ...]) -> Draw:
    return lambda call: call.last(kind, *(call.tensor(name) for name in parameters))


def _reduction(kind: str, settings: Json) -> Draw:
    return lambda call: call.last(
        kind, call.tensor("input_tensor"), axis=call.axes(), keepdims=call.flag("keepdims"), **settings
    )


for _name, _kind in _UNARY.items():
    FUNCTIONS[_name] = Function(("x",), _elementwise(_kind, ("x",)))
for _name, _kind in _BINARY.items():
    _pair = ("y", "x") if _name == "atan2" else ("x", "y")
    FUNCTIONS[_name] = Function(_pair, _elementwise(_kind, _pair))
for _name, (_kind, _settings) in _REDUCTIONS.items():
    FUNCTIONS[_name] = Function(("input_tensor", "axis", "keepdims"), _reduction(_kind, _settings))


# ---- arithmetic of several operations


@_function("round", "x")
def _round(call: Call) -> Json:
    return call.last("numpy.Round", call.tensor("x"), decimals=0)


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
    if all(isinstance(bound, int | float) and math.isfinite(bound) for bound in (low, high)):
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
    call.only("beta", 1.0)
    return call.last("nn.Silu", call.tensor("features"))


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
    return _Several(call.last("math.TopK", call.tensor("input"), k=call.whole("k", 1), sorted=True))


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


@_function("one_hot", "indices depth on_value off_value axis dtype")
def _one_hot(call: Call) -> Json:
    call.only("on_value", 1)
    call.only("off_value", 0)
    kind = _dtype(call, "dtype") if call.given("dtype") else "float32"
    return call.last(
        "nn.OneHot", call.tensor("indices"), num_classes=call.whole("depth", 0), axis=call.whole("axis", -1), dtype=kind
    )


@_function("band_part", "input num_lower num_upper")
def _band_part(call: Call) -> Json:
    lower, upper = call.whole("num_lower", 0), call.whole("num_upper", 0)
    if lower < 0 and upper >= 0:
        return call.last("numpy.Tril", call.tensor("input"), k=upper)
    if upper < 0 and lower >= 0:
        return call.last("numpy.Triu", call.tensor("input"), k=-lower)
    raise Untranslatable("it keeps a band of a width that has no counterpart")


# ---- shape and type

_DTYPES = frozenset(
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    + ["float16", "bfloat16", "float32", "float64"]
)


def _dtype(call: Call, name: str) -> str:
    value = call.values.get(name)
    if value not in _DTYPES:
        raise Untranslatable("it makes a type that is not known")
    return str(value)


@_function("cast saturate_cast", "x dtype")
def _cast(call: Call) -> Any:
    return call.last("core.Cast", call.tensor("x"), dtype=_dtype(call, "dtype"))


@_function("identity", "input")
def _identity(call: Call) -> Any:
    return call.values.get("input")


@_function("stop_gradient", "input")
def _stop_gradient(call: Call) -> Json:
    return call.last("core.StopGradient", call.tensor("input"))


@_function("shape", "input out_type")
def _shape(call: Call) -> Any:
    return [Sizes(of=call.tensor("input"))]


@_function("zeros_like", "input dtype")
def _zeros_like(call: Call) -> Json:
    return call.last("numpy.ZerosLike", call.tensor("input"))


@_function("ones_like", "input dtype")
def _ones_like(call: Call) -> Json:
    return call.last("numpy.OnesLike", call.tensor("input"))


@_function("fill", "dims value")
def _fill(call: Call) -> Json:
    """Of `tf.ones_like(x)` in TensorFlow 1.15 to 2.3: a tensor of x's shape."""
    sizes = call.values.get("dims")
    if not isinstance(sizes, Sizes) or sizes.of is None:
        raise Untranslatable("its shape is known only when the model runs")
    return call.last("numpy.FullLike", sizes.of, call.number("value", 0))


@_function("expand_dims", "input axis")
def _expand_dims(call: Call) -> Json:
    return call.last("numpy.ExpandDims", call.tensor("input"), axis=call.whole("axis", 0))


@_function("squeeze", "input axis")
def _squeeze(call: Call) -> Json:
    x = call.tensor("input")
    axes = call.wholes("axis") if call.values.get("axis") not in (None, []) else []
    if not axes:
        return call.last("numpy.Squeeze", x, axis=None)
    if min(axes) < 0 <= max(axes):
        raise Untranslatable("it takes axes counted from the front and from the back")
    ordered = sorted(axes, reverse=min(axes) >= 0)  # the other axes keep their numbers
    for axis in ordered[:-1]:
        x = call.step("numpy.Squeeze", x, axis=axis)
    return call.last("numpy.Squeeze", x, axis=ordered[-1])


@_function("transpose", "a perm conjugate")
def _transpose(call: Call) -> Json:
    axes = call.wholes("perm") if call.given("perm") else None
    return call.last("numpy.Transpose", call.tensor("a"), axes=axes)


@_function("reshape", "tensor shape")
def _reshape(call: Call) -> Json:
    x, shape = call.tensor("tensor"), call.values.get("shape")
    if isinstance(shape, list) and shape and isinstance(shape[0], Size) and shape[0].axis == 0:
        # [tf.shape(x)[0], ...]: what a layer does, which leaves the batch alone
        rest = [-1 if isinstance(size, Size) else size for size in shape[1:]]
        if all(_is_whole(size) for size in rest) and rest.count(-1) <= 1:
            return call.drawing.layer("Reshape", x, call.name, target_shape=rest)
    if isinstance(shape, list) and -1 not in shape and sum(isinstance(size, Size) for size in shape) == 1:
        shape = [-1 if isinstance(size, Size) else size for size in shape]
    if not isinstance(shape, list) or not all(_is_whole(size) for size in shape):
        raise Untranslatable("its shape is known only when the model runs")
    return call.last("numpy.Reshape", x, newshape=shape)


@_function("batch_flatten", "x")
def _batch_flatten(call: Call) -> Json:
    return call.drawing.layer("Flatten", call.tensor("x"), call.name)


@_function("broadcast_to", "input shape")
def _broadcast_to(call: Call) -> Json:
    return call.last("numpy.BroadcastTo", call.tensor("input"), shape=call.wholes("shape"))


# ---- putting together and taking apart


@_function("concat", "values axis")
def _concat(call: Call) -> Any:
    values = call.values.get("values")
    if isinstance(values, list) and any(isinstance(value, Sizes) for value in values):
        return [Sizes()]
    parts = call.tensors("values")
    return call.last("numpy.Concatenate", parts, axis=call.whole("axis", 0)) if len(parts) > 1 else parts[0]


@_function("stack", "values axis")
def _stack(call: Call) -> Any:
    values = call.values.get("values")
    if isinstance(values, list) and any(isinstance(value, Size) for value in values):
        return [values]
    return call.last("numpy.Stack", call.tensors("values"), axis=call.whole("axis", 0))


@_function("split", "value num_or_size_splits axis num")
def _split(call: Call) -> Outputs:
    parts = call.values.get("num_or_size_splits")
    if isinstance(parts, list):
        sizes = call.wholes("num_or_size_splits")
        if -1 in sizes:
            raise Untranslatable("one of its sizes is left open")
        parts = [sum(sizes[:number]) for number in range(1, len(sizes))]
    elif not _is_whole(parts):
        raise Untranslatable("its number of parts is known only when the model runs")
    if parts in ([], 1):
        return [call.tensor("value")]
    axis = call.whole("axis", 0)
    return _Several(call.last("numpy.Split", call.tensor("value"), indices_or_sections=parts, axis=axis))


@_function("unstack", "value num axis")
def _unstack(call: Call) -> Outputs:
    if isinstance(call.values.get("value"), Sizes):
        sizes: Sizes = call.values["value"]
        return sizes
    number = call.whole("num", 0) or None
    return _Several(call.last("core.Unstack", call.tensor("value"), num=number, axis=call.whole("axis", 0)))


@_function("tile", "input multiples")
def _tile(call: Call) -> Json:
    return call.last("numpy.Tile", call.tensor("input"), repeats=call.wholes("multiples"))


@_function("repeat", "input repeats axis")
def _repeat(call: Call) -> Json:
    return call.last("numpy.Repeat", call.tensor("input"), repeats=call.whole("repeats", 1), axis=call.whole("axis", 0))


@_function("reverse", "tensor axis")
def _reverse(call: Call) -> Any:
    x, axes = call.tensor("tensor"), call.wholes("axis")
    for axis in axes[:-1]:
        x = call.step("numpy.Flip", x, axis=axis)
    return call.last("numpy.Flip", x, axis=axes[-1]) if axes else x


@_function("roll", "input shift axis")
def _roll(call: Call) -> Json:
    x, shifts, axes = call.tensor("input"), call.wholes("shift"), call.wholes("axis")
    if not shifts or len(shifts) != len(axes):
        raise Untranslatable("its shifts and axes do not belong together")
    for shift, axis in list(zip(shifts, axes, strict=True))[:-1]:
        x = call.step("numpy.Roll", x, shift=shift, axis=axis)
    return call.last("numpy.Roll", x, shift=shifts[-1], axis=axes[-1])


@_function("pad", "tensor paddings mode constant_values")
def _pad(call: Call) -> Json:
    widths, mode = call.values.get("paddings"), str(call.values.get("mode", "CONSTANT")).lower()
    pairs = isinstance(widths, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_whole, pair)) for pair in widths
    )
    if not pairs or mode not in ("constant", "reflect", "symmetric"):
        raise Untranslatable("it pads by a width or in a mode that does not stand in the file")
    fill = call.number("constant_values", 0)
    more = (fill,) if fill and mode == "constant" else ()
    return call.last("numpy.Pad", call.tensor("tensor"), *more, pad_width=widths, mode=mode)


@_function("gather", "params indices validate_indices axis batch_dims")
def _gather(call: Call) -> Json:
    call.only("batch_dims", 0)
    return call.last("numpy.Take", call.tensor("params"), call.tensor("indices"), axis=call.whole("axis", 0))


# ---- products


@_function(
    "matmul", "a b transpose_a transpose_b adjoint_a adjoint_b a_is_sparse b_is_sparse output_type grad_a grad_b"
)
def _matmul(call: Call) -> Json:
    factors = []
    for name in ("a", "b"):
        factor = call.tensor(name)
        if call.flag(f"transpose_{name}") or call.flag(f"adjoint_{name}"):
            factor = call.step("numpy.Swapaxes", factor, axis1=-1, axis2=-2)
        factors.append(factor)
    return call.last("numpy.Matmul", *factors)


@_function("tensordot", "a b axes")
def _tensordot(call: Call) -> Json:
    axes = call.values.get("axes")
    pairs = isinstance(axes, list) and all(isinstance(one, list) and all(map(_is_whole, one)) for one in axes)
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


# ---- indexing


def _key(value: Any) -> Any:
    """One element of `slice_spec`."""
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(value, dict) and set(value) >= {"start", "stop", "step"}:
        parts = [value[name] for name in ("start", "stop", "step")]
        if all(part is None or _is_whole(part) for part in parts):
            return slice(*parts)
    if value is None or _is_whole(value):
        return value
    raise Untranslatable("it takes elements that are known only when the model runs")


@_function("getitem", "tensor slice_spec")
def _getitem(call: Call) -> Any:
    stored = call.values.get("slice_spec")
    key = [_key(element) for element in (stored if isinstance(stored, list) else [stored])]
    return _taken(call, call.values.get("tensor"), key)


def _taken(call: Call, x: Any, key: list[Any]) -> Any:
    if isinstance(x, Sizes):
        if len(key) == 1 and _is_whole(key[0]) and key[0] >= 0:
            return x[key[0]]
        if len(key) == 1 and isinstance(key[0], slice) and key[0].step in (None, 1) and (key[0].start or 0) >= 0:
            return [Sizes(x.first + (key[0].start or 0))]
    return sliced(call.drawing, operand(x), key, call.name)


@_function("slice", "input_ begin size")
def _slice(call: Call) -> Any:
    begins, sizes = call.wholes("begin"), call.wholes("size")
    key = [
        slice(begin or None, None if size == -1 else begin + size) for begin, size in zip(begins, sizes, strict=True)
    ]
    return _taken(call, call.values.get("input_"), key)


@_function(
    "strided_slice",
    "input_ begin end strides begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask var",
)
def _strided_slice(call: Call) -> Any:
    begins, ends = call.wholes("begin"), call.wholes("end")
    strides = call.wholes("strides") if call.given("strides") else [1] * len(begins)
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    no_begin, no_end, ellipsis, new_axis, shrink = (call.whole(mask, 0) for mask in masks)
    key: list[Any] = []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if ellipsis & bit:
            key.append(...)
        elif new_axis & bit:
            key.append(None)
        elif shrink & bit:
            key.append(begin)
        else:
            start, stop = None if no_begin & bit else begin, None if no_end & bit else end
            key.append(slice(start, stop, None if stride == 1 else stride))
    return _taken(call, call.values.get("input_"), key)
