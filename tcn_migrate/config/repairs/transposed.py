"""Transposed convolutions with a dilation rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.repairs.change import Change, Transform, new_layer, with_config
from tcn_migrate.errors import SettingError, quoted


def dilated_transposed_convolution(entry: Json) -> Change | None:
    """A dilated Conv1DTranspose or Conv2DTranspose as an ordinary convolution over an input with zeros around it.

    The transpose of a convolution with stride 1 is a convolution: over the input with `(size - 1) * dilation_rate`
    zeros on both sides ("valid"), or with half of them on each side, the larger half in front ("same"); with the kernel
    read backwards and its two axes of channels swapped. Conv3DTranspose ignores its dilation rate.

    Since: Keras 2.3 on TensorFlow 2.3 to 2.15; Keras 3 builds the layer and cannot compute it on TensorFlow.
    Issue: "Current CPU implementations do not yet support dilation rates larger than 1"; measured with TensorFlow 2.15
        for both paddings, sizes 1 to 4, rates 2 and 3, both data formats: agrees to 1e-6.

    Raises:
        SettingError: settings with which TensorFlow computes nothing: a stride as well, or two dilation rates.
    """
    rank = {"Conv1DTranspose": 1, "Conv2DTranspose": 2, "Conv3DTranspose": 3}.get(entry["class_name"])
    config = entry["config"]
    if rank is None:
        return None
    rates = _each(config.get("dilation_rate", 1), rank)
    if set(rates) == {1}:
        return None
    if rank == 3:
        return Change(with_config(entry, dilation_rate=[1] * rank), "Keras 2 ignores the dilation rate of this layer")
    if len(set(rates)) > 1 or set(_each(config.get("strides", 1), rank)) != {1}:
        raise SettingError(
            "it has strides and a dilation rate, or two dilation rates, with which TensorFlow computes nothing",
            address=f"layer {quoted(config.get('name'))}",
        )
    reach = [(size - 1) * rate for size, rate in zip(_each(config.get("kernel_size"), rank), rates, strict=True)]
    same = config.get("padding") == "same"
    around = [[r - r // 2, r // 2] if same else [r, r] for r in reach]
    kept = {key: config[key] for key in ("dtype", "data_format") if config.get(key) is not None}
    padding = around[0] if rank == 1 else around
    front = new_layer(f"ZeroPadding{rank}D", f"{config.get('name', 'transpose')}_padding", padding=padding, **kept)
    made = {**with_config(entry, "output_padding", padding="valid", groups=1), "class_name": f"Conv{rank}D"}
    backwards = (slice(None, None, -1),) * rank

    def apply(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(np.swapaxes(values[backwards], -1, -2))

    return Change(
        made,
        "the transpose of a dilated convolution is a convolution with the kernel read backwards, its channels swapped",
        before=(front,) if any(reach) else (),
        transforms={("kernel",): Transform("read backwards, channels swapped", apply, _swapped, reorders=True)},
    )


def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2])


def _each(value: Any, rank: int) -> list[int]:
    """A size for each axis; Keras takes one number for all."""
    sizes = value if isinstance(value, list) else [value] * rank
    if len(sizes) != rank or not all(isinstance(size, int) and 1 <= size < 1 << 20 for size in sizes):
        raise SettingError(
            "a kernel size, stride or dilation rate is not of positive whole numbers", found=quoted(value)
        )
    return sizes
