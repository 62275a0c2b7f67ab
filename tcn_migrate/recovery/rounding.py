"""How finely recorded values are known. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def steps_of(values: Array) -> Array:
    """The distance from each value to the next one that its rounding allows.

    Values that are all multiples of 1, 0.1, ..., 1e-5 were rounded to that; others to float16, bfloat16 or float32,
    whichever holds all of them, since no model predicts in more.

    Args:
        values: finite, any shape.

    Returns:
        The distances, of the same shape, float64.
    """
    largest = float(np.finfo(np.float32).max)
    wide = np.clip(np.asarray(values, dtype=np.float64), -largest, largest)
    with np.errstate(over="ignore"):
        single, half = wide.astype(np.float32), wide.astype(np.float16)
    steps: Array = _spacing(single)
    for decimals in range(6):
        if np.all(np.abs(wide - np.round(wide, decimals)) <= steps):
            return np.maximum(steps, 10.0**-decimals)
    if np.array_equal(half.astype(np.float64), wide):
        return np.spacing(np.maximum(np.abs(half), np.finfo(np.float16).tiny)).astype(np.float64)
    if np.array_equal(single.astype(np.float64), wide) and not (single.view(np.uint32) & 0xFFFF).any():
        return steps * 2**16
    return steps


def rounding_of(values: Array) -> float:
    """The root mean square error that the rounding of some values leaves, in their unit: steps of q leave q / sqrt(12).

    Args:
        values: finite, any shape.
    """
    return float(np.sqrt(np.mean(steps_of(values) ** 2) / 12))


def is_single(values: Array) -> bool:
    """Whether values are known as finely as float32 holds them."""
    return bool(np.array_equal(steps_of(values), _spacing(np.asarray(values).astype(np.float32))))


def _spacing(values: Array) -> Array:
    """The distance from each float32 to the next, float64."""
    sizes = np.clip(np.abs(values), np.finfo(np.float32).tiny, np.finfo(np.float32).max / 2)
    spacing: Array = np.spacing(sizes).astype(np.float64)
    return spacing
