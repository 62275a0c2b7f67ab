"""Convolutions, pooling, normalization and resizing.

Source: tensorflow/core/ops/nn_ops.cc and image_ops.cc for names, inputs and attributes; the kernels of the same names
in tensorflow/core/kernels, and tensorflow/core/framework/kernel_shape_util.cc for sizes and padding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.serving_graph.messages import Node
from tcn_migrate.serving_graph.values import Operation, Runner, Value, array, wholes


def _channels_first(node: Node) -> bool:
    return node.string("data_format", "NHWC").startswith("NC")


def _to_last(x: Array, node: Node) -> Array:
    return np.moveaxis(x, 1, -1) if _channels_first(node) else x


def _back(x: Array, node: Node) -> Array:
    return np.moveaxis(x, -1, 1) if _channels_first(node) else x


def _spatial(node: Node, name: str, rank: int) -> list[int]:
    """A list attribute with an entry for each axis, batch and channels too; 1 where it is left out."""
    values = node.integers(name) or [1] * (rank + 2)
    if len(values) != rank + 2 or min(values) < 1:
        raise node.odd(name)
    return values[2:] if _channels_first(node) else values[1:-1]


def _paddings(node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """How far each spatial axis is padded; `kernel` is as wide as it reaches with its dilation."""
    mode = node.string("padding")
    if mode == "VALID":
        return [(0, 0)] * len(sizes)
    if mode == "SAME":
        pairs = []
        for size, reach, stride in zip(sizes, kernel, strides, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
            pairs.append((total // 2, total - total // 2))
        return pairs
    if mode == "EXPLICIT":
        given = node.integers("explicit_paddings")
        pairs = list(zip(given[::2], given[1::2], strict=True))
        pairs = pairs[2:] if _channels_first(node) else pairs[1:-1]
        if len(pairs) == len(sizes) and all(side >= 0 for pair in pairs for side in pair):
            return pairs
    raise node.odd("padding")


def _windows(
    run: Runner, node: Node, x: Array, kernel: Sequence[int], fill: float
) -> tuple[tuple[int, ...], list[tuple[tuple[int, ...], Array]]]:
    """The sizes of the output's spatial axes, and for each place in the kernel the values that it meets.

    The values are views of the padded input, which is made once.
    """
    rank = x.ndim - 2
    strides, dilations = _spatial(node, "strides", rank), _spatial(node, "dilations", rank)
    reach = [(size - 1) * by + 1 for size, by in zip(kernel, dilations, strict=True)]
    pairs = _paddings(node, x.shape[1:-1], reach, strides)
    padded_sizes = [size + sum(pair) for size, pair in zip(x.shape[1:-1], pairs, strict=True)]
    run.budget.room((len(x), *padded_sizes, x.shape[-1]), node.name)
    run.budget.multiply(math.prod(kernel), node.name)
    padded = np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=fill) if any(map(any, pairs)) else x
    out = tuple((size - r) // s + 1 for size, r, s in zip(padded_sizes, reach, strides, strict=True))
    if min(out) < 0:
        raise node.odd("strides")
    places = []
    for place in itertools.product(*map(range, kernel)):
        index = [
            slice(at * by, at * by + (count - 1) * stride + 1 if count else at * by, stride)
            for at, by, count, stride in zip(place, dilations, out, strides, strict=True)
        ]
        places.append((place, padded[(slice(None), *index)]))
        run.budget.step(node.name)
    return out, places


def _convolution(run: Runner, node: Node, x: Value, kernel: Value) -> Array:
    """conv_ops.cc: kernel (spatial..., channels in a group, filters); there are as many groups as it takes."""
    got, weights = _to_last(array(x, node), node), array(kernel, node)
    width, filters = weights.shape[-2:]
    groups = got.shape[-1] // width
    if got.ndim != weights.ndim or groups * width != got.shape[-1] or filters % groups:
        raise node.odd("filter")
    out, places = _windows(run, node, got, weights.shape[:-2], 0)
    shape = (len(got), *out, filters)
    run.budget.room(shape, node.name)
    run.budget.multiply(math.prod(shape) * width * len(places), node.name)
    result = np.zeros(shape, got.dtype)
    each = filters // groups
    for place, values in places:
        for group in range(groups):
            some = slice(group * each, (group + 1) * each)
            result[..., some] += values[..., group * width : (group + 1) * width] @ weights[place][:, some]
    return _back(result, node)


def _depthwise(run: Runner, node: Node, x: Value, kernel: Value) -> Array:
    """depthwise_conv_op.cc: kernel (height, width, channels, multiplier); filters of one channel lie together."""
    got, weights = _to_last(array(x, node), node), array(kernel, node)
    if got.shape[-1] != weights.shape[-2]:
        raise node.odd("filter")
    out, places = _windows(run, node, got, weights.shape[:-2], 0)
    shape = (len(got), *out, *weights.shape[-2:])
    run.budget.room(shape, node.name)
    run.budget.multiply(math.prod(shape) * len(places), node.name)
    result = np.zeros(shape, got.dtype)
    for place, values in places:
        result += values[..., None] * weights[place]
    return _back(result.reshape(len(got), *out, -1), node)


def _transposed(run: Runner, node: Node, sizes: Value, kernel: Value, gradient: Value) -> Array:
    """conv_grad_input_ops.cc: the gradient of a convolution with respect to its input, of the given sizes."""
    weights, got = array(kernel, node), _to_last(array(gradient, node), node)
    shape = wholes(sizes, node)
    if len(shape) == weights.ndim - 2:  # Conv2DBackpropInput may be given the spatial sizes alone
        shape = [len(got), *shape, weights.shape[-2]]
    elif _channels_first(node):
        shape = [shape[0], *shape[2:], shape[1]]
    rank = len(shape) - 2
    strides, dilations = _spatial(node, "strides", rank), _spatial(node, "dilations", rank)
    reach = [(size - 1) * by + 1 for size, by in zip(weights.shape[:-2], dilations, strict=True)]
    pairs = _paddings(node, shape[1:-1], reach, strides)
    padded = [size + sum(pair) for size, pair in zip(shape[1:-1], pairs, strict=True)]
    width, filters = weights.shape[-2:]
    steps = zip(padded, reach, strides, strict=True)
    out = tuple((size - r) // s + 1 for size, r, s in steps)
    if got.shape != (shape[0], *out, filters) or shape[-1] != width:
        raise node.odd("out_backprop")
    run.budget.room((shape[0], *padded, width), node.name)
    run.budget.multiply(math.prod(got.shape) * width * math.prod(weights.shape[:-2]), node.name)
    result = np.zeros((shape[0], *padded, width), got.dtype)
    for place in itertools.product(*map(range, weights.shape[:-2])):
        run.budget.step(node.name)
        index = [
            slice(at * by, at * by + (count - 1) * stride + 1, stride)
            for at, by, count, stride in zip(place, dilations, out, strides, strict=True)
        ]
        result[(slice(None), *index)] += got @ weights[place].T
    inside = [slice(before, before + size) for (before, _), size in zip(pairs, shape[1:-1], strict=True)]
    return _back(result[(slice(None), *inside)], node)


def _pooling(combine: Callable[[Array, Array], Array], fill: float, *, mean: bool) -> Operation:
    """maxpooling_op.cc and avgpooling_op.cc: padding takes no part in a maximum, and is not counted in a mean."""

    def operation(run: Runner, node: Node, x: Value) -> Array:
        got = _to_last(array(x, node), node)
        kernel = _spatial(node, "ksize", got.ndim - 2)
        out, places = _windows(run, node, got, kernel, fill)
        run.budget.multiply(len(got) * math.prod(out) * got.shape[-1] * len(places), node.name)
        result = places[0][1].copy()
        for _, values in places[1:]:
            result = combine(result, values)
        if mean:
            _, ones = _windows(run, node, np.ones((1, *got.shape[1:-1], 1), got.dtype), kernel, 0)
            result = result / sum(values for _, values in ones)
        return _back(result, node)

    return operation


def _bias(run: Runner, node: Node, x: Value, bias: Value) -> Array:
    return _back(_to_last(array(x, node), node) + array(bias, node), node)


def _batch_norm(
    run: Runner, node: Node, x: Value, scale: Value, offset: Value, mean: Value, variance: Value
) -> dict[str, Value | list[Value]]:
    """fused_batch_norm_op.cc; with `is_training`, whose default is true, the statistics are the batch's."""
    got = _to_last(array(x, node), node)
    center, spread = array(mean, node), array(variance, node)
    if node.attributes.get("is_training", True):
        axes = tuple(range(got.ndim - 1))
        center, spread = got.mean(axes), got.var(axes)
    epsilon = node.number("epsilon", 1e-4)
    result = (got - center) / np.sqrt(spread + epsilon) * array(scale, node) + array(offset, node)
    return {"y": _back(result, node)}


