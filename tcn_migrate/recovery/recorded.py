"""Recorded predictions as a fit takes them: in three parts, each output in its own unit, probabilities as logarithms.

A third part is needed because the part that tells the best of many points is no fair judge of it: with 38 samples held
back, an error of 5.4e-2 was measured as 9.0e-3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tcn_migrate.recovery.least_squares import Problem, root_mean_square
from tcn_migrate.recovery.response import Response
from tcn_migrate.recovery.rounding import is_single, rounding_of

Array = np.ndarray[Any, Any]
Scale = Literal["linear", "softmax", "sigmoid"]
"""What an output is the result of, which says in what it is fitted."""

CHOOSING = 0.1
"""Part of the recorded samples that chooses the best of the points on the way, and is not fitted to before that."""

VERDICT = 0.1
"""Part of the recorded samples that neither the fit nor the choice sees, and that the verdict rests on."""

TRIMMED = 0.01
"""Part of the fitted samples, those furthest off, that does not count in a score.

A channel that one of them alone opens stays unknown, and is no reason to go on."""

ROWS = 12
"""Rows of the Jacobian a parameter, drawn anew in each step: where a sample has many outputs, some of them will do."""

TINIEST = 1e-30
"""Probabilities below this count as this: float32 ends at 1e-38."""

RESOLUTION = 2.0**-24
"""Half the distance from 1 to the next float32: what rounding does to a number, relative to it."""


@dataclass(frozen=True)
class Output:
    """One output of a model, or one feature of an output that has several.

    Attributes:
        name: of the output, and the feature's number if there are several.
        numbers: which of a sample's numbers belong to it, all steps of a sequence.
        deviation: what errors of it are measured in: its standard deviation over all that was recorded.
        rounding: what the rounding of its recorded values leaves open, in that unit.
        resolution: what float32 cannot tell apart around these values, in that unit.
        constant: it does not vary, so an error of it says nothing.
    """

    name: str
    numbers: Array
    deviation: float
    rounding: float
    resolution: float
    constant: bool


def outputs_of(recorded: Sequence[Array], names: Sequence[str]) -> list[Output]:
    """The outputs and features of a recording.

    Args:
        recorded: one array a model output, (samples, ..., features) or (samples,).
        names: of the model's outputs.
    """
    found: list[Output] = []
    start = 0
    for array, name in zip(recorded, names, strict=True):
        features = array.shape[-1] if array.ndim > 1 else 1
        values = np.asarray(array, dtype=np.float64).reshape(len(array), -1, features)
        whole = _deviation(values)
        for feature in range(features):
            numbers = start + feature + features * np.arange(values.shape[1])
            some = values[:, :, feature]
            constant = bool(np.ptp(some) == 0)
            unit = max(_deviation(some), 1e-6 * whole) if not constant else whole
            single = np.spacing(np.abs(some).astype(np.float32)).astype(np.float64)
            found.append(
                Output(
                    name if features == 1 else f"{name}[{feature}]",
                    numbers,
                    unit,
                    rounding_of(array[..., feature] if array.ndim > 1 else array) / unit if not constant else 0.0,
                    float(np.sqrt(np.mean(single**2) / 12)) / unit,
                    constant,
                )
            )
        start += values.shape[1] * features
    return found


def _deviation(values: Array) -> float:
    """The standard deviation; the size of what is constant, and 1 for zeros."""
    varies = float(np.std(values)) if np.ptp(values) > 0 else 0.0
    return varies or float(np.abs(values).max()) or 1.0


class Recorded:
    """Recorded outputs to fit to, in three parts.

    Outputs of a softmax are fitted as logarithms and those of a sigmoid as logits if they were recorded in float32 or
    better: near 0 and 1 they say as much about the inner values as elsewhere, and only there.

    Args:
        response: the outputs as a function of the parameters.
        recorded: what was recorded, one array a model output, (samples, ...).
        names: of the model's outputs.
        scales: what each output is the result of.
        seed: of the parts, and of the rows drawn.

    Attributes:
        fitted, choosing, verdict: the samples of each part.
        values: what was recorded, (samples, numbers), float64.
        outputs: what the numbers belong to.
        weight: what each residual is multiplied by, (samples, numbers).
        given, names, scales: as they came.
    """

    def __init__(
        self,
        response: Response,
        recorded: Sequence[Array],
        names: Sequence[str],
        scales: Sequence[Scale],
        *,
        seed: int = 0,
    ) -> None:
        self.response = response
        self.random = np.random.default_rng(seed)
        self.values = np.concatenate([np.asarray(y, dtype=np.float64).reshape(len(y), -1) for y in recorded], axis=1)
        self.outputs = outputs_of(recorded, names)
        order = self.random.permutation(len(self.values))
        fitted, choosing = parts(len(order))[:2]
        self.fitted, self.choosing, self.verdict = (
            np.sort(part) for part in np.split(order, [fitted, fitted + choosing])
        )
        self.given, self.names, self.scales = list(recorded), list(names), list(scales)
        self._kind = np.concatenate(
            [np.full(y[0].size, _link(y, scale)) for y, scale in zip(recorded, scales, strict=True)]
        )
        self._wanted = self.linked(self.values)
        self.weight = self._weights()

    def linked(self, values: Array, numbers: Array | slice = slice(None)) -> Array:
        """Outputs as they are fitted: themselves, logarithms or logits."""
        kind = self._kind[numbers]
        if not kind.any():
            return values
        clipped = np.clip(values, TINIEST, None)
        logarithm = np.log(clipped)
        logit = logarithm - np.log(np.clip(1 - values, RESOLUTION, None))
        return np.where(kind == 2, logit, np.where(kind == 1, logarithm, values))

    def _slope(self, values: Array, numbers: Array | slice = slice(None)) -> Array:
        """The derivative of `linked`."""
        kind = self._kind[numbers]
        if not kind.any():
            return np.ones_like(values)
        of_logarithm = np.where(values > TINIEST, 1 / np.clip(values, TINIEST, None), 0)
        of_logit = np.where(1 - values > RESOLUTION, of_logarithm + 1 / np.clip(1 - values, RESOLUTION, None), 0)
        return np.where(kind == 2, of_logit, np.where(kind == 1, of_logarithm, 1))

    def _weights(self) -> Array:
        """What each residual is multiplied by, (samples, numbers): 1 over its unit, less where it is but rounding."""
        unit = np.ones(self.values.shape[1])
        for output in self.outputs:
            linear = self._kind[output.numbers[0]] == 0
            unit[output.numbers] = output.deviation if linear else _deviation(self._wanted[:, output.numbers])
        spacing = np.spacing(np.abs(self.values).astype(np.float32)).astype(np.float64)
        noise = spacing / 2 * self._slope(self.values) / unit
        floor = 1e-6
        share = np.where(self._kind == 2, floor / np.hypot(floor, noise), 1.0)
        ends = (self._kind != 0) & ((self.values <= TINIEST) | ((self._kind == 2) & (self.values >= 1 - RESOLUTION)))
        weights: Array = np.where(ends, 0.0, share) / unit
        return weights

    def trimmed(self, residuals: Array, choosing: Array) -> float:
        """The larger error of both parts, without the few fitted samples that are furthest off.

        Args:
            residuals: of the fitted samples, flat.
            choosing: of those that choose, flat.
        """
        by_sample = np.sort(np.mean(residuals.reshape(-1, self.values.shape[1]) ** 2, axis=1))
        kept = by_sample[: len(by_sample) - int(TRIMMED * len(by_sample))]
        return max(float(np.sqrt(np.mean(kept))), root_mean_square(choosing))

    def residuals(self, predicted: Array, samples: Array) -> Array:
        """How far predictions are from what was recorded, in the unit of the fit, (samples, numbers)."""
        off: Array = (self.linked(predicted) - self._wanted[samples]) * self.weight[samples]
        return off

    def problem(self, fitted: Array, choosing: Array) -> Problem:
        """The least squares over some of the samples."""
        count = self.values.shape[1]
        wanted = -(-ROWS * len(self.response.start) // max(len(fitted), 1))
        drawn = min(max(wanted, 1), count)

        def residuals(parameters: Array) -> tuple[Array, Array]:
            both = np.concatenate([fitted, choosing])
            off = self.residuals(self.response.predict(parameters, both), both)
            return off[: len(fitted)].ravel(), off[len(fitted) :].ravel()

        def normal(parameters: Array) -> tuple[Array, Array]:
            chosen = np.argsort(self.random.random((len(fitted), count)), axis=1)[:, :drawn].ravel()
            matrix = np.zeros((len(parameters), len(parameters)))
            slope = np.zeros(len(parameters))
            for off, rows in self._chunks(parameters, np.repeat(fitted, drawn), chosen):
                matrix += rows.T @ rows
                slope += rows.T @ off
            return matrix * (count / drawn), slope * (count / drawn)

        return Problem(residuals, normal)

    def rows(self, parameters: Array, samples: Array, chosen: Array) -> Array:
        """Derivatives of residuals, (rows, parameters): of the output `chosen` of each of the `samples`, (rows,)."""
        return np.concatenate([rows for _, rows in self._chunks(parameters, samples, chosen)])

    def _chunks(self, parameters: Array, samples: Array, chosen: Array) -> Iterator[tuple[Array, Array]]:
        """Residuals and their derivatives, a chunk at a time."""
        for part, values, rows in self.response.rows(parameters, samples, chosen):
            at = samples[part], chosen[part]
            off = (self.linked(values, at[1]) - self._wanted[at]) * self.weight[at]
            yield off, rows * (self._slope(values, at[1]) * self.weight[at])[:, None]

    def errors(self, predicted: Array, samples: Array) -> dict[str, Array]:
        """The root mean square error of each output on each sample, in the output's standard deviations."""
        off = predicted - self.values[samples]
        return {
            output.name: np.sqrt(np.mean(off[:, output.numbers] ** 2, axis=1)) / output.deviation
            for output in self.outputs
            if not output.constant
        }


def parts(samples: int) -> tuple[int, int, int]:
    """How many samples are fitted to, choose, and judge: one at least of each."""
    choosing, verdict = max(1, round(CHOOSING * samples)), max(1, round(VERDICT * samples))
    return samples - choosing - verdict, choosing, verdict


def _link(recorded: Array, scale: Scale) -> int:
    """0 for outputs that are fitted as they are, 1 for logarithms, 2 for logits."""
    if scale == "linear" or not is_single(recorded) or np.min(recorded) < 0 or np.max(recorded) > 1:
        return 0
    return 1 if scale == "softmax" else 2
