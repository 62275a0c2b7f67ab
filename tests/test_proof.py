"""A migration that computes something else than the old library did ends with exit code 4, and names the layer."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate import planning
from tcn_migrate.checkpoint import Json
from tcn_migrate.config import modern
from tcn_migrate.errors import VerificationError
from tcn_migrate.evaluation.evaluate import MARGIN, Value
from tcn_migrate.evaluation.inputs import drawn
from tcn_migrate.moves import Plan
from tcn_migrate.proof import Proof, compare
from tests.cases import case
from tests.test_evaluation import old_model

Change = Callable[[pytest.MonkeyPatch], None]


def _planned(change: Callable[[Plan], Plan]) -> Change:
    """Every plan is another one, before it is written."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        make = planning.make_plan
        monkeypatch.setattr(planning, "make_plan", lambda *args: change(make(*args)))

    return patch


def _entries(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if "class_name" in value and isinstance(value.get("config"), dict):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _entries(one)


def with_settings(class_name: str, **settings: Any) -> Change:
    def change(plan: Plan) -> Plan:
        config = copy.deepcopy(plan.config)
        found = [entry for entry in _entries(config) if entry["class_name"] == class_name]
        for entry in found:
            entry["config"].update(settings)
        assert found
        return dataclasses.replace(plan, config=config)

    return _planned(change)


def as_operation(old: str, new: str) -> Change:
    def change(plan: Plan) -> Plan:
        config = copy.deepcopy(plan.config)
        found = [e for e in _entries(config) if e["class_name"] == old and "keras.src.ops" in str(e.get("module"))]
        for entry in found:
            entry["class_name"] = new
        assert found
        return dataclasses.replace(plan, config=config)

    return _planned(change)


def swapped(*pair: str) -> Change:
    """Two arrays of one shape exchange their places, which no comparison of variables with their sources sees."""

    def change(plan: Plan) -> Plan:
        one, other = (next(move for move in plan.moves if "/".join(move.address) == name) for name in pair)
        sources = {one.address: other, other.address: one}
        moves = [
            dataclasses.replace(move, sources=sources[move.address].sources) if move.address in sources else move
            for move in plan.moves
        ]
        return dataclasses.replace(plan, moves=tuple(moves))

    return _planned(change)


def without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modern, "replace_masked_softmax", lambda config: (config, []))


def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "fix_calls", lambda config, modern, *_: (config, modern))


WRONG: dict[str, tuple[str, Change, str]] = {
    "hard sigmoid": ("functional/hard-sigmoid-lstm-gru-267", with_settings("Dense", activation="sigmoid"), "dense_1"),
    "epsilon": ("functional/batch-norm-281", with_settings("BatchNormalization", epsilon=2e-3), "batch_normalization"),
    "mask of a softmax": ("calls/other-arguments", without_masks, "softmax"),
    "masked value": ("mixed/tf24-masking-lstm", with_settings("Masking", mask_value=7.0), "lstm"),
    "training": ("calls/training-true-plain", without_training, "of_a_step"),
    "operator": ("operators/functions-tf215", as_operation("Argmax", "Argmin"), "argmax"),
    "generation": ("keras2/elu-skip-312", with_settings("LegacyTCN", generation="E"), "tcn"),
    "nested": ("keras2/nested-340", with_settings("TCN", use_skip_connections=False), "model / tcn"),
    "arrays": (
        "calls/other-arguments",
        swapped("multi_head_attention/query_dense/kernel", "multi_head_attention/key_dense/kernel"),
        "multi_head_attention",
    ),
}