def _resize(run: Runner, node: Node, x: Value, size: Value) -> Array:
    """resize_nearest_neighbor_op.cc, resize_bilinear_op.cc, image_resizer_state.h."""
    got = array(x, node)
    for axis, target in zip((1, 2), wholes(size, node), strict=True):
        run.budget.room((*got.shape[:axis], target, *got.shape[axis + 1 :]), node.name)
        got = _resized(got, axis, target, node)
    return got


def _resized(x: Array, axis: int, target: int, node: Node) -> Array:
    corners, halves, size = node.flag("align_corners"), node.flag("half_pixel_centers"), x.shape[axis]
    if corners and target > 1:
        scale = np.float32(size - 1) / np.float32(target - 1)
    else:
        scale = np.float32(size) / np.float32(target)
    places = np.arange(target, dtype=np.float32)
    if node.op == "ResizeNearestNeighbor":
        at = (places + np.float32(0.5)) * scale if halves else places * scale
        rounded = np.floor(at + np.float32(0.5)) if corners else np.floor(at)
        return np.asarray(np.take(x, np.clip(rounded.astype(int), 0, size - 1), axis))
    at = (places + np.float32(0.5)) * scale - np.float32(0.5) if halves else places * scale
    lower = np.floor(at)
    shape = [1] * x.ndim
    shape[axis] = target
    part = (at - lower).astype(x.dtype).reshape(shape)
    below = np.take(x, np.clip(lower.astype(int), 0, size - 1), axis)
    above = np.take(x, np.clip(np.ceil(at).astype(int), 0, size - 1), axis)
    return np.asarray(below + (above - below) * part)


