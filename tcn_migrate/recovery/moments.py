"""Mean and variance of values that come in pieces, merged in float64. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of some values, one entry a channel, in float64."""

    count: int
    mean: Array
    deviations: Array

    @staticmethod
    def nothing(channels: int) -> Moments:
        """The moments of no values."""
        return Moments(0, np.zeros(channels), np.zeros(channels))

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of values together.

        Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979),
        equation 2.1: no difference of large sums is taken, so a mean of 1000 with a deviation of 0.1 survives.
        """
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * (other.count / count),
            self.deviations + other.deviations + apart**2 * (self.count * (other.count / count)),
        )

    @property
    def variance(self) -> Array:
        """Population variance: Keras's batch norm on (batch, time, channels) never used Bessel's correction."""
        return np.maximum(self.deviations, 0.0) / max(self.count, 1)

    def disagreement(self, whole: Moments) -> float:
        """How far these values are from others: the largest difference of a channel.

        Of the means in deviations of `whole`, or of the deviations as a part of its. Channels that do not vary at all
        are left out.
        """
        deviation = np.sqrt(whole.variance)
        varies = deviation > 1e-12 + 1e-6 * np.abs(whole.mean)
        if not varies.any() or not self.count:
            return 0.0
        means = np.abs(self.mean - whole.mean)[varies] / deviation[varies]
        deviations = np.abs(np.sqrt(self.variance)[varies] / deviation[varies] - 1)
        return float(max(means.max(), deviations.max()))