@pytest.mark.parametrize(("fixture", "change", "layer"), WRONG.values(), ids=WRONG)
def test_a_wrong_migration_is_not_written_and_the_layer_is_named(
    fixture: str, change: Change, layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)

    with pytest.raises(VerificationError, match=f"layer '[^']*{layer}.*computes something else") as refused:
        tcn_migrate.migrate(case(fixture).source, tmp_path / "new.keras", drop_optimizer=True)

    assert refused.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_computed_a_second_time_is_named(tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(case("layers/tf215-add-to-center-crop").source, tmp_path / "new.keras")

    assert outcome.evidence is not None
    assert any("hashed_crossing" in remark for remark in outcome.evidence.proof.remarks)
    assert outcome.evidence.as_json()["not_proven"] == list(outcome.evidence.proof.unproven)


def test_the_evidence_says_how_far_all_agrees_and_what_rounding_explains(tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(case("keras3/numbered-from-20-k38").source, tmp_path / "new.keras")

    assert outcome.evidence is not None
    proof = outcome.evidence.proof
    assert (len(proof.outputs), len(proof.inner), proof.unproven) == (1, 2, ())
    for one in (*proof.outputs, *proof.inner):
        assert one.difference <= MARGIN * one.explained
    assert proof.sentence is not None
    assert proof.sentence.startswith("1 output and 2 inner tensors agree with the old library's arithmetic to ")
    assert outcome.evidence.as_json()["outputs"][0]["agrees"] is True


def test_a_difference_is_held_against_what_rounding_explains() -> None:
    wanted = np.array([[1.0, 2.0], [3.0, 5.0]])
    near, far = wanted + 7e-6, wanted + 9e-6

    assert (found := compare("y", Value(wanted, 1e-6, None), near)) is not None
    assert found.agrees
    assert (found := compare("y", Value(wanted, 1e-6, None), far)) is not None
    assert not found.agrees
    assert (found := compare("y", Value(wanted, 1e-6, None), far[:1])) is not None
    assert not found.agrees
    assert (found := compare("y", Value(wanted, 1e-6, None), np.where(wanted == 5, np.nan, wanted))) is not None
    assert not found.agrees
    assert compare("y", Value(None, 0.0, None), near) is None


def test_an_output_that_does_not_depend_on_the_inputs_is_called_constant() -> None:
    saturated = np.array([[1.0, 0.0], [1.0, 1e-9]])

    found = compare("y", Value(saturated, 1e-8, None), saturated)

    assert found is not None
    assert found.constant
    assert any("hardly depend" in remark for remark in Proof(outputs=(found,)).remarks)


def test_drawn_inputs_can_be_looked_up_and_masks_mask() -> None:
    masked = old_model(case("mixed/tf24-masking-lstm"))
    (series, *_), *_ = drawn(masked.config, [(None, 12, 3)], ["float32"], {})
    looked_up = old_model(case("keras2/embedding-masking-354"))
    (tokens, *_), *_ = drawn(looked_up.config, [(None, 12)], ["float32"], {})

    assert series.shape == (2, 12, 3)
    assert (series[-1, -4:] == series[-1, -1, 0]).all()
    assert not (series[0] == series[-1, -1, 0]).any()
    assert (tokens == np.floor(tokens)).all()
    assert 0 <= tokens.min() < tokens.max()


def test_a_layer_of_the_users_own_is_taken_as_it_is_and_what_is_around_it_is_compared(tmp_path: Path) -> None:
    own = {"TimeWeights": _time_weights()}
    one = case("mixed/tf215-own-layer-refused")

    outcome = tcn_migrate.migrate(one.source, tmp_path / "new.keras", custom_objects=own)

    assert outcome.evidence is not None
    proof = outcome.evidence.proof
    assert len(proof.outputs) == 1
    assert len(proof.inner) >= 2
    assert [said.split(" ")[0] for said in proof.unproven] == ["'time_weights'"]


def test_a_fault_in_front_of_a_layer_of_the_users_own_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings("TCN", activation="tanh")(monkeypatch)
    one = case("mixed/tf215-own-layer-refused")

    with pytest.raises(VerificationError, match=r"layer 'tcn.*computes something else"):
        tcn_migrate.migrate(one.source, tmp_path / "new.keras", custom_objects={"TimeWeights": _time_weights()})


def _time_weights() -> Any:
    class TimeWeights(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[1], 1), name="kernel")

        def call(self, x: Any) -> Any:
            return x * self.w

    return TimeWeights