def _depth_to_space(run: Runner, node: Node, x: Value) -> Array:
    got, by = _to_last(array(x, node), node), node.integer("block_size")
    batch, height, width, depth = got.shape
    cut = got.reshape(batch, height, width, by, by, depth // (by * by))
    return _back(cut.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * by, width * by, -1), node)


def _space_to_depth(run: Runner, node: Node, x: Value) -> Array:
    got, by = _to_last(array(x, node), node), node.integer("block_size")
    batch, height, width, depth = got.shape
    cut = got.reshape(batch, height // by, by, width // by, by, depth)
    return _back(cut.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // by, width // by, -1), node)


NEURAL: Mapping[str, Operation] = {
    "AvgPool": _pooling(np.add, 0, mean=True),
    "AvgPool3D": _pooling(np.add, 0, mean=True),
    "BiasAdd": _bias,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed,
    "Conv3D": _convolution,
    "Conv3DBackpropInputV2": _transposed,
    "DepthToSpace": _depth_to_space,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "MaxPool": _pooling(np.maximum, -math.inf, mean=False),
    "MaxPool3D": _pooling(np.maximum, -math.inf, mean=False),
    "ResizeBilinear": _resize,
    "ResizeNearestNeighbor": _resize,
    "SpaceToDepth": _space_to_depth,
}
