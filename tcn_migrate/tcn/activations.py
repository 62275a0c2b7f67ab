"""The activations that a TCN can have, as NumPy functions over float64 arrays.

The definitions are Keras 3's (keras.activations, 3.15.1). `keras2_hard_sigmoid` is what Keras 2 calls hard_sigmoid.
An activation may also be a layer without variables, with settings of its own, or one of TensorFlow's functions, which
Keras 3 has as an operation (`config.activations`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tcn_migrate.config.catalogue.activations import OPERATIONS

Array = np.ndarray[Any, np.dtype[np.float64]]


def _sigmoid(x: Array) -> Array:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0.0)


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _silu(x: Array) -> Array:
    return x * _sigmoid(x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "celu": _elu,
    "elu": _elu,
    "exponential": np.exp,
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "keras2_hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -_softplus(-x),
    "log_softmax": lambda x: np.log(_softmax(x)),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "relu": _relu,
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softmax": _softmax,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": _silu,
    "tanh": np.tanh,
}

_OF_TENSORFLOW: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": lambda x: np.asarray(_erf(x)),
    "expm1": np.expm1,
    "floor": np.floor,
    "neg": np.negative,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "square": np.square,
    "tan": np.tan,
}


def _relu_layer(x: Array, *, max_value: float | None, negative_slope: float, threshold: float) -> Array:
    y = np.where(x >= threshold, x, negative_slope * (x - threshold))
    return y if max_value is None else np.minimum(y, max_value)


def _softmax_layer(x: Array, *, axis: int | list[int]) -> Array:
    axes = tuple(axis) if isinstance(axis, list) else axis
    powers = np.exp(x - x.max(axis=axes, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axes, keepdims=True))


_LAYERS: dict[str, Callable[..., Array]] = {
    "ELU": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "LeakyReLU": lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "ReLU": _relu_layer,
    "Softmax": _softmax_layer,
}

assert _OF_TENSORFLOW.keys() == OPERATIONS.keys()


def function(name: str, settings: Mapping[str, Any]) -> Callable[[Array], Array]:
    """The function of an activation.

    Args:
        name: of a function of Keras or TensorFlow, or of a layer's class.
        settings: of the layer; empty for a function.
    """
    if name in _LAYERS:
        return lambda x: _LAYERS[name](x, **settings)
    return ACTIVATIONS.get(name) or _OF_TENSORFLOW[name]
