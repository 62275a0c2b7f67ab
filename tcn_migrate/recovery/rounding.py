"""How finely recorded values are known. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def rounding_of(values: Array) -> float:
    """The root mean square error that the rounding of some values leaves, in their unit.

    Values that are all multiples of 1, 0.1, ..., 1e-5 were rounded to that; others to float16, bfloat16 or float32,
    whichever holds all of them. A value rounded to steps of q is off by q / sqrt(12).

    Args:
        values: finite, any shape.
    """
    wide = np.asarray(values, dtype=np.float64)
    single = wide.astype(np.float32)
    steps = np.spacing(np.maximum(np.abs(single), np.finfo(np.float32).tiny)).astype(np.float64)
    with np.errstate(over="ignore"):
        half = wide.astype(np.float16)
    for decimals in range(6):
        if np.all(np.abs(wide - np.round(wide, decimals)) <= steps):
            return float(np.sqrt(np.mean(np.maximum(steps, 10.0**-decimals) ** 2) / 12))
    if np.array_equal(half.astype(np.float64), wide):
        steps = np.spacing(np.maximum(np.abs(half), np.finfo(np.float16).tiny)).astype(np.float64)
    elif np.array_equal(single.astype(np.float64), wide) and not (single.view(np.uint32) & 0xFFFF).any():
        steps = steps * 2**16
    return float(np.sqrt(np.mean(steps**2) / 12))
