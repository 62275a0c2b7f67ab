"""The predictions of a new model compared with those of the serving graph that the old one was exported with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.errors import quoted
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.witness import Witness

TOLERANCE = 1e-4
"""Largest difference in float32, as a fraction of the output's deviation."""
HALF_TOLERANCE = 5e-2
"""The same where a layer computes in 16 bits, of which bfloat16 keeps 8."""
ROUNDINGS = 32
"""How many times the rounding of the graph itself, from float64 to float32, a difference may be: another library rounds
in another order, and the largest rounding of a few values is a sample of it."""
LARGEST_ROUNDING = 1e-3
"""Beyond this fraction of the deviation, rounding no longer explains a difference. The graph depends on float32 then,
as where -1e9 is added to what is masked out, and the model has to agree with the graph in float32."""


@dataclass(frozen=True)
class Agreement:
    """How a new model agrees with the exported serving graph.

    Attributes:
        outputs: the largest difference of each output, as a fraction of its deviation, by the name of the output.
        not_compared: why the graph was not compared with, or None.
        expected: why the outputs may differ, or None; then they are reported and nothing is concluded from them.
    """

    outputs: Mapping[str, float] = field(default_factory=dict)
    not_compared: str | None = None
    expected: str | None = None

    @property
    def sentence(self) -> str:
        """What was seen."""
        if self.not_compared is not None:
            return f"the exported serving graph was not compared: {self.not_compared}"
        worst, count = max(self.outputs.values(), default=0.0), len(self.outputs)
        outputs = f"{count} output{'s' * (count != 1)}"
        if self.expected is not None:
            return (
                f"the exported serving graph differs in {outputs} by {worst:.1g} standard deviations: {self.expected}"
            )
        return f"the exported serving graph agrees: {outputs} to {worst:.1g} standard deviations"

    def as_json(self) -> dict[str, Any]:
        return {
            "outputs": {name: value if math.isfinite(value) else None for name, value in self.outputs.items()},
            "not_compared": self.not_compared,
            "expected": self.expected,
        }


@dataclass(frozen=True)
class Disagreement:
    """One output that differs by more than rounding explains.

    Attributes:
        output: its name.
        difference, tolerance: as fractions of the output's deviation.
        graph, model: the values at the place of the largest difference.
    """

    output: str
    difference: float
    tolerance: float
    graph: float
    model: float


def compare(
    witness: Witness, inputs: Mapping[str, Array], predicted: Mapping[str, Array], *, half: bool = False
) -> tuple[dict[str, float], list[Disagreement]]:
    """Compares predictions with what the graph computes of the same inputs.

    The graph is computed in float64. Where that differs by more than the tolerance, it is computed again with each
    result rounded to float32: the difference of the two tells what rounding explains.

    Args:
        witness: the serving graph.
        inputs: by the names of the signature.
        predicted: the new model's outputs, by the names of the signature.
        half: the model computes in 16 bits.

    Returns:
        The difference of each output as a fraction of its deviation, and those that are too large.

    Raises:
        NotInterpreted: as `Witness.predict`; or the outputs have other names.
    """
    exact = witness.predict(inputs)
    if exact.keys() != predicted.keys():
        raise NotInterpreted(
            f"its outputs are called {_listed(list(exact))}, and the model's {_listed(list(predicted))}"
        )
    found = [_difference(name, exact[name], exact[name], new, half=half) for name, new in predicted.items()]
    if any(not one.difference <= one.tolerance for one in found):
        rounded = witness.predict(inputs, single=True)
        found = [_difference(name, exact[name], rounded[name], new, half=half) for name, new in predicted.items()]
    too_large = [one for one in found if not one.difference <= one.tolerance]
    return {one.output: one.difference for one in found}, too_large


def _difference(name: str, exact: Array, rounded: Array, model: Array, *, half: bool) -> Disagreement:
    least = HALF_TOLERANCE if half else TOLERANCE
    if exact.shape != model.shape:
        return Disagreement(name, math.inf, least, math.nan, math.nan)
    if exact.dtype == object or not exact.size:
        return Disagreement(name, 0.0 if _texts(exact) == _texts(model) else math.inf, least, math.nan, math.nan)
    graph, single, new = (np.asarray(values, np.float64) for values in (exact, rounded, model))
    finite = np.isfinite(graph)
    scale = 1.0
    if finite.any():
        scale = max(float(graph[finite].std()), 1e-3 * float(np.abs(graph[finite]).max()), 1e-6)
    rounding = float(_apart(graph, single).max()) / scale
    of_graph, of_single = _apart(graph, new), _apart(single, new)
    nearest = of_graph if of_graph.max() <= of_single.max() else of_single
    at = np.unravel_index(int(np.argmax(nearest)), nearest.shape)
    tolerance = max(least, ROUNDINGS * min(rounding, LARGEST_ROUNDING))
    return Disagreement(name, float(nearest[at]) / scale, tolerance, float(graph[at]), float(new[at]))


def _apart(a: Array, b: Array) -> Array:
    """How far values are apart; 0 where both are the same infinity or no number, infinite where only one is."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def _texts(values: Array) -> list[bytes]:
    flat = values.reshape(-1).tolist()
    return [value if isinstance(value, bytes) else str(value).encode() for value in flat]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, sorted(names)[:6]))
