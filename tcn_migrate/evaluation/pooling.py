"""Pooling. Under "same" the padding counts neither for a maximum nor for an average.

Source: keras/src/layers/pooling (2.15 and 3.15).
"""

from __future__ import annotations

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.convolution import as_stored, channels_last, padded, taps
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary, sizes
from tcn_migrate.evaluation.tensors import Tensor, floating


def pooled(layer: Layer, x: Array, size: tuple[int, ...], strides: tuple[int, ...], padding: str, kind: str) -> Array:
    """A pooling, channels last.

    Args:
        layer: whose rounding is imitated.
        x: (batch, axes, channels).
        size, strides, padding: of the windows.
        kind: "Max" or "Average".
    """
    ones = (1,) * len(size)
    if kind == "Max":
        around = padded(x, size, strides, ones, padding, -np.inf)
        return np.asarray(np.maximum.reduce(taps(around, size, strides, ones)))
    x = layer.terms(floating(x), int(np.prod(size)))
    total = np.add.reduce(taps(padded(x, size, strides, ones, padding), size, strides, ones))
    counts = np.ones((1, *x.shape[1:-1], 1))
    return layer.rounded(total / np.add.reduce(taps(padded(counts, size, strides, ones, padding), size, strides, ones)))


@elementary(*(f"{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)))
def pooling(layer: Layer, x: Array) -> Array:
    kind, rank = layer.class_name.partition("Pooling")[0], int(layer.class_name[-2])
    size = sizes(layer.get("pool_size", 2), rank)
    stored = layer.config.get("strides")
    strides = size if stored is None else sizes(stored, rank)
    x = channels_last(layer, floating(x))
    return as_stored(layer, pooled(layer, x, size, strides, str(layer.get("padding", "valid")), kind))


def _axes(layer: Layer, rank: int) -> tuple[int, ...]:
    first = 2 if layer.config.get("data_format") == "channels_first" else 1
    return tuple(range(first, first + rank))


@elementary(*(f"GlobalMaxPooling{rank}D" for rank in (1, 2, 3)))
def global_maximum(layer: Layer, x: Array) -> Array:
    axes = _axes(layer, int(layer.class_name[-2]))
    return np.asarray(x.max(axis=axes, keepdims=bool(layer.config.get("keepdims"))))


@elementary("GlobalAveragePooling2D", "GlobalAveragePooling3D")
def global_average(layer: Layer, x: Array) -> Array:
    return layer.mean(x, _axes(layer, int(layer.class_name[-2])), bool(layer.config.get("keepdims")))


@computes("GlobalAveragePooling1D")
def average_over_time(layer: Layer, arguments: Arguments) -> Tensor:
    """The average of the steps that the mask has, of which it ends."""
    x = arguments.tensor(layer)
    given = arguments.kwargs.get("mask")
    mask = layer.used(x.mask if given is None else given.values if isinstance(given, Tensor) else given)
    axes, keepdims = _axes(layer, 1), bool(layer.config.get("keepdims"))
    if mask is None:
        return Tensor(layer.mean(x.values, axes, keepdims))
    kept = np.expand_dims(mask.astype(np.float64), -1 if axes == (1,) else 1)
    values = layer.terms(floating(x.values), x.values.shape[axes[0]])
    return Tensor((values * kept).sum(axis=axes, keepdims=keepdims) / kept.sum(axis=axes, keepdims=keepdims))


@elementary(*(f"Adaptive{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)))
def adaptive_pooling(layer: Layer, x: Array) -> Array:
    """Window i of n over an axis of length m reaches from floor(i m / n) to ceil((i + 1) m / n)."""
    rank = int(layer.class_name[-2])
    wanted = sizes(layer.config["output_size"], rank)
    average = "Average" in layer.class_name
    y = channels_last(layer, floating(x))
    for axis, count in enumerate(wanted, start=1):
        length = y.shape[axis]
        parts = []
        for number in range(count):
            window = np.arange(number * length // count, -(-(number + 1) * length // count))
            part = np.take(y, window, axis=axis)
            parts.append(part.mean(axis=axis) if average else part.max(axis=axis))
        y = np.stack(parts, axis=axis)
    return as_stored(layer, y)
