"""One evaluation of a whole model, exact and with rounding errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.evaluation import (  # noqa: F401  each enters its functions into the table
    activations,
    attention,
    convolution,
    core,
    images,
    lambdas,
    merging,
    normalization,
    operations,
    operators,
    pooling,
    preprocessing,
    recurrent,
    reshaping,
    tcn,
    wrappers,
)
from tcn_migrate.evaluation.inputs import makes_masks
from tcn_migrate.evaluation.model import model_outputs
from tcn_migrate.evaluation.table import Address, Calls, Layer, Setting, version
from tcn_migrate.evaluation.tensors import UNCLEAR, Arithmetic, Tensor, Unproven
from tcn_migrate.tcn.reading import TCNReading

Place = tuple[Address, Calls, int]
"""A tensor of a model: the layer's address, the numbers of the call, and which output of it."""

SAMPLES = 3
"""Evaluations with rounding errors."""
LARGE = 1 << 31
"""Multiplications from which on a model is evaluated with rounding errors once; it has many numbers to see them in."""
MARGIN = 8.0
"""How many times as much as the samples explain a difference may be: it is one more sample of the same distribution,
and the implementation at hand rounds at other places. The largest of some 450 comparisons with recorded predictions of
old releases is 1.3."""
MOST_KEPT = 1 << 25
"""Numbers of tensors inside a model that are kept for a comparison, at most; of a larger model only the first ones."""


@dataclass(frozen=True)
class Old:
    """An old model, ready to be computed.

    Attributes:
        config: in normal form, before any repair.
        arrays: by address, in the types in which they are stored.
        tcns: every TCN, by its address, as read from the source.
        keras_version: of the release that wrote it.
        keras_2: whether that is Keras 2.
    """

    config: Json
    arrays: Mapping[Address, Array]
    tcns: Mapping[Address, TCNReading]
    keras_version: str
    keras_2: bool


@dataclass(frozen=True)
class Value:
    """One tensor of the old model.

    Attributes:
        values: float64, or integers, booleans, texts; None where it is not computed here.
        explained: the largest difference that rounding makes in it, as far as the samples show.
        unproven: why it is not computed.
    """

    values: Array | None
    explained: float
    unproven: Unproven | None


def evaluate(
    old: Old,
    inputs: Sequence[Array],
    samples: int | None = None,
    given: Mapping[tuple[Address, Calls], Sequence[Array]] | None = None,
) -> tuple[list[Value], dict[Place, Value]]:
    """Everything that a model computes.

    Args:
        old: the model.
        inputs: an array for each of its inputs.
        samples: how many times it is computed with rounding errors; by default `SAMPLES`, once if it is large.
        given: the outputs of calls that are not computed here, such as of the user's own classes. Nothing is known of
            their masks.

    Returns:
        The outputs, in order; and every tensor inside, those of nested models too, in the order of computation.
    """
    arrays = {address: _read(array) for address, array in old.arrays.items()}
    said = version(old.keras_version)
    keras = said if (said[0] < 3) == old.keras_2 else ((2,) if old.keras_2 else (3,))
    is_tf = "-tf" in old.keras_version or keras >= (2, 4) or not old.keras_2

    mask = UNCLEAR if makes_masks(old.config) else None
    known = {call: [Tensor(_input(array), mask) for array in outputs] for call, outputs in (given or {}).items()}

    def run(noise: np.random.Generator | None) -> tuple[list[Any], dict[Place, Any], int]:
        found: dict[Place, Any] = {}
        kept = 0

        def record(address: Address, calls: Calls, outputs: list[Any]) -> None:
            nonlocal kept
            kept += sum(output.values.size for output in outputs if isinstance(output, Tensor))
            if kept <= MOST_KEPT:
                for index, output in enumerate(outputs):
                    found[address, calls, index] = output

        arithmetic = Arithmetic(noise)
        setting = Setting(keras, is_tf, arrays, old.tcns, arithmetic, record, known)
        model = Layer(old.config, (), setting)
        given = [Tensor(_input(array)) for array in inputs]
        try:
            outputs = model_outputs(model, given)
        except Unproven as reason:
            outputs = [reason]
        return outputs, found, arithmetic.products

    with np.errstate(all="ignore"):
        outputs, tensors, products = run(None)
        ends, inner = [0.0] * len(outputs), dict.fromkeys(tensors, 0.0)
        for number in range(samples or (SAMPLES if products < LARGE else 1)):
            noisy_outputs, noisy, _ = run(np.random.default_rng(number))
            ends = [max(s, _apart(a, b)) for s, a, b in zip(ends, outputs, noisy_outputs, strict=True)]
            for place, value in tensors.items():
                inner[place] = max(inner[place], _apart(value, noisy.get(place)))
    return (
        [_value(one, spread) for one, spread in zip(outputs, ends, strict=True)],
        {place: _value(one, inner[place]) for place, one in tensors.items()},
    )


def evaluate_layer(old: Old, address: Address, class_name: str, x: Array) -> Value:
    """What one layer of a model computes of one tensor; see `evaluate`.

    Args:
        old: the model.
        address: of the layer's variables.
        class_name: of the layer; its settings are those of a TCN, which was read.
        x: its input.
    """
    entry: Json = {"class_name": class_name, "config": {"dtype": old.tcns[address].settings.dtype}}
    around = {"class_name": "Sequential", "config": {"layers": [{**entry, "name": "layer"}]}}
    here = len(address)
    alone = Old(
        around,
        {("layer", *place[here:]): array for place, array in old.arrays.items() if place[:here] == address},
        {("layer",): old.tcns[address]},
        old.keras_version,
        old.keras_2,
    )
    (output,), _ = evaluate(alone, [x])
    return output


def _read(array: Array) -> Array:
    return array if array.dtype.kind in "biu" else array.astype(np.float64)


def _input(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _apart(one: Any, other: Any) -> float:
    """The largest difference between two values of one tensor."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.values.dtype.kind not in "biuf":
        return 0.0
    if one.values.shape != other.values.shape:
        return np.inf
    finite = np.isfinite(one.values) & np.isfinite(other.values)
    difference = np.abs(one.values.astype(np.float64) - other.values.astype(np.float64))[finite]
    return float(difference.max(initial=0.0))


def _value(one: Any, spread: float) -> Value:
    return Value(one.values, spread, None) if isinstance(one, Tensor) else Value(None, 0.0, one)
