"""verify tells whether two files hold the same, or a file predicts what was recorded, and ends with 0 or 4."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.comparison import difference
from tests.cases import case

NUMBERED = case("keras3/numbers-cross-10-k333").source
STRIPPED = case("keras3/norms-stripped").source


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def bent(new: Path, to: Path, path: str, by: float) -> Path:
    """A copy of a migrated file with one value of one variable changed."""
    with zipfile.ZipFile(new) as old, zipfile.ZipFile(to, "w") as archive:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".h5"):
                (to.parent / "w.h5").write_bytes(content)
                with h5py.File(to.parent / "w.h5", "r+") as store:
                    store[path][(0,) * store[path].ndim] += by
                content = (to.parent / "w.h5").read_bytes()
            archive.writestr(name, content)
    return to


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_a_migrated_file_is_equal_to_its_source(tmp_path: Path, target: str) -> None:
    tcn_migrate.migrate(NUMBERED, tmp_path / "new.keras", verify=False, target=target)

    result = run(tmp_path / "new.keras", "--against", NUMBERED)

    assert result.exit_code == 0, result.output
    assert "28 of 28 variables are equal bit for bit" in result.output


def test_one_changed_value_is_found_and_named(tmp_path: Path) -> None:
    tcn_migrate.migrate(NUMBERED, tmp_path / "new.keras", verify=False)
    other = bent(tmp_path / "new.keras", tmp_path / "bent.keras", "layers/dense/vars/0", 0.5)

    result = run(other, "--against", NUMBERED, "--json")

    assert result.exit_code == 4
    found = json.loads(result.output)
    wrong = [one for one in found["variables"] if not one["equal"]]
    assert [one["name"] for one in wrong] == ["dense / kernel"]
    assert wrong[0]["largest"] == pytest.approx(0.5)
    assert run(other, "--against", NUMBERED, "--tolerance", 10).exit_code == 0


def test_what_was_recovered_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    tcn_migrate.migrate(STRIPPED, tmp_path / "new.keras", verify=False, reinitialize=True)

    result = run(tmp_path / "new.keras", "--against", STRIPPED)

    assert result.exit_code == 0
    assert result.output.count("is not in the old file") == 16
    assert "12 of 28 variables are equal" in result.output


def test_a_file_that_another_program_wrote_is_not_opened(tmp_path: Path) -> None:
    recorded = case("keras3/numbers-cross-10-k333").folder / "golden.npz"
    for arguments in (["--against", NUMBERED], ["--golden", recorded]):
        result = run(NUMBERED, *arguments)
        assert result.exit_code == 1
        assert "not written by tcn-migrate" in result.output


def test_one_of_the_two_has_to_be_given(tmp_path: Path) -> None:
    assert run(tmp_path / "new.keras").exit_code == 2


def test_recorded_predictions_agree_and_altered_ones_do_not(tmp_path: Path) -> None:
    folder = case("keras3/numbers-cross-10-k333").folder
    tcn_migrate.migrate(NUMBERED, tmp_path / "new.keras", verify=False)
    golden = dict(np.load(folder / "golden.npz"))
    (tmp_path / "golden.npz").write_bytes((folder / "golden.npz").read_bytes())
    wrong = {name: values + 0.1 if name.startswith("y") else values for name, values in golden.items()}
    np.savez(tmp_path / "wrong.npz", **wrong)
    np.savez(tmp_path / "shape.npz", x=np.zeros((2, 5, 99), np.float32), y=np.zeros((2, 1), np.float32))

    assert run(tmp_path / "new.keras", "--golden", tmp_path / "golden.npz").exit_code == 0
    assert run(tmp_path / "new.keras", "--golden", tmp_path / "wrong.npz").exit_code == 4
    assert run(tmp_path / "new.keras", "--golden", tmp_path / "shape.npz").exit_code == 1


def test_a_nan_is_no_small_difference() -> None:
    one = np.ones(3, np.float32)
    other = np.array([1, np.nan, 1], np.float32)

    assert not difference("x", other, one).scaled <= 1e9
    assert difference("x", other, other).equal
    assert not difference("x", np.ones(4, np.float32), one).equal
