"""One config means another function in another release: each generation's fixture predicts right under its own only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.moves import Plan
from tcn_migrate.tcn.activations import ACTIVATIONS
from tcn_migrate.tcn.forward import forward
from tcn_migrate.tcn.generations import GENERATIONS, Generation
from tests.cases import case

FIXTURES = {
    "A": "keras2/same-last-step-290",
    "B": "keras2/same-last-step-291",
    "C": "keras2/same-middle-step-292",
    "D": "keras2/elu-skip-312",
    "E": "keras2/elu-skip-321",
    "F": "keras3/activation-objects",
}
SAME_FUNCTION = ({"A", "B"}, {"E", "F"})
"""Rows that compute the same and differ in what the config says."""


def planned(name: str) -> Plan:
    found = case(name)
    return tcn_migrate.plan(found.source, last_step="--last-step" in found.options)


def predicted(plan: Plan, generation: Generation, x: Any) -> Any:
    """Input, TCN, Dense in NumPy, as if `generation` had written the file."""
    (reading,) = plan.tcns.values()
    arrays = {address: array.read() for address, array in reading.found.items()}
    values = {move.address[-1]: move.values() for move in plan.moves if move.address[0].startswith("dense")}
    dense = plan.config["config"]["layers"][-1]["config"]
    y = forward(reading.settings, generation, arrays, x) @ values["kernel"] + values["bias"]
    return ACTIVATIONS[dense["activation"]](y)


def error(got: Any, golden: Any) -> float:
    return float(np.abs(got - golden).max() / golden.std())


@pytest.mark.parametrize("row", FIXTURES)
def test_a_file_of_each_generation_is_told_and_computed_as_what_it_is(row: str) -> None:
    plan = planned(FIXTURES[row])
    golden = np.load(case(FIXTURES[row]).folder / "golden.npz")
    (reading,) = plan.tcns.values()

    assert reading.generation.name == row
    assert error(predicted(plan, GENERATIONS[row], golden["x0"]), golden["y0"]) < 1e-5


@pytest.mark.parametrize(
    ("row", "other"),
    [(row, other) for row in FIXTURES for other in GENERATIONS if row != other and {row, other} not in SAME_FUNCTION],
)
def test_its_prediction_changes_if_another_generation_is_assumed(row: str, other: str) -> None:
    plan = planned(FIXTURES[row])
    golden = np.load(case(FIXTURES[row]).folder / "golden.npz")
    if GENERATIONS[row].first_convolution != GENERATIONS[other].first_convolution:
        with pytest.raises((KeyError, ValueError)):  # the file has not the convolutions of the other generation
            predicted(plan, GENERATIONS[other], golden["x0"])
        return
    assert error(predicted(plan, GENERATIONS[other], golden["x0"]), golden["y0"]) > 1e-2


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ("A", "step", "middle"),
        ("B", "step", "middle"),
        ("C", "step", "last"),
        ("D", "inside", None),
        ("E", "inside", "relu"),
        ("E", "before_sum", False),
        ("F", "inside", "relu"),
        ("F", "before_sum", False),
    ],
)
def test_its_prediction_changes_if_one_property_of_its_generation_is_another(row: str, field: str, value: Any) -> None:
    plan = planned(FIXTURES[row])
    golden = np.load(case(FIXTURES[row]).folder / "golden.npz")

    wrong = predicted(plan, dataclasses.replace(GENERATIONS[row], **{field: value}), golden["x0"])

    assert error(wrong, golden["y0"]) > 1e-2


def test_rows_that_compute_the_same_are_told_apart_by_the_config() -> None:
    for row in ("A", "B", "E", "F"):
        (reading,) = planned(FIXTURES[row]).tcns.values()
        assert ("use_layer_norm" in reading.settings.keys) == (row != "A")
        assert ("go_backwards" in reading.settings.keys) == (row == "F")


def test_where_nothing_tells_2_9_1_from_its_followers_the_user_is_told() -> None:
    plan = tcn_migrate.plan(case("keras2/same-last-step-291").source)
    (reading,) = plan.tcns.values()
    assert reading.generation.name == "C"
    assert any("--last-step" in warning for warning in plan.warnings)
