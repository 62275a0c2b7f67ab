"""CONTRIBUTING.md is true: a toy layout, a toy generation and a toy repair, made by following its steps."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.checkpoint import Json, Node, tree_of
from tcn_migrate.config import repairs
from tcn_migrate.config.catalogue.classes import CLASSES
from tcn_migrate.config.catalogue.layer_class import layer
from tcn_migrate.config.repairs.change import Change, with_config
from tcn_migrate.containers import read_checkpoint
from tcn_migrate.errors import UnknownLayerError
from tcn_migrate.naming import locate, store
from tcn_migrate.planning import Choices, make_plan
from tcn_migrate.tcn import reading
from tcn_migrate.tcn.generations import GENERATIONS, Generation
from tcn_migrate.tcn.naming import LAYOUTS, TCNArrays
from tests.cases import case
from tests.readme import ROOT

NEW = case("keras3/numbered-from-20-k38")
OLD = case("keras2/elu-skip-321")


def test_a_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. A file in which each array of a TCN has one flat name: layers/tcn/residual_block_0.conv1D_0.kernel
    known = read_checkpoint(NEW.source, None)
    expected = make_plan(known, Choices())
    paths = {
        ("layers", "tcn", ".".join(m.address[1:])) if m.address[0] == "tcn" else tuple(m.target.split("/")): m.sources[
            0
        ]
        for m in expected.moves
    }
    renamed = {path: replace(array, name="/".join(path)) for path, array in paths.items()}

    # 2. A function that finds them, named in LAYOUTS
    def from_flat_names(place: Node, blocks: int) -> TCNArrays:
        found = TCNArrays()
        for name, array in place.arrays().items():
            found.put(tuple(name.split(".")), array)
        return found

    monkeypatch.setitem(LAYOUTS, "flat", from_flat_names)
    # 3. The layers around it lie as in a weight store
    monkeypatch.setitem(locate.AROUND, "flat", store)
    # 4. The container says which layout it is
    flat: Any = "flat"
    checkpoint = replace(
        known, layout=flat, root=tree_of(renamed), arrays={array.name: array for array in renamed.values()}
    )
    # 5. The same plan comes of it, the names of the sources apart
    plan = make_plan(checkpoint, Choices())
    assert [(m.address, m.target, m.grade) for m in plan.moves] == [
        (m.address, m.target, m.grade) for m in expected.moves
    ]
    assert plan.config == expected.config
    assert plan.ignored == {}
    for made, wanted in zip(plan.moves, expected.moves, strict=True):
        np.testing.assert_array_equal(made.values(), wanted.values())


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_a_generation(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. A fixture whose activation shows the difference: elu, twice or once
    golden = np.load(OLD.folder / "golden.npz")
    # 2. A row of the table
    row = Generation("Z", "9.9.9", False, "widths differ", None, False, "middle")
    monkeypatch.setitem(GENERATIONS, row.name, row)
    # 3. What tells it from its neighbours
    tell = reading.tell_generation

    def tell_also(*arguments: Any) -> Generation:
        return row if tell(*arguments).name == "E" else tell(*arguments)

    monkeypatch.setattr(reading, "tell_generation", tell_also)
    # 4. and 5. The layer or the lowered model and the forward pass compute it, and every other row predicts otherwise
    outcome = tcn_migrate.migrate(OLD.source, tmp_path / "new.keras", target=target)
    assert outcome.evidence is not None
    assert max(outcome.evidence.tcn_differences.values()) < 1e-5
    (told,) = outcome.plan.tcns.values()
    assert told.generation is row
    off = np.abs(outcome.model.predict(golden["x0"], verbose=0) - golden["y0"]).max() / golden["y0"].std()
    assert off > 1e-2


def test_a_config_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tcn_migrate.plan(OLD.source)

    # 1. and 2. A stored config that is misread, and a small function that says what the old library computed
    def linear_that_was_tanh(entry: Json) -> Change | None:
        """Since: never. Issue: none."""
        if entry["class_name"] != "Dense" or entry["config"]["activation"] != "linear":
            return None
        return Change(with_config(entry, activation="tanh"), "activation: it was tanh")

    # 3. In the index
    monkeypatch.setattr(repairs, "INDEX", (*repairs.INDEX, linear_that_was_tanh))
    # 4. and 5. What it changes, and what it leaves alone
    after = tcn_migrate.plan(OLD.source)
    assert "activation: it was tanh" in [repair.sentence for repair in after.repairs]
    for old, new in zip(before.config["config"]["layers"], after.config["config"]["layers"], strict=True):
        if old["class_name"] == "Dense":
            assert new == with_config(old, activation="tanh") != old
        else:
            assert new == old


def test_a_layer_class(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. A file with a class of Keras 2 that nothing knows: the fixture's Dense layer under another name
    checkpoint = read_checkpoint(OLD.source, None)
    before = make_plan(checkpoint, Choices())

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: renamed(item) for key, item in value.items()}
        return {**found, "class_name": "OldDense"} if value.get("class_name") == "Dense" else found

    unknown = replace(checkpoint, config=renamed(checkpoint.config))
    with pytest.raises(UnknownLayerError, match="'OldDense'"):
        make_plan(unknown, Choices())

    # 2. Its row, which has its variables and what replaces it
    dense = CLASSES["Dense"]
    row = layer("OldDense", None, replaced_by="Dense", variables=dense.variables, output_shape=dense.output_shape)
    monkeypatch.setitem(CLASSES, row.name, row)

    # 3. The repair that replaces it
    def old_dense(entry: Json) -> Change | None:
        """Since: never. Issue: none."""
        return Change({**entry, "class_name": "Dense"}, "it is Dense") if entry["class_name"] == "OldDense" else None

    monkeypatch.setattr(repairs, "INDEX", (old_dense, *repairs.INDEX))
    # 4. and 5. The same plan comes of it
    after = make_plan(unknown, Choices())
    assert after.config == before.config
    assert [(m.address, m.target) for m in after.moves] == [(m.address, m.target) for m in before.moves]


def test_every_place_that_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()

    for path in re.findall(r"`((?:tcn_migrate|tests|legacy_fixtures)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path
    for name, path in re.findall(r"`(\w+)` \(`([\w/.]+\.py)`\)", text):
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{name} in {path}"
    for section in ("layout", "generation", "layer class", "config repair"):
        steps = re.findall(r"^\d\. ", text.partition(f"## To add a {section}")[2].partition("\n## ")[0], re.MULTILINE)
        assert len(steps) == 5
