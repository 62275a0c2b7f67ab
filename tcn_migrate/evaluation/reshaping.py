"""Layers that only put values elsewhere. All of them end masks.

Source: keras/src/layers/reshaping (2.15 and 3.15).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.images import resized
from tcn_migrate.evaluation.table import Layer, elementary, sizes


def _first(layer: Layer) -> bool:
    return bool(layer.config.get("data_format") == "channels_first")


def _pairs(value: Any, rank: int) -> list[tuple[int, int]]:
    """Widths before and behind each axis: one number for all, one for each axis, or two for each."""
    if isinstance(value, list | tuple):
        if rank == 1 and len(value) == 2 and not isinstance(value[0], list | tuple):
            return [(int(value[0]), int(value[1]))]
        return [(int(v[0]), int(v[1])) if isinstance(v, list | tuple) else (int(v), int(v)) for v in value]
    return [(int(value), int(value))] * rank


@elementary("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(layer: Layer, x: Array) -> Array:
    rank = int(layer.class_name[-2])
    widths = _pairs(layer.get("padding", 1), rank)
    around = [(0, 0), (0, 0), *widths] if _first(layer) else [(0, 0), *widths, (0, 0)]
    return np.pad(x, around)


@elementary("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(layer: Layer, x: Array) -> Array:
    rank = int(layer.class_name[-2])
    inner = tuple(
        slice(before, size - behind)
        for (before, behind), size in zip(
            _pairs(layer.get("cropping", 1), rank), x.shape[2:] if _first(layer) else x.shape[1:-1], strict=True
        )
    )
    return x[(slice(None), slice(None), *inner)] if _first(layer) else x[(slice(None), *inner)]


@elementary("UpSampling1D", "UpSampling2D", "UpSampling3D")
def up_sampling(layer: Layer, x: Array) -> Array:
    rank = int(layer.class_name[-2])
    times = sizes(layer.get("size", 2), rank)
    x = np.moveaxis(x, 1, -1) if _first(layer) else x
    method = str(layer.get("interpolation", "nearest"))
    if method == "nearest":
        for axis, count in enumerate(times, start=1):
            x = np.repeat(x, count, axis=axis)
    else:
        if layer.keras_2 and not layer.setting.is_tf:
            raise layer.unproven("it interpolates as TensorFlow 1 did")
        x = resized(layer, x, (x.shape[1] * times[0], x.shape[2] * times[1]), method)
    return np.moveaxis(x, -1, 1) if _first(layer) else x


@elementary("Flatten")
def flatten(layer: Layer, x: Array) -> Array:
    """With the channels first they go behind, so that both data formats give one order."""
    if _first(layer) and x.ndim > 2:
        x = np.moveaxis(x, 1, -1)
    return x.reshape(len(x), -1)


@elementary("Permute")
def permute(layer: Layer, x: Array) -> Array:
    return np.transpose(x, (0, *(int(axis) for axis in layer.config["dims"])))


@elementary("RepeatVector")
def repeat_vector(layer: Layer, x: Array) -> Array:
    return np.repeat(x[:, None], int(layer.config["n"]), axis=1)


@elementary("Reshape")
def reshape(layer: Layer, x: Array) -> Array:
    return x.reshape(len(x), *(-1 if size is None else int(size) for size in layer.config["target_shape"]))
