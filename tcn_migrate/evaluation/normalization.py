"""Normalization.

Source: keras/src/layers/normalization (2.15 and 3.15).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary
from tcn_migrate.evaluation.tensors import Tensor, floating


def _axes(layer: Layer, default: Any = -1) -> list[int]:
    axis = layer.config.get("axis", default)
    return [int(one) for one in axis] if isinstance(axis, list | tuple) else [int(axis)]


def _shaped(values: Array, axes: list[int], rank: int) -> Array:
    """Variables over some axes, to be broadcast over the others."""
    shape = [1] * rank
    for axis, size in zip(sorted(one % rank for one in axes), values.shape, strict=True):
        shape[axis] = size
    return values.reshape(shape)


def moments(layer: Layer, x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and variance over some axes, kept as axes of 1.

    With rounding errors the variance is the mean of the squares less the square of the mean, as some backends of Keras
    compute it. That errs more than the mean of the squared differences does.
    """
    mean = layer.mean(x, axes, keepdims=True)
    exact = x.var(axis=axes, keepdims=True)
    if layer.setting.arithmetic.noise is None:
        return mean, exact
    squares, square = layer.mean(x * x, axes, keepdims=True), layer.rounded(mean * mean)
    return mean, np.maximum(squares - square, 0)


def scaled(
    layer: Layer,
    x: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    gamma: Array | None,
    beta: Array | None,
) -> Array:
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, rounded as `x * scale + (beta - mean * scale)` is."""
    scale = 1 / np.sqrt(variance + epsilon)
    scale = layer.rounded(scale if gamma is None else scale * gamma, 2)
    shift = -layer.rounded(mean * scale) if beta is None else beta - layer.rounded(mean * scale)
    return layer.rounded(x * scale) + layer.rounded(shift)


@elementary("BatchNormalization", "SyncBatchNormalization", "BatchNormalizationV1", passes=True)
def batch_normalization(layer: Layer, x: Array) -> Array:
    """By its moving statistics; by those of the batch where it is called with training=True and may train."""
    x = floating(x)
    axes = _axes(layer)
    epsilon = float(layer.get("epsilon", 1e-3))

    def own(name: str) -> Array | None:
        values = layer.weight(name)
        return None if values is None else _shaped(values, axes, x.ndim)

    trained = [bool(call["kwargs"].get("training")) for call in layer.entry.get("inbound_nodes") or []]
    if any(trained) and not all(trained):  # it counts the batch in at each prediction, too
        raise layer.unproven("one of its calls changes the statistics that another one uses")
    if layer.training and layer.config.get("renorm"):
        raise layer.unproven("it is always called with training=True and renorm")
    if layer.training and _trains(layer):
        others = tuple(axis for axis in range(x.ndim) if axis not in [one % x.ndim for one in axes])
        mean, variance = moments(layer, x, others)
    else:
        layer.needed("moving_mean"), layer.needed("moving_variance")
        mean, variance = own("moving_mean"), own("moving_variance")  # type: ignore[assignment]
    return scaled(layer, x, mean, variance, epsilon, own("gamma"), own("beta"))


def _trains(layer: Layer) -> bool:
    """A batch norm that is not trainable infers whatever it is called with, in tf.keras 2 and in Keras 3."""
    if layer.config.get("trainable", True):
        return True
    if not layer.setting.is_tf or not layer.at_least(2, 3):
        raise layer.unproven("it is frozen and always called with training=True")
    return False


@elementary("LayerNormalization", passes=True)
def layer_normalization(layer: Layer, x: Array) -> Array:
    x = floating(x)
    axes = tuple(axis % x.ndim for axis in _axes(layer))
    gamma, beta = layer.weight("gamma"), layer.weight("beta")
    own = [None if one is None else _shaped(one, list(axes), x.ndim) for one in (gamma, beta)]
    epsilon = float(layer.get("epsilon", 1e-3))
    if layer.config.get("rms_scaling"):
        variance = layer.mean(x * x, axes, keepdims=True) if layer.at_least(3, 9) else x.var(axis=axes, keepdims=True)
        y = x / np.sqrt(variance + epsilon)
        return y if own[0] is None else y * own[0]
    mean, variance = moments(layer, x, axes)
    return scaled(layer, x, mean, variance, epsilon, own[0], own[1])


@elementary("GroupNormalization", passes=True)
def group_normalization(layer: Layer, x: Array) -> Array:
    x = floating(x)
    axis = _axes(layer)[0] % x.ndim
    groups = int(layer.get("groups", 32))
    channels = x.shape[axis]
    groups = channels if groups == -1 else groups
    moved = np.moveaxis(x, axis, -1)
    grouped = moved.reshape(*moved.shape[:-1], groups, channels // groups)
    over = (*range(1, grouped.ndim - 2), grouped.ndim - 1)
    mean, variance = moments(layer, grouped, over)
    gamma, beta = (
        None if one is None else one.reshape(groups, channels // groups)
        for one in (layer.weight("gamma"), layer.weight("beta"))
    )
    y = scaled(layer, grouped, mean, variance, float(layer.get("epsilon", 1e-3)), gamma, beta)
    return np.moveaxis(y.reshape(moved.shape), -1, axis)


@elementary("RMSNormalization", passes=True)
def rms_normalization(layer: Layer, x: Array) -> Array:
    x = floating(x)
    axes = tuple(axis % x.ndim for axis in _axes(layer))
    y = x / np.sqrt(layer.mean(x * x, axes, keepdims=True) + float(layer.get("epsilon", 1e-6)))
    return y * _shaped(layer.needed("scale"), list(axes), x.ndim)


@elementary("UnitNormalization", passes=True)
def unit_normalization(layer: Layer, x: Array) -> Array:
    return l2_normalized(layer, floating(x), tuple(_axes(layer)))


def l2_normalized(layer: Layer, x: Array, axes: tuple[int, ...] | None, epsilon: float = 1e-12) -> Array:
    """`tf.math.l2_normalize`."""
    total = (x * x).sum(axis=axes, keepdims=True)
    return layer.rounded(x / np.sqrt(np.maximum(layer.rounded(total, 2), epsilon)))


@computes("Normalization")
def normalization(layer: Layer, arguments: Arguments) -> Tensor:
    """By mean and variance that are settings or were adapted. It ends masks in Keras 2 and passes them in Keras 3.

    Source: keras/src/layers/preprocessing/normalization.py (2.15): the deviation is at least 1e-7.
    """
    given = arguments.tensor(layer)
    x = floating(given.values)
    if layer.config.get("mean") is None:
        mean, variance = layer.needed("mean"), layer.needed("variance")
    else:
        mean, variance = floating(layer.config["mean"]), floating(layer.config["variance"])
    axis = layer.config.get("axis", -1)
    axes = [] if axis is None else _axes(layer)
    rank = max(x.ndim, 1)
    if mean.ndim or (axes and mean.size > 1):
        shape = [1] * rank
        kept = sorted(one % rank for one in axes)
        if mean.ndim != rank:
            for one, size in zip(kept, mean.shape if mean.ndim == len(kept) else [mean.size], strict=True):
                shape[one] = size
            mean, variance = mean.reshape(shape), variance.reshape(shape)
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    if layer.config.get("invert"):
        y = mean + x * deviation
    else:
        y = layer.rounded(x - mean) / deviation
    return Tensor(y, None if layer.keras_2 else given.mask)


@computes("SpectralNormalization")
def spectral_normalization(layer: Layer, arguments: Arguments) -> Tensor:
    """In inference it is the layer inside, with the kernel that it holds."""
    from tcn_migrate.evaluation.model import called

    if layer.training:
        raise layer.unproven("it is always called with training=True")
    x = arguments.tensor(layer)
    inner = called(layer.part("layer", layer.config["layer"]), Arguments([Tensor(x.values)]))[0]
    if not isinstance(inner, Tensor):
        raise inner
    return Tensor(inner.values, x.mask)
