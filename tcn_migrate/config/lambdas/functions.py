"""Functions that occur in Lambdas but not as operators between layers: merges, noise, `keras.ops`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.graph.drawing import sliced
from tcn_migrate.config.operators.backend import renamed
from tcn_migrate.config.operators.calls import Call, Draw, Function, Size, Sizes, Untranslatable, entering, is_whole

MORE_OF_TENSORFLOW: dict[str, Function] = {
    "add_n": renamed("add_n", "inputs"),
    "concat": renamed("concat", "inputs=values axis", axis=-1),
}
"""By path below `tensorflow`; merges of Keras by names of their own."""

_LARGEST_NOISE = 100_000
"""Numbers a sample, where the shape stands in the code."""


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    return entering(MORE_OF_TENSORFLOW, names, parameters)


def _merged(kind: str) -> Draw:
    def draw(call: Call) -> Any:
        first, *more = call.tensors("inputs")
        if not more:
            raise Untranslatable("it merges less than two tensors")
        for term in more[:-1]:
            first = call.step(kind, first, term)
        return call.last(kind, first, more[-1])

    return draw


for _name in ("maximum", "minimum", "multiply", "subtract"):
    MORE_OF_TENSORFLOW[f"{_name}_of"] = Function(("inputs",), _merged(f"numpy.{_name.title()}"))


@_function("average", "inputs")
def _average(call: Call) -> Json:
    first, *more = call.tensors("inputs")
    for term in more:
        first = call.step("numpy.Add", first, term)
    return call.last("numpy.TrueDivide", first, 1 + len(more))


@_function("random.normal random_normal", "shape mean stddev dtype seed")
def _random_normal(call: Call) -> Json:
    """Noise of a tensor's shape, in predictions too: a GaussianNoise that always trains, on zeros of that shape."""
    mean, deviation = call.number("mean", 0.0), call.number("stddev", 1.0)
    call.only("dtype", "float32")
    settings = {"seed": call.values["seed"]} if is_whole(call.values.get("seed")) else {}
    zeros = _zeros(call, call.values.get("shape"))
    noise = call.drawing.layer("GaussianNoise", zeros, f"{call.name}_noise", training=True, stddev=1.0, **settings)
    scaled = call.step("numpy.Multiply", noise, deviation) if deviation != 1 else noise
    return call.step("numpy.Add", scaled, mean) if mean != 0 else scaled


def _zeros(call: Call, shape: Any) -> Json:
    """Zeros of a tensor's shape, or of its batch and sizes that stand in the file."""
    if isinstance(shape, Sizes) and shape.of is not None and shape.first == 0:
        return call.step("numpy.ZerosLike", shape.of)
    sizes = shape if isinstance(shape, list) else []
    of = sizes[0].of if sizes and isinstance(sizes[0], Size) and sizes[0].axis == 0 else None
    inner = sizes[1:]
    if of is not None and inner and inner == [Size(axis, of) for axis in range(1, len(sizes))]:
        # Permute changes nothing here, but refuses a tensor with more axes than these.
        whole = call.drawing.layer("Permute", of, f"{call.name}_permute", dims=list(range(1, len(sizes))))
        return call.step("numpy.ZerosLike", whole)
    known = all(is_whole(size) and size > 0 for size in inner) and math.prod(inner) <= _LARGEST_NOISE
    if of is not None and inner and known:
        flat = call.drawing.layer("Flatten", of, f"{call.name}_flatten")
        first = sliced(call.drawing, flat, [slice(None), 0, *[None] * len(inner)], f"{call.name}_batch")
        return call.step("numpy.Add", call.step("numpy.ZerosLike", first), call.operand(np.zeros((1, *inner)).tolist()))
    raise Untranslatable("its shape is not that of a tensor of the model")


_OPS_UNARY = "abs ceil cos erf exp expm1 floor log log1p logical_not negative relu relu6 rsqrt selu sigmoid sign sin "
_OPS_UNARY += "softplus softsign sqrt square tan tanh round reciprocal"
_OPS_BINARY = {"mod": "floormod", "power": "pow", "true_divide": "truediv", "floor_divide": "floordiv"}
_OPS_BINARY |= {
    name: name
    for name in words(
        "add divide equal greater greater_equal less less_equal logical_and logical_or maximum minimum multiply",
        "not_equal subtract",
    )
}
OPS: dict[str, Function] = {
    **{name: renamed(name, "x") for name in _OPS_UNARY.split()},
    **{name: renamed(theirs, "x1=x x2=y") for name, theirs in _OPS_BINARY.items()},
    **{
        name: renamed(f"reduce_{name}", "x=input_tensor axis keepdims")
        for name in words("all any logsumexp max mean min prod std sum")
    },
    "argmax": renamed("argmax", "x=input axis"),
    "cast": renamed("cast", "x dtype"),
    "clip": renamed("clip_by_value", "x=t x_min=clip_value_min x_max=clip_value_max"),
    "concatenate": renamed("concat", "xs=values axis", axis=-1),
    "expand_dims": renamed("expand_dims", "x=input axis"),
    "matmul": renamed("matmul", "x1=a x2=b"),
    "repeat": renamed("repeat", "x=input repeats axis"),
    "reshape": renamed("reshape", "x=tensor newshape=shape"),
    "shape": renamed("shape", "x=input"),
    "softmax": renamed("softmax", "x=logits axis"),
    "squeeze": renamed("squeeze", "x=input axis"),
    "stack": renamed("stack", "x=values axis"),
    "tile": renamed("tile", "x=input repeats=multiples"),
    "transpose": renamed("transpose", "x=a axes=perm"),
    "var": renamed("reduce_variance", "x=input_tensor axis keepdims"),
    "where": renamed("where", "condition x1=x x2=y"),
    "zeros_like": renamed("zeros_like", "x=input"),
}
"""Functions of Keras 3's `keras.ops`, by its names of the parameters; `argmax` of no axis flattens, so it needs one."""
