"""`diff` finds what differs between two files, and nothing where they are one model in two forms."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.config.changes import STORAGE, Change, changes
from tests.cases import case
from tests.test_advice import BATCH, damaged

PAIR = case("keras2/elu-skip-312").source, case("keras2/elu-skip-321").source
MODEL: dict[str, Any] = {
    "class_name": "Functional",
    "config": {
        "name": "m",
        "layers": [
            {"class_name": "Dense", "module": "keras.layers", "config": {"name": "a", "units": 3, "dtype": {"x": 1}}},
            {
                "class_name": "Sequential",
                "config": {"name": "b", "layers": [{"class_name": "ReLU", "config": {"name": "c", "slope": 0.0}}]},
            },
        ],
    },
}


def diff(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_a_file_and_its_migration_do_not_differ(target: str, tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    tcn_migrate.migrate(PAIR[0], new, target=target, verify=False)
    result = diff(PAIR[0], new)
    assert result.exit_code == 0, result.output
    assert result.output == "14 of 14 variables are equal bit for bit; no settings differ\n"


def test_what_differs_is_named_in_the_terminal_in_json_and_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = diff(*PAIR, "--report", page)
    assert result.exit_code == 1
    assert "LegacyTCN" in result.output
    assert "LegacyTCN" in page.read_text()
    found = json.loads(diff(*PAIR, "--json").output)
    assert {"class_name", "generation"} <= {one["setting"] for one in found["settings"]}


def test_one_changed_number_is_found_and_shown(tmp_path: Path) -> None:
    def change(weights: Any, path: str, norm: int, variable: int) -> None:
        if (norm, variable) == (1, 2):
            weights[path][...] += np.float32(0.5)

    page = tmp_path / "page.html"
    result = diff(BATCH, damaged(BATCH, tmp_path / "new.keras", change), "--report", page)
    assert result.exit_code == 1
    assert "27 of 28 variables are equal" in result.output
    assert result.output.count("moving_mean\t0.5\t") == 1
    assert page.read_text().count('<svg class="bar"') == 1


def test_a_report_over_a_file_that_is_compared_is_refused(tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    new.write_bytes(BATCH.read_bytes())
    for source in (new, BATCH):
        result = diff(BATCH, new, "--report", source)
        assert result.exit_code == 1
        assert "never changed" in result.output


def test_a_config_does_not_differ_from_itself() -> None:
    assert changes(MODEL, copy.deepcopy(MODEL)) == []


@given(st.sampled_from([("a", "units"), ("b/c", "slope"), ("a", "new")]), st.integers(100, 200))
def test_one_changed_setting_is_one_change(place: tuple[str, str], value: int) -> None:
    other = copy.deepcopy(MODEL)
    layers = other["config"]["layers"]
    entry = layers[0] if place[0] == "a" else layers[1]["config"]["layers"][0]
    was = entry["config"].get(place[1])
    entry["config"][place[1]] = value
    expected = Change(tuple(place[0].split("/")), place[1], None if was is None else json.dumps(was), str(value))
    assert changes(MODEL, other) == [expected]
    assert changes(other, MODEL) == [Change(expected.layer, expected.setting, expected.now, expected.was)]


def test_what_is_only_a_form_of_storage_can_be_left_out() -> None:
    other = copy.deepcopy(MODEL)
    other["config"]["layers"][0]["module"] = "keras.src.layers"
    assert [one.setting for one in changes(MODEL, other)] == ["module"]
    assert changes(MODEL, other, without=STORAGE) == []


def test_a_layer_that_is_gone_is_a_change_of_its_class() -> None:
    other = copy.deepcopy(MODEL)
    del other["config"]["layers"][0]
    assert Change(("a",), "class_name", '"Dense"', None) in changes(MODEL, other)
