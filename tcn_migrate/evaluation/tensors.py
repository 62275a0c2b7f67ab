"""Tensors with masks, and arithmetic in float64 that can imitate the rounding of a narrower type.

The tolerance of a comparison is derived and not chosen: a model is evaluated once as it is, and again with random
rounding errors wherever float32 (or float16) rounds. What the outputs then differ by is what rounding explains. This is
Monte Carlo arithmetic (Parker, Pierce and Eggert, "Monte Carlo arithmetic: how to gamble with floating point and win",
Computing in Science and Engineering 2 (4), 2000). It follows errors through cancellation, recurrence and normalization,
where a bound of the absolute errors grows far beyond what is ever seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array

UNITS = {
    "float16": 2.0**-11,
    "mixed_float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "mixed_bfloat16": 2.0**-8,
    "float64": 2.0**-50,  # the evaluation itself is rounded in float64, in another order of the terms
}
"""The unit roundoff of a layer's dtype policy."""
SINGLE = 2.0**-24
LANES = 16
"""Terms of a sum that a processor adds side by side, at least; a sum of n terms is a chain of n / LANES additions."""
FUNCTION = 4.0
"""Units in which a library's exp, tanh, erf or power may be off (Eigen's rational approximations: up to 4)."""

MOST_PRODUCTS = 1 << 36
"""Multiplications of one evaluation, at most: four times those of VGG16 on one image."""


@dataclass(frozen=True)
class Tensor:
    """A value of a model.

    Attributes:
        values: float64, or integers, booleans, texts.
        mask: what Keras keeps in `_keras_mask`, or None. `UNCLEAR` if releases differ in it.
    """

    values: Array
    mask: Any = None


class Unproven(Exception):
    """What is not computed here, and why: `layer` and `class_name` say where."""

    def __init__(self, reason: str, layer: str = "", class_name: str = "") -> None:
        super().__init__(reason)
        self.reason, self.layer, self.class_name = reason, layer, class_name


class Unclear:
    """A mask in which releases differ; a layer that uses it is not proven."""


UNCLEAR = Unclear()


class Arithmetic:
    """Arithmetic of one evaluation.

    Args:
        noise: draws the rounding errors; None for the evaluation without any.
    """

    def __init__(self, noise: np.random.Generator | None = None) -> None:
        self.noise = noise
        self.products = 0

    def count(self, products: int) -> None:
        """Counts multiplications.

        Raises:
            Unproven: of a model that takes too long.
        """
        self.products += products
        if self.products > MOST_PRODUCTS:
            raise Unproven("the model takes too many multiplications to be computed a second time")

    def rounded(self, values: Array, unit: float, times: float = 1.0) -> Array:
        """The values with a relative error of this size in each, at random.

        Args:
            values: anything; only float64 is ever rounded.
            unit: the unit roundoff of the type that the layer computes in.
            times: how many such errors the values have.
        """
        if self.noise is None or values.dtype != np.float64 or not values.size:
            return values
        errors = np.asarray(self.noise.random(values.shape, np.float32))
        errors -= np.float32(0.5)
        errors *= np.float32(unit * times * math.sqrt(12))  # of deviation `unit * times`
        with np.errstate(invalid="ignore"):  # of infinite values
            return np.asarray(values + values * errors)

    def terms(self, values: Array, unit: float, count: int) -> Array:
        """The terms of a sum of `count` terms, with the errors that summing them makes.

        A chain of m additions of terms of random signs has m (m + 1) / 2 rounding errors of one term's size squared;
        to err by the same, each of m terms errs by sqrt((m + 1) / 2).
        """
        return self.rounded(values, unit, math.sqrt(1 + count / LANES / 2))


def floating(values: Any) -> Array:
    """Values in float64."""
    return np.asarray(values, np.float64)
