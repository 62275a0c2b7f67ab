"""TensorFlow's functions of shape, type, order and place in operations of Keras 3; see `functions`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import sliced
from tcn_migrate.config.graph.rewrite import Outputs
from tcn_migrate.config.operators.calls import (
    Call,
    Draw,
    Function,
    Several,
    Size,
    Sizes,
    Untranslatable,
    entering,
    is_whole,
)

ARRAYS: dict[str, Function] = {}
_LARGEST_CONDITION = 100_000


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    return entering(ARRAYS, names, parameters)


# ---- shape and type

_DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_DTYPES |= {"float16", "bfloat16", "float32", "float64"}


def _dtype(call: Call, name: str) -> str:
    value = call.values.get(name)
    if not isinstance(value, str) or value not in _DTYPES:
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
    if not isinstance(sizes, Sizes) or sizes.of is None or sizes.first:
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
        if all(is_whole(size) for size in rest) and rest.count(-1) <= 1:
            return call.drawing.layer("Reshape", x, call.name, target_shape=rest)
    if isinstance(shape, list) and -1 not in shape and sum(isinstance(size, Size) for size in shape) == 1:
        shape = [-1 if isinstance(size, Size) else size for size in shape]
    if not isinstance(shape, list) or not all(is_whole(size) for size in shape):
        raise Untranslatable("its shape is known only when the model runs")
    return call.last("numpy.Reshape", x, newshape=shape)


@_function("batch_flatten", "x")
def _batch_flatten(call: Call) -> Json:
    return call.drawing.layer("Flatten", call.tensor("x"), call.name)


@_function("broadcast_to", "input shape")
def _broadcast_to(call: Call) -> Json:
    """To a shape that stands in the file, to that of another tensor, or to one of which only the batch is open.

    What depends on a tensor's shape is said by a choice between two equal values, where the condition has the shape.
    """
    x, shape = call.tensor("input"), call.values.get("shape")
    if isinstance(shape, Sizes) and shape.of is not None and shape.first == 0:
        return call.last("numpy.Where", call.step("numpy.Equal", shape.of, shape.of), x, x)
    if isinstance(shape, list) and shape and isinstance(shape[0], Size) and shape[0].axis == 0:
        inner = shape[1:]
        if all(is_whole(size) and size > 0 for size in inner) and math.prod(inner) <= _LARGEST_CONDITION:
            condition = np.ones((1, *inner), bool).tolist()
            return call.last("numpy.Where", call.operand(condition), x, x)
    return call.last("numpy.BroadcastTo", x, shape=call.wholes("shape"))


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
    elif not is_whole(parts):
        raise Untranslatable("its number of parts is known only when the model runs")
    if parts in ([], 1):
        return [call.tensor("value")]
    axis = call.whole("axis", 0)
    return Several(call.last("numpy.Split", call.tensor("value"), indices_or_sections=parts, axis=axis))


@_function("unstack", "value num axis")
def _unstack(call: Call) -> Outputs:
    if isinstance(call.values.get("value"), Sizes):
        sizes: Sizes = call.values["value"]
        return sizes
    number = call.whole("num", 0) or None
    return Several(call.last("core.Unstack", call.tensor("value"), num=number, axis=call.whole("axis", 0)))


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
        isinstance(pair, list) and len(pair) == 2 and all(map(is_whole, pair)) for pair in widths
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
    """Rows and columns are counted: `Tril` and `Triu` of Keras 3.5 and 3.8 fail in a graph of TensorFlow."""
    x, lower, upper = call.tensor("input"), call.whole("num_lower", 0), call.whole("num_upper", 0)
    ones = call.step("numpy.OnesLike", x)
    rows, columns = (call.step("numpy.Cumsum", ones, axis=axis, dtype="int32") for axis in (-2, -1))
    right = call.step("numpy.Subtract", columns, rows)
    nothing = call.step("numpy.ZerosLike", x)
    if lower >= 0:
        x = call.step("numpy.Where", call.step("numpy.GreaterEqual", right, -lower), x, nothing)
    if upper >= 0:
        x = call.step("numpy.Where", call.step("numpy.LessEqual", right, upper), x, nothing)
    return call.last("numpy.Copy", x)


# ---- indexing


def _key(value: Any) -> Any:
    """One element of `slice_spec`."""
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(value, dict) and value.get("class_name") == "__slice__":
        value = value.get("config")
    if isinstance(value, dict) and set(value) >= {"start", "stop", "step"}:
        parts = [value[name] for name in ("start", "stop", "step")]
        if all(part is None or is_whole(part) for part in parts):
            return slice(*parts)
    if value is None or is_whole(value):
        return value
    raise Untranslatable("it takes elements that are known only when the model runs")


@_function("getitem", "tensor slice_spec")
def _getitem(call: Call) -> Any:
    stored = call.values.get("slice_spec")
    key = [_key(element) for element in (stored if isinstance(stored, list) else [stored])]
    return _taken(call, call.values.get("tensor"), key)


def _taken(call: Call, x: Any, key: list[Any]) -> Any:
    if isinstance(x, Sizes):
        if len(key) == 1 and is_whole(key[0]) and key[0] >= 0:
            return x[key[0]]
        if len(key) == 1 and isinstance(key[0], slice) and key[0].step in (None, 1) and (key[0].start or 0) >= 0:
            return [Sizes(x.first + (key[0].start or 0), x.of)]
    return sliced(call.drawing, call.operand(x), key, call.name)


@_function("slice", "input_ begin size")
def _slice(call: Call) -> Any:
    begins, sizes = call.wholes("begin"), call.wholes("size")
    if len(begins) != len(sizes):
        raise Untranslatable("its beginnings and sizes do not belong together")
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
    if not len(begins) == len(ends) == len(strides):
        raise Untranslatable("its beginnings, ends and strides do not belong together")
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
