"""Operations of Keras 3 between layers.

Source: keras/src/ops (3.15): each operation's `compute_output_spec` and its function in NumPy's backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.evaluation import activations
from tcn_migrate.evaluation.model import cast
from tcn_migrate.evaluation.operators import BINARY, REDUCTIONS, UNARY, as_array, element, reduced
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import UNCLEAR, Tensor, floating

_UNARY = {
    "Absolute": "abs",
    "Abs": "abs",
    "Arccos": "acos",
    "Arccosh": "acosh",
    "Arcsin": "asin",
    "Arcsinh": "asinh",
    "Arctan": "atan",
    "Arctanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "Isfinite": "is_finite",
    "Isinf": "is_inf",
    "Isnan": "is_nan",
    "Log": "log",
    "Log1p": "log1p",
    "LogSigmoid": "log_sigmoid",
    "LogicalNot": "logical_not",
    "Negative": "negative",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Relu6": "relu6",
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
_NAMED = {
    "Silu": "silu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "Squareplus": "squareplus",
    "TanhShrink": "tanh_shrink",
}
_BINARY = {
    "Add": "add",
    "TrueDivide": "truediv",
    "Divide": "divide",
    "DivideNoNan": "divide_no_nan",
    "Equal": "equal",
    "FloorDivide": "floordiv",
    "Mod": "floormod",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "LogicalXor": "logical_xor",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Multiply": "multiply",
    "NotEqual": "not_equal",
    "Power": "pow",
    "Subtract": "subtract",
}
_REDUCTIONS = {
    "All": "reduce_all",
    "Any": "reduce_any",
    "Max": "reduce_max",
    "Amax": "reduce_max",
    "Mean": "reduce_mean",
    "Min": "reduce_min",
    "Amin": "reduce_min",
    "Prod": "reduce_prod",
    "Std": "reduce_std",
    "Sum": "reduce_sum",
    "Var": "reduce_variance",
    "Logsumexp": "reduce_logsumexp",
}

Compute = Callable[[Layer, list[Any], Json], Any]


def _axis(settings: Json) -> Any:
    axis = settings.get("axis")
    return tuple(axis) if isinstance(axis, list) else axis


def _float_mean(x: Array, **where: Any) -> Array:
    return np.asarray(floating(x).mean(**where))


def _squeeze(layer: Layer, args: list[Any], settings: Json) -> Array:
    return np.asarray(np.squeeze(args[0], axis=_axis(settings)))


def _pad(layer: Layer, args: list[Any], settings: Json) -> Array:
    widths, mode = settings["pad_width"], settings.get("mode", "constant")
    fill = {"constant_values": args[1]} if len(args) > 1 and mode == "constant" else {}
    return np.pad(args[0], widths, mode=mode, **fill)


def _get_item(layer: Layer, args: list[Any], settings: Json) -> Array:
    key = args[1]
    key = tuple(element(layer, one) for one in key) if isinstance(key, list) else element(layer, key)
    return np.asarray(args[0][key])


def _one_hot(layer: Layer, args: list[Any], settings: Json) -> Array:
    hits = args[0][..., None] == np.arange(int(settings["num_classes"]))
    return np.moveaxis(hits.astype(np.float64), -1, int(settings.get("axis", -1)))


def _split(layer: Layer, args: list[Any], settings: Json) -> list[Array]:
    return np.split(args[0], settings["indices_or_sections"], axis=int(settings.get("axis", 0)))


OPERATIONS: dict[str, Compute] = {
    "Cast": lambda layer, args, own: cast(args[0], str(own["dtype"])),
    "Copy": lambda layer, args, own: args[0],
    "StopGradient": lambda layer, args, own: args[0],
    "Identity": lambda layer, args, own: args[0],
    "Arctan2": lambda layer, args, own: np.arctan2(args[0], args[1]),
    "Argmax": lambda layer, args, own: np.argmax(args[0], axis=own.get("axis"), keepdims=bool(own.get("keepdims"))),
    "Argmin": lambda layer, args, own: np.argmin(args[0], axis=own.get("axis"), keepdims=bool(own.get("keepdims"))),
    "BroadcastTo": lambda layer, args, own: np.broadcast_to(args[0], own["shape"]),
    "Clip": lambda layer, args, own: np.clip(args[0], own["x_min"], own["x_max"]),
    "Concatenate": lambda layer, args, own: np.concatenate(args[0], axis=int(own.get("axis", 0))),
    "Cumsum": lambda layer, args, own: np.cumsum(args[0], axis=own.get("axis")),
    "Cumprod": lambda layer, args, own: np.cumprod(args[0], axis=own.get("axis")),
    "Einsum": lambda layer, args, own: layer.einsum(str(own["subscripts"]), *args),
    "Elu": lambda layer, args, own: activations.elu(args[0], float(own.get("alpha", 1.0))),
    "ExpandDims": lambda layer, args, own: np.expand_dims(args[0], _axis(own)),
    "Flip": lambda layer, args, own: np.flip(args[0], _axis(own)),
    "Gelu": lambda layer, args, own: activations.gelu(args[0], bool(own.get("approximate", True))),
    "GetItem": _get_item,
    "LeakyRelu": lambda layer, args, own: np.where(args[0] > 0, args[0], own.get("negative_slope", 0.2) * args[0]),
    "LogSoftmax": lambda layer, args, own: activations.log_softmax(floating(args[0]), int(own.get("axis", -1))),
    "Matmul": lambda layer, args, own: layer.product(args[0], args[1]),
    "Moveaxis": lambda layer, args, own: np.moveaxis(args[0], own["source"], own["destination"]),
    "OneHot": _one_hot,
    "OnesLike": lambda layer, args, own: np.ones_like(args[0]),
    "Pad": _pad,
    "Repeat": lambda layer, args, own: np.repeat(args[0], own["repeats"], axis=own.get("axis")),
    "Reshape": lambda layer, args, own: args[0].reshape(own["newshape"]),
    "Roll": lambda layer, args, own: np.roll(args[0], own["shift"], axis=_axis(own)),
    "Round": lambda layer, args, own: np.round(args[0], int(own.get("decimals", 0))),
    "Softmax": lambda layer, args, own: activations.softmax(floating(args[0]), _axis(own)),
    "Sort": lambda layer, args, own: np.sort(args[0], axis=int(own.get("axis", -1))),
    "Split": _split,
    "Squeeze": _squeeze,
    "Stack": lambda layer, args, own: np.stack(args[0], axis=int(own.get("axis", 0))),
    "Swapaxes": lambda layer, args, own: np.swapaxes(args[0], own["axis1"], own["axis2"]),
    "Take": lambda layer, args, own: np.take(args[0], args[1], axis=own.get("axis")),
    "Tile": lambda layer, args, own: np.tile(args[0], own["repeats"]),
    "Transpose": lambda layer, args, own: np.transpose(args[0], own.get("axes")),
    "Where": lambda layer, args, own: np.where(*args),
    "ZerosLike": lambda layer, args, own: np.zeros_like(args[0]),
}
_MAY_BE_THE_INPUT = frozenset({"Cast", "Reshape", "BroadcastTo", "Squeeze", "Transpose", "Swapaxes", "Moveaxis"})


@computes("operation")
def operation(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """An operation by its class. It ends masks, but may hand on its very input where nothing changes."""
    kind, settings = layer.class_name, layer.config
    if any(value is not None for value in arguments.kwargs.values()):
        settings = {**settings, **{key: value for key, value in arguments.kwargs.items() if value is not None}}
    args = (
        [_argument(layer, one) for one in arguments.args]
        if kind != "GetItem"
        else [_argument(layer, arguments.args[0]), *arguments.args[1:]]
    )
    if "x1" in settings and not args:
        args = [_argument(layer, settings[key]) for key in ("x1", "x2") if key in settings]
    made = _computed(layer, kind, args, settings)
    first = arguments.first
    masked = getattr(first, "mask", None) is not None and kind in _MAY_BE_THE_INPUT
    return [
        Tensor(np.asarray(one), UNCLEAR if masked else None) for one in (made if isinstance(made, list) else [made])
    ]


def _argument(layer: Layer, value: Any) -> Any:
    if isinstance(value, list) and any(isinstance(one, Tensor) for one in value):
        return [as_array(layer, one) for one in value]
    return as_array(layer, value)


def _computed(layer: Layer, kind: str, args: list[Any], settings: Json) -> Any:
    if kind in _UNARY:
        return layer.rounded(np.asarray(UNARY[_UNARY[kind]](args[0])), 4)
    if kind in _NAMED:
        return layer.rounded(np.asarray(activations.BY_NAME[_NAMED[kind]](floating(args[0]))), 4)
    if kind in _BINARY:
        return BINARY[_BINARY[kind]](args[0], args[1])
    if kind in _REDUCTIONS:
        compute = _float_mean if kind == "Mean" else REDUCTIONS[_REDUCTIONS[kind]]
        return reduced(layer, args[0], compute, _axis(settings), bool(settings.get("keepdims")))
    if kind not in OPERATIONS:
        raise layer.unproven("this operation has no evaluation")
    return OPERATIONS[kind](layer, args, settings)
