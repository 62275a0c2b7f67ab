"""Convolutions, by products of matrices.

Source: keras/src/layers/convolutional (2.15), keras/src/layers/convolutional (3.15); the paddings are those of
`tf.nn.convolution`: under "same" the output has ceil(size / stride) steps, and an odd zero goes behind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.activations import activate
from tcn_migrate.evaluation.core import with_bias
from tcn_migrate.evaluation.table import Layer, elementary, sizes
from tcn_migrate.evaluation.tensors import floating

MOST_GATHERED = 1 << 24
"""Numbers that the patches of one product may be; larger inputs are convolved one tap after the other."""


def same_padding(size: int, kernel: int, stride: int, rate: int = 1) -> tuple[int, int]:
    """Zeros before and behind an axis, under "same"."""
    total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * rate + 1 - size, 0)
    return total // 2, total - total // 2


def padded(
    x: Array, kernel: Sequence[int], strides: Sequence[int], rates: Sequence[int], padding: str, value: float = 0.0
) -> Array:
    """x, (batch, axes, channels), with the padding of a convolution or pooling."""
    padding = padding.lower()
    if padding == "valid":
        return x
    if padding == "causal":
        widths = [((kernel[0] - 1) * rates[0], 0)]
    else:
        widths = [
            same_padding(size, k, stride, rate)
            for size, k, stride, rate in zip(x.shape[1:-1], kernel, strides, rates, strict=True)
        ]
    return np.pad(x, [(0, 0), *widths, (0, 0)], constant_values=value)


def taps(x: Array, kernel: Sequence[int], strides: Sequence[int], rates: Sequence[int]) -> list[Array]:
    """For each tap of a kernel, in C order, what it meets of x: (batch, axes of the output, channels)."""
    lengths = [
        (size - (k - 1) * rate - 1) // stride + 1
        for size, k, stride, rate in zip(x.shape[1:-1], kernel, strides, rates, strict=True)
    ]
    if min(lengths) < 1:
        raise ValueError("the input is shorter than the kernel")
    found = []
    for tap in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(t * rate, t * rate + (length - 1) * stride + 1, stride)
            for t, rate, length, stride in zip(tap, rates, lengths, strides, strict=True)
        )
        found.append(x[(slice(None), *window)])
    return found


def convolve(
    layer: Layer,
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    rates: Sequence[int],
    padding: str,
    groups: int = 1,
) -> Array:
    """A convolution, channels last.

    Args:
        layer: whose rounding is imitated.
        x: (batch, axes, channels).
        kernel: (extent, channels of a group, filters).
    """
    extent = kernel.shape[:-2]
    x = padded(floating(x), extent, strides, rates, padding)
    layer.setting.arithmetic.count(x.size // x.shape[-1] // math.prod(strides) * kernel.size)
    x = layer.terms(x, math.prod(kernel.shape[:-1]))
    if groups > 1:
        inputs, filters = np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1)
        parts = [_correlate(one, part, strides, rates) for one, part in zip(inputs, filters, strict=True)]
        return layer.rounded(np.concatenate(parts, axis=-1))
    return layer.rounded(_correlate(x, kernel, strides, rates))


def _correlate(x: Array, kernel: Array, strides: Sequence[int], rates: Sequence[int]) -> Array:
    extent = kernel.shape[:-2]
    met = taps(x, extent, strides, rates)
    matrices = kernel.reshape(-1, *kernel.shape[-2:])
    shape = (*met[0].shape[:-1], kernel.shape[-1])
    if met[0].size * len(met) <= MOST_GATHERED:
        # As one product of two matrices: one for each row of an image takes longer.
        gathered = np.concatenate(met, axis=-1).reshape(-1, math.prod(kernel.shape[:-1]))
        return (gathered @ matrices.reshape(-1, kernel.shape[-1])).reshape(shape)
    y = np.zeros(shape)
    for part, matrix in zip(met, matrices, strict=True):
        y += part @ matrix
    return y


def depthwise(
    layer: Layer, x: Array, kernel: Array, strides: Sequence[int], rates: Sequence[int], padding: str
) -> Array:
    """A depthwise convolution, channels last; kernel: (extent, channels, multiplier)."""
    extent = kernel.shape[:-2]
    x = padded(floating(x), extent, strides, rates, padding)
    layer.setting.arithmetic.count(x.size // math.prod(strides) * math.prod(extent) * kernel.shape[-1])
    x = layer.terms(x, math.prod(extent))
    met = taps(x, extent, strides, rates)
    matrices = kernel.reshape(-1, *kernel.shape[-2:])
    y = np.zeros((*met[0].shape, kernel.shape[-1]))
    for part, matrix in zip(met, matrices, strict=True):
        y += part[..., None] * matrix
    return layer.rounded(y.reshape(*y.shape[:-2], -1))


def _transposed(layer: Layer, x: Array, kernel: Array) -> Array:
    """The transpose of a convolution; kernel: (extent, filters, channels).

    Source: `conv_transpose` of keras/src/backend.py and `deconv_output_length` of keras/src/utils/conv_utils.py (2.15).
    Conv3DTranspose ignores its dilation rate there.
    """
    rank = x.ndim - 2
    strides = sizes(layer.get("strides", 1), rank)
    rates = sizes(layer.get("dilation_rate", 1), rank)
    if rank == 3 and layer.keras_2:
        rates = (1,) * rank
    extent = kernel.shape[:-2]
    same = str(layer.get("padding", "valid")).lower() == "same"
    stored = layer.config.get("output_padding")
    more = None if stored is None else sizes(stored, rank)
    lengths, fronts = [], []
    for axis, size in enumerate(x.shape[1:-1]):
        reach = (extent[axis] - 1) * rates[axis] + 1
        if more is None:
            length = size * strides[axis] if same else size * strides[axis] + max(reach - strides[axis], 0)
            front = max((size - 1) * strides[axis] + reach - length, 0) // 2 if same else 0
        else:
            pad = reach // 2 if same else 0
            length = (size - 1) * strides[axis] + reach - 2 * pad + more[axis]
            if same and not layer.keras_2:
                raise layer.unproven("it has an output padding")
            front = max((math.ceil(length / strides[axis]) - 1) * strides[axis] + reach - length, 0) // 2 if same else 0
        lengths.append(length)
        fronts.append(front)
    whole = [
        max((size - 1) * stride + (k - 1) * rate + 1, front + length)
        for size, stride, k, rate, front, length in zip(
            x.shape[1:-1], strides, extent, rates, fronts, lengths, strict=True
        )
    ]
    y = np.zeros((x.shape[0], *whole, kernel.shape[-2]))
    layer.setting.arithmetic.count(x.size // x.shape[-1] * kernel.size)
    x = layer.terms(floating(x), math.prod(extent) * kernel.shape[-1])
    for tap in itertools.product(*map(range, extent)):
        window = tuple(
            slice(t * rate, t * rate + (size - 1) * stride + 1, stride)
            for t, rate, size, stride in zip(tap, rates, x.shape[1:-1], strides, strict=True)
        )
        y[(slice(None), *window)] += x @ kernel[tap].T
    kept = tuple(slice(front, front + length) for front, length in zip(fronts, lengths, strict=True))
    return layer.rounded(y[(slice(None), *kept)])


def channels_last(layer: Layer, x: Array) -> Array:
    return np.moveaxis(x, 1, -1) if layer.config.get("data_format") == "channels_first" else x


def as_stored(layer: Layer, y: Array) -> Array:
    return np.moveaxis(y, -1, 1) if layer.config.get("data_format") == "channels_first" else y


def _ended(layer: Layer, y: Array) -> Array:
    """Bias and activation, the channels back where they belong; a softmax is over the last axis of that."""
    y = as_stored(layer, layer.rounded(with_bias(layer, y)))
    return activate(layer, y, layer.config.get("activation"))


def _settings(layer: Layer, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    return (
        sizes(layer.get("strides", 1), rank),
        sizes(layer.get("dilation_rate", 1), rank),
        str(layer.get("padding", "valid")),
    )


def _images(x: Array, rank: int) -> tuple[Array, tuple[int, ...]]:
    """x with all axes before (axes, channels) as one batch, and those axes."""
    front = x.shape[: x.ndim - rank - 1]
    return x.reshape(-1, *x.shape[x.ndim - rank - 1 :]), front


@elementary("Conv1D", "Conv2D", "Conv3D")
def convolution(layer: Layer, x: Array) -> Array:
    rank = int(layer.class_name[4])
    strides, rates, padding = _settings(layer, rank)
    images, front = (channels_last(layer, x), x.shape[:1]) if x.ndim == rank + 2 else _images(x, rank)
    y = convolve(layer, images, layer.needed("kernel"), strides, rates, padding, int(layer.get("groups", 1) or 1))
    y = y.reshape(*front, *y.shape[1:])
    if x.ndim != rank + 2 and layer.config.get("data_format") == "channels_first":
        raise layer.unproven("it has more than one axis of batches and the channels first")
    return _ended(layer, y)


@elementary("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def transposed_convolution(layer: Layer, x: Array) -> Array:
    return _ended(layer, _transposed(layer, channels_last(layer, x), layer.needed("kernel")))


@elementary("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise_convolution(layer: Layer, x: Array) -> Array:
    strides, rates, padding = _settings(layer, int(layer.class_name[13]))
    return _ended(layer, depthwise(layer, channels_last(layer, x), layer.needed("kernel"), strides, rates, padding))


@elementary("SeparableConv1D", "SeparableConv2D")
def separable_convolution(layer: Layer, x: Array) -> Array:
    rank = int(layer.class_name[13])
    strides, rates, padding = _settings(layer, rank)
    y = depthwise(layer, channels_last(layer, x), layer.needed("depthwise_kernel"), strides, rates, padding)
    y = convolve(layer, y, layer.needed("pointwise_kernel"), (1,) * rank, (1,) * rank, "valid")
    return _ended(layer, y)
