"""Activations: Keras's functions, functions of TensorFlow under which Keras 2 stored some, and layers.

Source: keras/src/activations.py (2.15), keras/src/activations/activations.py and keras/src/ops/nn.py (3.15). Keras 2's
hard_sigmoid is clip(0.2 x + 0.5, 0, 1), Keras 3's clip(x / 6 + 0.5, 0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary
from tcn_migrate.evaluation.tensors import FUNCTION, Tensor, floating

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x, 0.0))


def erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x)) if x.size else x


def softmax(x: Array, axis: Any = -1) -> Array:
    axes = tuple(axis) if isinstance(axis, list | tuple) else axis
    powers = np.exp(x - x.max(axis=axes, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axes, keepdims=True))


def log_softmax(x: Array, axis: int = -1) -> Array:
    moved = x - x.max(axis=axis, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=axis, keepdims=True)))


def gelu(x: Array, approximate: bool = False) -> Array:
    if approximate:
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))


def elu(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def celu(x: Array, alpha: float = 1.0) -> Array:
    return np.asarray(np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha))


def selu(x: Array) -> Array:
    return np.asarray(_SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))))


def sparsemax(x: Array, axis: int = -1) -> Array:
    """Martins and Astudillo, "From softmax to sparsemax", ICML 2016."""
    moved = np.moveaxis(x, axis, -1)
    ordered = -np.sort(-moved, axis=-1)
    ranks = np.arange(1, moved.shape[-1] + 1)
    sums = np.cumsum(ordered, axis=-1)
    support = (1 + ranks * ordered > sums).sum(axis=-1, keepdims=True)
    threshold = (np.take_along_axis(sums, support - 1, axis=-1) - 1) / support
    return np.moveaxis(np.maximum(moved - threshold, 0), -1, axis)


def relu(x: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """The function of `keras.activations.relu` and of the layer ReLU."""
    y = np.where(x >= threshold, x, negative_slope * (x - threshold))
    return np.asarray(y if max_value is None else np.minimum(y, max_value))


def hard_sigmoid_of_keras_2(x: Array) -> Array:
    return np.asarray(np.clip(0.2 * x + 0.5, 0, 1))


def hard_sigmoid(x: Array) -> Array:
    return np.asarray(np.clip(x / 6 + 0.5, 0, 1))


def sparse_plus(x: Array) -> Array:
    return np.asarray(np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)))


def sparse_sigmoid(x: Array) -> Array:
    return np.asarray(np.where(x <= -1, 0, np.where(x >= 1, 1, 0.5 * (x + 1))))


def glu(x: Array, axis: int = -1) -> Array:
    first, second = np.split(x, 2, axis=axis)
    return np.asarray(first * sigmoid(second))


BY_NAME: dict[str, Callable[[Array], Array]] = {
    "celu": celu,
    "elu": elu,
    "exponential": np.exp,
    "exp": np.exp,
    "gelu": gelu,
    "glu": glu,
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0.0),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_swish": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "identity": lambda x: x,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -softplus(-x),
    "log_softmax": log_softmax,
    "log_softmax_v2": log_softmax,
    "mish": lambda x: x * np.tanh(softplus(x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softmax": softmax,
    "softmax_v2": softmax,
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "swish": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
    # functions of TensorFlow, stored by their names
    "abs": np.abs,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": erf,
    "expm1": np.expm1,
    "floor": np.floor,
    "neg": np.negative,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "square": np.square,
    "tan": np.tan,
}
_EXACT = frozenset(
    {"linear", "identity", "relu", "relu6", "hard_tanh", "leaky_relu", "abs", "neg", "sign", "ceil", "floor"}
)
"""Functions that round nothing, or once."""


def activate(layer: Layer, x: Array, stored: Any, role: str = "activation") -> Array:
    """An activation as a setting of a layer.

    Args:
        layer: whose setting it is.
        x: what it is applied to.
        stored: the setting: None, a name, or the entry of a function or layer.
        role: under which a layer with variables keeps them.
    """
    if stored is None:
        return x
    if isinstance(stored, Mapping):
        return _activate_by_entry(layer, x, stored, role)
    name = str(stored).rpartition(">")[2]
    if name == "hard_sigmoid" and layer.keras_2:
        return hard_sigmoid_of_keras_2(x)
    function = BY_NAME.get(name)
    if function is not None:
        y = np.asarray(function(floating(x)))
        return y if name in _EXACT else layer.rounded(y, FUNCTION)
    if name in _LAYERS or name == "PReLU":  # a class by its name, with its defaults
        return _activate_by_entry(layer, x, {"class_name": name, "config": {}}, role)
    raise layer.unproven(f"its activation {name!r} is not known")


def _activate_by_entry(layer: Layer, x: Array, stored: Mapping[str, Any], role: str) -> Array:
    class_name, config = str(stored.get("class_name")).rpartition(">")[2], stored.get("config")
    if class_name == "function" or isinstance(config, str):
        return activate(layer, x, config, role)
    config = config if isinstance(config, dict) else {}
    if class_name == "Activation":
        return activate(layer, x, config.get("activation"), role)
    part = layer.part(role, {"class_name": class_name, "config": config})
    if class_name == "PReLU":
        return prelu(part, x)
    if class_name in _LAYERS and not str(stored.get("module")).startswith("keras.src.ops"):
        return _LAYERS[class_name](part, x)
    name = config.get("name")
    if isinstance(name, str) and name in BY_NAME:  # an operation
        return activate(layer, x, name, role)
    by_class = class_name.lower()
    if by_class in BY_NAME:
        return activate(layer, x, by_class, role)
    raise layer.unproven(f"its activation of class {class_name!r} is not known")


@elementary("Activation", passes=True)
def activation(layer: Layer, x: Array) -> Array:
    return activate(layer, x, layer.config.get("activation"))


@elementary("PReLU", passes=True)
def prelu_layer(layer: Layer, x: Array) -> Array:
    return prelu(layer, x)


def prelu(layer: Layer, x: Array) -> Array:
    """Source: keras/src/layers/activation/prelu.py."""
    return np.asarray(np.maximum(x, 0) + layer.needed("alpha") * np.minimum(x, 0))


@elementary("ELU", passes=True)
def elu_layer(layer: Layer, x: Array) -> Array:
    return layer.rounded(elu(floating(x), _number(layer.config, "alpha", 1.0)), FUNCTION)


@elementary("LeakyReLU", passes=True)
def leaky_relu_layer(layer: Layer, x: Array) -> Array:
    slope = _number(layer.config, "alpha", _number(layer.config, "negative_slope", 0.3))
    return np.asarray(np.where(x > 0, x, slope * x))


@elementary("ThresholdedReLU", passes=True)
def thresholded_relu(layer: Layer, x: Array) -> Array:
    return np.asarray(np.where(x > _number(layer.config, "theta", 1.0), x, 0.0))


def relu_layer(layer: Layer, x: Array) -> Array:
    limit = layer.config.get("max_value")
    slope, threshold = _number(layer.config, "negative_slope", 0.0), _number(layer.config, "threshold", 0.0)
    return relu(floating(x), slope, None if limit is None else float(limit), threshold)


@computes("ReLU")
def relu_with_mask(layer: Layer, arguments: Arguments) -> Tensor:
    """Keras 2 passes the mask on since 2.6."""
    x = arguments.tensor(layer)
    passes = x.mask is not None and (not layer.keras_2 or layer.at_least(2, 6))
    return Tensor(relu_layer(layer, x.values), x.mask if passes else None)


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value: Any = config.get(key)
    if isinstance(value, dict) and "value" in value:  # an array of one number, as TensorFlow 1 stored it
        value = value["value"]
    return default if value is None else float(value)


@computes("Softmax")
def softmax_layer(layer: Layer, arguments: Arguments) -> Tensor:
    """Keras 2 adds a large negative number where the mask is False; Keras 3 gives zeros where all of it is."""
    x = arguments.tensor(layer)
    given = arguments.kwargs.get("mask", arguments.args[1] if len(arguments.args) > 1 else None)
    mask = given.values if isinstance(given, Tensor) else given
    if mask is None and x.mask is not None and np.shape(x.mask) == x.values.shape:
        mask = x.mask
    return Tensor(masked_softmax(layer, x.values, mask, layer.config.get("axis", -1)), x.mask)


def masked_softmax(layer: Layer, x: Array, mask: Any, axis: Any = -1) -> Array:
    """A Softmax layer's function.

    Args:
        layer: whose dtype decides how large the number is.
        x: the scores.
        mask: where they count, or None; of a shape that broadcasts to that of x.
        axis: one or several.
    """
    scores = floating(x)
    if mask is None:
        return layer.rounded(softmax(scores, axis), FUNCTION)
    kept = np.asarray(mask).astype(np.float64)
    if layer.half:
        large = -65504.0 / 2 if layer.keras_2 else -3e4
    else:
        large = -1e9
    added = scores + (1 - kept) * large
    if layer.keras_2 or layer.setting.keras < (3, 10):
        # float32 has no room for the scores beside so large a number: they are lost, as in the old library
        added = np.where(kept > 0, added, _added_in_float32(scores, large, layer))
    y = layer.rounded(softmax(added, axis), FUNCTION)
    if not layer.keras_2 and layer.setting.keras >= (3, 10):
        y = y * kept
    return y


def _added_in_float32(scores: Array, large: float, layer: Layer) -> Array:
    kind = "float16" if layer.half else "float32"
    return np.asarray((scores.astype(kind) + np.asarray(large, kind)).astype(np.float64))


_LAYERS: dict[str, Callable[[Layer, Array], Array]] = {
    "ELU": lambda layer, x: elu(floating(x), _number(layer.config, "alpha", 1.0)),
    "LeakyReLU": lambda layer, x: np.where(
        x > 0, x, _number(layer.config, "alpha", _number(layer.config, "negative_slope", 0.3)) * x
    ),
    "ReLU": relu_layer,
    "Softmax": lambda layer, x: softmax(floating(x), layer.config.get("axis", -1)),
    "ThresholdedReLU": lambda layer, x: np.where(x > _number(layer.config, "theta", 1.0), x, 0.0),
}
