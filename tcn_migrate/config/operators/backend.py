"""Functions of `keras.backend` of Keras 2, by its names of the parameters; see `functions`.

Most are a function of TensorFlow with other names and defaults (keras/backend/tensorflow_backend.py of Keras 2.2 and
2.3, keras/backend.py of 2.4 to 2.15). Those that need a tensor's rank, or make variables, have no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.graph.drawing import tensors_in
from tcn_migrate.config.operators.arithmetic import ARITHMETIC
from tcn_migrate.config.operators.arrays import ARRAYS
from tcn_migrate.config.operators.calls import Call, Draw, Function, Untranslatable, entering

BACKEND: dict[str, Function] = {}


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    return entering(BACKEND, names, parameters)


def renamed(name: str, parameters: str, **settings: Any) -> Function:
    """A function of TensorFlow under other parameters.

    Args:
        name: in TensorFlow's tables.
        parameters: in order; "x=input_tensor" is called `x` here and `input_tensor` there.
        settings: values of parameters that are not given.
    """
    pairs = [(own, theirs or own) for own, _, theirs in (one.partition("=") for one in parameters.split())]
    there = dict(pairs)
    row = (ARITHMETIC | ARRAYS)[name]
    missing = {*there.values(), *settings} - set(row.parameters)
    if missing:
        raise ValueError(f"{name} has no parameters {missing}")

    def draw(call: Call) -> Any:
        values = settings | {there[key]: value for key, value in call.values.items()}
        return row.draw(Call(call.drawing, call.name, values, half_precision=call.half_precision))

    return Function(tuple(own for own, _ in pairs), draw)


for _name in words("abs cos exp log round sigmoid sign sin softplus softsign square stop_gradient tanh"):
    BACKEND[_name] = renamed(_name, "x=input" if _name == "stop_gradient" else "x")
for _name in words("equal greater greater_equal less less_equal maximum minimum not_equal"):
    BACKEND[_name] = renamed(_name, "x y")
for _name in words("all any logsumexp max mean min prod std sum var"):
    _there = {"var": "reduce_variance"}.get(_name, f"reduce_{_name}")
    BACKEND[_name] = renamed(_there, "x=input_tensor axis keepdims")
BACKEND |= {
    "argmax": renamed("argmax", "x=input axis", axis=-1),
    "argmin": renamed("argmin", "x=input axis", axis=-1),
    "batch_flatten": renamed("batch_flatten", "x"),
    "bias_add": renamed("bias_add", "x=value bias"),
    "cast": renamed("cast", "x dtype"),
    "cumprod": renamed("cumprod", "x axis"),
    "cumsum": renamed("cumsum", "x axis"),
    "expand_dims": renamed("expand_dims", "x=input axis", axis=-1),
    "concatenate": renamed("concat", "tensors=values axis", axis=-1),
    "gather": renamed("gather", "reference=params indices"),
    "identity": renamed("identity", "x=input"),
    "l2_normalize": renamed("l2_normalize", "x axis"),
    "one_hot": renamed("one_hot", "indices num_classes=depth"),
    "permute_dimensions": renamed("transpose", "x=a pattern=perm"),
    "pow": renamed("pow", "x a=y"),
    "repeat_elements": renamed("repeat", "x=input rep=repeats axis"),
    "reshape": renamed("reshape", "x=tensor shape"),
    "reverse": renamed("reverse", "x=tensor axes=axis"),
    "shape": renamed("shape", "x=input"),
    "int_shape": renamed("shape", "x=input"),
    "softmax": renamed("softmax", "x=logits axis"),
    "squeeze": renamed("squeeze", "x=input axis"),
    "stack": renamed("stack", "x=values axis"),
    "tile": renamed("tile", "x=input n=multiples"),
    "transpose": renamed("transpose", "x=a"),
    "zeros_like": renamed("zeros_like", "x=input"),
    "ones_like": renamed("ones_like", "x=input"),
}


@_function("sqrt", "x")
def _sqrt(call: Call) -> Json:
    """The root of what is below 0 is 0 (`clip_by_value(x, 0, inf)`)."""
    return call.last("numpy.Sqrt", call.step("numpy.Maximum", call.tensor("x"), 0.0))


@_function("clip", "x min_value max_value")
def _clip(call: Call) -> Any:
    low, high = call.values.get("min_value"), call.values.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and high < low:
        high = low
    values = {"t": call.tensor("x"), "clip_value_min": low, "clip_value_max": float("inf") if high is None else high}
    if low is None:
        return call.last("numpy.Minimum", call.tensor("x"), call.tensor("max_value"))
    return _drawn(call, "clip_by_value", values)


@_function("relu", "x alpha max_value threshold")
def _relu(call: Call) -> Json:
    slope, threshold = call.number("alpha", 0), call.number("threshold", 0)
    x, largest = call.tensor("x"), call.values.get("max_value")
    if threshold or (slope and largest is not None):
        raise Untranslatable("its threshold, or a slope together with a largest value, has no counterpart")
    if slope:
        return call.last("nn.LeakyRelu", x, negative_slope=slope)
    if largest is None:
        return call.last("nn.Relu", x)
    return call.last("numpy.Clip", x, x_min=0, x_max=call.number("max_value", 0))


@_function("elu", "x alpha")
def _elu(call: Call) -> Json:
    return call.last("nn.Elu", call.tensor("x"), alpha=call.number("alpha", 1.0))


@_function("hard_sigmoid", "x")
def _hard_sigmoid(call: Call) -> Json:
    """`0.2 * x + 0.5` between 0 and 1; Keras 3's function of that name is another."""
    line = call.step("numpy.Add", call.step("numpy.Multiply", call.tensor("x"), 0.2), 0.5)
    return call.last("numpy.Clip", line, x_min=0, x_max=1)


