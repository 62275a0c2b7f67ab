"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import (
    ANY,
    Shape,
    Variable,
    activation_part,
    bias,
    extent,
    layer,
    size_of,
)
from tcn_migrate.config.catalogue.settings import BIAS, CONVOLUTION, KERNEL
from tcn_migrate.config.catalogue.shapes import of_one, times, whole, windows

_DEPTHWISE = "depth_multiplier depthwise_initializer depthwise_regularizer depthwise_constraint"
_POINTWISE = "pointwise_initializer pointwise_regularizer pointwise_constraint"
_WINDOW = "kernel_size strides padding data_format dilation_rate activation"
_UNUSED_KERNEL = dict.fromkeys(KERNEL.split(), ANY)
_NO_LOCAL = "Keras 3 has no locally connected layers"
_FIRST_KERAS = "keras below 2.2 alone can read it"

Variables = Callable[[Json], Iterable[Variable]]


def _convolution(rank: int) -> Variables:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        return (Variable("kernel", (*extent(config.get("kernel_size"), rank), None, filters)), *bias(config, filters))

    return own


def _transposed(rank: int) -> Variables:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        return (Variable("kernel", (*extent(config.get("kernel_size"), rank), filters, None)), *bias(config, filters))

    return own


def _depthwise(rank: int) -> Variables:
    def own(config: Json) -> Iterable[Variable]:
        shape = (*extent(config.get("kernel_size"), rank), None, size_of(config.get("depth_multiplier", 1)))
        return (Variable("kernel", shape, aliases=("depthwise_kernel",)), *bias(config, None))

    return own


def _separable(rank: int) -> Variables:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        window = extent(config.get("kernel_size"), rank)
        return (
            Variable("depthwise_kernel", (*window, None, size_of(config.get("depth_multiplier", 1)))),
            Variable("pointwise_kernel", (*(1,) * rank, None, filters)),
            *bias(config, filters),
        )

    return own


@of_one
def _multiplied(config: Json, shape: Shape) -> Shape:
    channels = times(shape[-1], whole(config.get("depth_multiplier", 1)) or 1)
    return (shape[0], *[None] * (len(shape) - 2), channels)


_WINDOWS: dict[str, Any] = {"output_shape": windows, "parts": activation_part}

ROWS = (
    *(layer(f"Conv{rank}D", f"{CONVOLUTION} groups", variables=_convolution(rank), **_WINDOWS) for rank in (1, 2, 3)),
    *(
        layer(
            f"Conv{rank}DTranspose",
            f"{CONVOLUTION} output_padding",
            younger={"output_padding": None},
            keras_2_settings={"groups": 1},
            variables=_transposed(rank),
            **_WINDOWS,
        )
        for rank in (1, 2, 3)
    ),
    *(
        layer(
            f"DepthwiseConv{rank}D",
            f"{_WINDOW} {_DEPTHWISE} {BIAS}",
            keras_2_settings={"groups": 1, "filters": None, **_UNUSED_KERNEL},
            variables=_depthwise(rank),
            parts=activation_part,
            output_shape=_multiplied,
        )
        for rank in (1, 2)
    ),
    *(
        layer(
            f"SeparableConv{rank}D",
            f"filters {_WINDOW} {_DEPTHWISE} {_POINTWISE} {BIAS}",
            keras_2_settings={"groups": 1, **_UNUSED_KERNEL},
            variables=_separable(rank),
            **_WINDOWS,
        )
        for rank in (1, 2)
    ),
    layer("LocallyConnected1D", None, gone=_NO_LOCAL),
    layer("LocallyConnected2D", None, gone=_NO_LOCAL),
    layer("AtrousConvolution1D", None, gone=_FIRST_KERAS),
    layer("AtrousConvolution2D", None, gone=_FIRST_KERAS),
)
