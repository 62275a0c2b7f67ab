"""Layers that merge several tensors.

Source: keras/src/layers/merging (2.15 and 3.15).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.normalization import l2_normalized
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import UNCLEAR, Tensor, floating


def _together(layer: Layer, tensors: Sequence[Tensor]) -> Any:
    """The mask of a merge: in Keras 2 all masks that there are, ANDed.

    Keras 3.0 drops them, later releases OR them where all inputs have one.
    """
    masks = [x.mask for x in tensors if x.mask is not None]
    if not masks:
        return None
    if not layer.keras_2 or any(mask is UNCLEAR for mask in masks):
        return UNCLEAR
    return reduce(np.logical_and, (np.asarray(mask, bool) for mask in masks))


def _aligned(tensors: Sequence[Tensor]) -> list[Array]:
    """Tensors of different ranks get axes of 1 behind the batch."""
    rank = max(x.values.ndim for x in tensors)
    return [x.values.reshape(x.values.shape[:1] + (1,) * (rank - x.values.ndim) + x.values.shape[1:]) for x in tensors]


_FUNCTIONS: dict[str, Any] = {
    "Add": np.add,
    "Average": np.add,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Multiply": np.multiply,
    "Subtract": np.subtract,
}


@computes(*_FUNCTIONS)
def merge(layer: Layer, arguments: Arguments) -> Tensor:
    tensors = arguments.tensors(layer)
    if any(x.mask is not None for x in tensors) and not layer.keras_2 and layer.class_name in _CHANGED_BY_MASKS:
        raise layer.unproven("releases of Keras 3 differ in what it computes under a mask")
    values = _aligned(tensors)
    y = values[0]
    for other in values[1:]:
        y = layer.rounded(np.asarray(_FUNCTIONS[layer.class_name](y, other)))
    if layer.class_name == "Average":
        y = y / len(values)
    return Tensor(y, _together(layer, tensors))


_CHANGED_BY_MASKS = frozenset({"Maximum", "Minimum", "Multiply"})


@computes("Concatenate")
def concatenate(layer: Layer, arguments: Arguments) -> Tensor:
    """Its mask is joined as its inputs are, and then asks all features."""
    tensors = arguments.tensors(layer)
    axis = int(layer.get("axis", -1))
    y = np.concatenate([x.values for x in tensors], axis=axis)
    if all(x.mask is None for x in tensors):
        return Tensor(y)
    if not layer.keras_2 or any(x.mask is UNCLEAR for x in tensors):
        return Tensor(y, UNCLEAR)
    columns = []
    for x in tensors:
        if x.mask is None:
            columns.append(np.ones(x.values.shape, bool))
        else:
            mask = np.asarray(x.mask, bool)
            columns.append(mask[..., None] if mask.ndim < x.values.ndim else mask)
    try:
        return Tensor(y, np.concatenate(columns, axis=axis).all(axis=-1))
    except ValueError:  # the widths of the others differ
        wide = [np.broadcast_to(one, x.values.shape) for one, x in zip(columns, tensors, strict=True)]
        return Tensor(y, np.concatenate(wide, axis=axis).all(axis=-1))


@computes("Dot")
def dot(layer: Layer, arguments: Arguments) -> Tensor:
    """`keras.backend.batch_dot`. It ends masks."""
    first, second = (floating(x.values) for x in arguments.tensors(layer))
    axes = layer.config["axes"]
    pair = list(axes) if isinstance(axes, list | tuple) else [axes, axes]
    pair = [int(axis) % x.ndim for axis, x in zip(pair, (first, second), strict=True)]
    if layer.config.get("normalize"):
        first, second = (l2_normalized(layer, x, (a,)) for x, a in zip((first, second), pair, strict=True))
    letters = "bcdefghijklmnop"
    one = ["a", *letters[: first.ndim - 1]]
    two = ["a", *letters[first.ndim - 1 : first.ndim + second.ndim - 2]]
    two[pair[1]] = one[pair[0]] = "z"
    left = [name for name in one if name != "z"] + [name for name in two[1:] if name != "z"]
    y = layer.einsum(f"{''.join(one)},{''.join(two)}->{''.join(left)}", first, second)
    return Tensor(y[:, None] if y.ndim == 1 else y)
