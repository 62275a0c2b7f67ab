"""TensorFlow's convolutions, pools and norms with given statistics in operations of Keras 3; see `functions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import is_tensor
from tcn_migrate.config.operators.calls import Call, Draw, Function, Untranslatable, entering, is_number

IMAGES: dict[str, Function] = {}


def _function(names: str, parameters: str) -> Callable[[Draw], Draw]:
    return entering(IMAGES, names, parameters)


# ---- convolutions


@_function("conv1d conv1d_v2", "input filters stride padding data_format dilations use_cudnn_on_gpu")
def _conv1d(call: Call) -> Json:
    return _convolution(call, "nn.Conv", "stride", 1)


@_function("conv2d conv2d_v2", "input filters strides padding data_format dilations use_cudnn_on_gpu")
def _conv2d(call: Call) -> Json:
    return _convolution(call, "nn.Conv", "strides", 2)


@_function("conv3d conv3d_v2", "input filters strides padding data_format dilations")
def _conv3d(call: Call) -> Json:
    return _convolution(call, "nn.Conv", "strides", 3)


@_function("depthwise_conv2d depthwise_conv2d_v2", "input filters strides padding data_format dilations")
def _depthwise_conv2d(call: Call) -> Json:
    return _convolution(call, "nn.DepthwiseConv", "strides", 2)


def _convolution(call: Call, kind: str, stride: str, rank: int) -> Json:
    """Strides and dilation rates are one number, one for each axis between batch and channels, or for all axes."""
    call.only("data_format", "NWC", "NHWC", "NDHWC")
    call.only("padding", "VALID", "SAME")
    if not call.given("padding"):
        raise Untranslatable("its padding is not in the file")
    extents: list[Any] = [_extents(call, name, rank) for name in (stride, "dilations")]
    if kind == "nn.DepthwiseConv":  # it takes no lists, as which a config holds tuples; TensorFlow no two strides
        if any(len(set(sizes)) > 1 for sizes in extents):
            raise Untranslatable("its strides, or its dilation rates, differ from axis to axis")
        extents = [sizes[0] for sizes in extents]
    settings: Json = {"strides": extents[0], "padding": str(call.values["padding"]).lower()}
    settings |= {"data_format": "channels_last", "dilation_rate": extents[1]}
    return call.last(kind, call.tensor("input"), call.tensor("filters"), **settings)


def _extents(call: Call, name: str, rank: int) -> list[int]:
    sizes = call.wholes(name) if call.given(name) else [1]
    if len(sizes) == rank + 2 and {sizes[0], sizes[-1]} == {1}:
        sizes = sizes[1:-1]
    if len(sizes) not in (1, rank) or min(sizes) < 1:
        raise Untranslatable(f"its argument {name} is not known")
    return sizes * rank if len(sizes) == 1 else sizes


# ---- sizes and order of pixels


@_function("image.resize", "images size method preserve_aspect_ratio antialias")
def _resize(call: Call) -> Json:
    """Of TensorFlow 2: pixels have their centres at halves. That of TensorFlow 1 was another (`resize_images`)."""
    call.only("preserve_aspect_ratio", False)
    call.only("antialias", False)
    call.only("method", "bilinear", "nearest", "bicubic")
    size = call.wholes("size")
    if len(size) != 2 or min(size) < 1:
        raise Untranslatable("its size is no height and width that stand in the file")
    settings: Json = {"interpolation": call.values.get("method", "bilinear"), "data_format": "channels_last"}
    return call.drawing.layer("Resizing", call.tensor("images"), call.name, height=size[0], width=size[1], **settings)


@_function("image.flip_left_right", "image")
def _flip_left_right(call: Call) -> Json:
    return call.last("numpy.Flip", call.tensor("image"), axis=-2)


@_function("image.flip_up_down", "image")
def _flip_up_down(call: Call) -> Json:
    return call.last("numpy.Flip", call.tensor("image"), axis=-3)


# ---- pools


def _pooling(kind: str, rank: int | None) -> Draw:
    return lambda call: _pool(call, kind, rank)


for _kind in ("avg", "max"):
    for _suffix, _rank in (("1d", 1), ("2d", 2), ("3d", 3), ("", None), ("_v2", None)):
        IMAGES[f"{_kind}_pool{_suffix}"] = Function(
            ("input", "ksize", "strides", "padding", "data_format"),
            _pooling("nn.AveragePool" if _kind == "avg" else "nn.MaxPool", _rank),
        )


def _pool(call: Call, kind: str, rank: int | None) -> Json:
    """Sizes are one number, of the axes between batch and channels, or of all of them."""
    call.only("data_format", "NWC", "NHWC", "NDHWC")
    call.only("padding", "VALID", "SAME")
    both = [call.wholes(name) for name in ("ksize", "strides")]
    if not call.given("padding") or any(min(sizes, default=0) < 1 for sizes in both):
        raise Untranslatable("its sizes or its padding are not in the file")
    whole = [sizes for sizes in both if len(sizes) > 3 or (len(sizes) == 3 and rank == 1)]
    if any({sizes[0], sizes[-1]} != {1} for sizes in whole):
        raise Untranslatable("it pools over the batch or over channels")
    inner = [sizes[1:-1] if any(sizes is one for one in whole) else sizes for sizes in both]
    known = rank or max(map(len, inner))
    if any(len(sizes) not in (1, known) for sizes in inner) or (rank is None and not whole and known == 1):
        raise Untranslatable("over how many axes it pools is not in the file")
    size, strides = (sizes * known if len(sizes) == 1 else sizes for sizes in inner)
    padding = str(call.values["padding"]).lower()
    settings: Json = {"pool_size": size, "strides": strides, "padding": padding, "data_format": "channels_last"}
    return call.last(kind, call.tensor("input"), **settings)


# ---- norms with given statistics


@_function("batch_normalization", "x mean variance offset scale variance_epsilon")
def _batch_normalization(call: Call) -> Json:
    return _normalized(call, "variance_epsilon")


@_function("fused_batch_norm", "x scale offset mean variance epsilon data_format is_training exponential_avg_factor")
def _fused_batch_norm(call: Call) -> Json:
    call.only("data_format", "NHWC", "NDHWC")
    if call.flag("is_training") or not call.given("is_training"):
        raise Untranslatable("it takes the statistics of the batch")
    return _normalized(call, "epsilon")


def _normalized(call: Call, epsilon: str) -> Json:
    """`(x - mean) * scale / sqrt(variance + epsilon) + offset`, in the order of tf.nn.batch_normalization."""
    small = call.number(epsilon, 1e-3)
    given = {name: call.values.get(name) for name in ("mean", "variance", "offset", "scale")}
    if any(is_tensor(value) for value in given.values()):
        if not is_tensor(given["variance"]):
            raise Untranslatable("some of its statistics are computed, and some stand in the file")
        factor = call.step("math.Rsqrt", call.step("numpy.Add", call.tensor("variance"), small))
        if given["scale"] is not None:
            factor = call.step("numpy.Multiply", factor, call.tensor("scale"))
        shifted = call.step("numpy.Subtract", call.tensor("x"), call.tensor("mean"))
        scaled = call.step("numpy.Multiply", shifted, factor)
        return call.step("numpy.Add", scaled, call.tensor("offset")) if given["offset"] is not None else scaled
    mean, variance, offset, scale = (_array(call, name) for name in ("mean", "variance", "offset", "scale"))
    factor = 1 / np.sqrt(variance + np.float32(small)) * scale
    scaled = call.step("numpy.Multiply", call.tensor("x"), call.operand(_plain(factor)))
    return call.last("numpy.Add", scaled, call.operand(_plain(offset - mean * factor)))


def _array(call: Call, name: str) -> Any:
    """An argument that is a number or a list of them; where it may be left out, what changes nothing."""
    value = call.values.get(name, {"offset": 0.0, "scale": 1.0}.get(name))
    if not is_number(value) and not isinstance(value, list):
        raise Untranslatable(f"its argument {name} does not stand in the file")
    call.operand(value)
    return np.asarray(value, "float32")


def _plain(values: Any) -> Any:
    return np.asarray(values, "float64").tolist()