@_function("flatten", "x")
def _flatten(call: Call) -> Json:
    return call.last("numpy.Reshape", call.tensor("x"), newshape=[-1])


@_function("repeat", "x n")
def _repeat(call: Call) -> Json:
    """(batch, features) -> (batch, n, features)."""
    spread = call.step("numpy.ExpandDims", call.tensor("x"), axis=1)
    return call.last("numpy.Repeat", spread, repeats=call.whole("n", 1), axis=1)


@_function("dot", "x y")
def _dot(call: Call) -> Json:
    """As `numpy.dot`: the last axis of x with the last but one of y."""
    return call.last("numpy.Dot", call.tensor("x"), call.tensor("y"))


@_function("batch_dot", "x y axes")
def _batch_dot(call: Call) -> Json:
    axes = call.wholes("axes") if call.given("axes") else []
    if len(axes) == 1:
        axes = axes * 2
    if len(axes) != 2 or 0 in axes:
        raise Untranslatable("without two axes, what it multiplies depends on ranks that are not in the file")
    pair = [call.tensor("x"), call.tensor("y")]
    if len(list(tensors_in(pair))) != 2:
        raise Untranslatable("one of its factors is no tensor of the model")
    return call.drawing.layer("Dot", pair, call.name, axes=axes)


@_function("resize_images", "x height_factor width_factor data_format interpolation")
def _resize_images(call: Call) -> Json:
    call.only("data_format", "channels_last")
    call.only("interpolation", "nearest")
    size = [call.whole("height_factor", 1), call.whole("width_factor", 1)]
    if not call.given("data_format") or min(size) < 1:
        raise Untranslatable("its data format is not in the file")
    settings: Json = {"data_format": "channels_last", "interpolation": "nearest"}
    return call.drawing.layer("UpSampling2D", call.tensor("x"), call.name, size=size, **settings)


@_function("constant", "value dtype")
def _constant(call: Call) -> Any:
    call.only("dtype", "float32")
    return call.values.get("value")


def _drawn(call: Call, name: str, values: Json) -> Any:
    return (ARITHMETIC | ARRAYS)[name].draw(Call(call.drawing, call.name, values, half_precision=call.half_precision))
