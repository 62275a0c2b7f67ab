"""Weights alone get their architecture from a JSON, a model's file, code that is named, or what fits beside them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, MigrationError
from tests.cases import case

WEIGHTS = case("keras2/weight-norm-weights-340")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights alone in a folder of their own."""
    return Path(shutil.copy(WEIGHTS.source, tmp_path / "w.h5"))


@pytest.fixture
def sibling(tmp_path: Path) -> Path:
    """A whole model with the same layers and other weights, as it stands in a file of today's Keras."""
    new = tmp_path / "elsewhere" / "sibling.keras"
    new.parent.mkdir()
    tcn_migrate.migrate(WEIGHTS.source, new, architecture=WEIGHTS.folder / "model.json", verify=False)
    return new


def values(path: Path) -> dict[str, Any]:
    import zipfile

    found: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member, h5py.File(member) as file:
        file.visititems(
            lambda name, place: found.update({name: place[()]}) if isinstance(place, h5py.Dataset) else None
        )
    return found


def same(one: Path, other: Path) -> bool:
    ours, theirs = values(one), values(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_model_file_gives_its_config_and_never_its_weights(weights: Path, sibling: Path, tmp_path: Path) -> None:
    wanted = values(sibling)
    with h5py.File(weights, "r+") as file:
        file["dense/dense/kernel:0"][...] = 0.5

    tcn_migrate.migrate(weights, tmp_path / "new.keras", architecture=sibling, verify=False)

    got = values(tmp_path / "new.keras")
    assert (got["layers/dense/vars/0"] == 0.5).all()
    assert got.keys() == wanted.keys()


def test_an_hdf5_model_gives_its_config_too(tmp_path: Path) -> None:
    whole = case("keras2/elu-skip-312").source
    alone = tmp_path / "w.h5"
    with h5py.File(whole) as old, h5py.File(alone, "w") as new:
        for name in old["model_weights"]:
            old.copy(f"model_weights/{name}", new)
        new.attrs.update(old["model_weights"].attrs)
    with pytest.raises(ArchitectureNeeded):
        tcn_migrate.plan(alone)

    tcn_migrate.migrate(alone, tmp_path / "a.keras", architecture=whole, verify=False)
    tcn_migrate.migrate(whole, tmp_path / "b.keras", drop_optimizer=True, verify=False)

    assert same(tmp_path / "a.keras", tmp_path / "b.keras")


CODE = """
import keras
from tcn_migrate import TCN
def build():
    i = keras.Input((10, 4), name="my_input")
    t = TCN(4, kernel_size=3, dilations=(1, 2), name="my_tcn")(i)
    return keras.Model(i, keras.layers.Dense(UNITS, name="my_dense")(t))
def broken(): raise RuntimeError("no data")
number = 3
"""


def test_code_that_is_named_builds_it_and_layers_of_other_names_are_paired_in_order(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code_of_mine.py").write_text(CODE.replace("UNITS", "2"))
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])

    outcome = tcn_migrate.migrate(weights, tmp_path / "new.keras", architecture="code_of_mine:build", verify=False)

    assert any("'my_tcn' is 'tcn' in the file" in sentence for sentence in outcome.warnings)
    for name, expected in (
        ("code_of_mine:broken", "no data"),
        ("code_of_mine:number", "no function"),
        ("code_of_mine:other", "no function"),
        ("not_there:build", "cannot be imported"),
    ):
        with pytest.raises(ContainerError, match=expected):
            tcn_migrate.plan(weights, architecture=name)


def test_a_pairing_in_which_a_shape_differs_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_code.py").write_text(CODE.replace("UNITS", "5"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    with pytest.raises(MigrationError, match="shape"):
        tcn_migrate.plan(weights, architecture="wrong_code:build")


def test_a_sibling_that_fits_is_found_and_said(weights: Path, sibling: Path, tmp_path: Path) -> None:
    shutil.copy(case("keras2/elu-skip-312").source, tmp_path / "another.h5")
    (tmp_path / "package.json").write_text("{}")
    shutil.copy(sibling, tmp_path / "sibling.keras")
    shutil.copy(sibling, tmp_path / "sibling-2.keras")  # the same architecture

    plan = tcn_migrate.plan(weights)

    assert any("'sibling-2.keras' beside it, in which every array has its place" in text for text in plan.warnings)


def test_two_different_architectures_that_fit_are_for_the_user_to_choose_from(weights: Path, tmp_path: Path) -> None:
    config = (WEIGHTS.folder / "model.json").read_text()
    (tmp_path / "a.json").write_text(config)
    (tmp_path / "b.json").write_text(config.replace('"activation": "linear"', '"activation": "sigmoid"'))
    assert (tmp_path / "a.json").read_text() != (tmp_path / "b.json").read_text()

    with pytest.raises(ArchitectureNeeded, match=r"different architectures beside it fit: 'a\.json' and 'b\.json'"):
        tcn_migrate.plan(weights)


def test_a_json_that_does_not_fit_gives_way_to_one_that_does(weights: Path, tmp_path: Path) -> None:
    config = json.loads((WEIGHTS.folder / "model.json").read_text())
    (tmp_path / "z.json").write_text(json.dumps(config))
    config["config"]["layers"][-1]["config"]["units"] += 1
    (tmp_path / "a.json").write_text(json.dumps(config))

    assert any("'z.json' beside it, in which every array" in text for text in tcn_migrate.plan(weights).warnings)


def test_nothing_beside_it_is_looked_at_through_a_link(weights: Path, sibling: Path, tmp_path: Path) -> None:
    (tmp_path / "linked.keras").symlink_to(sibling)
    with pytest.raises(ArchitectureNeeded):
        tcn_migrate.plan(weights)


def test_each_way_that_the_refusal_lists_works(
    weights: Path, sibling: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    refused = CliRunner().invoke(main, ["w.h5"])
    lines = [
        shlex.split(line) for line in re.findall(r"tcn-migrate (.*? --architecture \S+?)\.?(?= |$)", refused.output)
    ]
    assert [line[2] for line in lines] == ["model.json", "sibling.h5", "module:function"]
    (tmp_path / "elsewhere" / "module_.py").write_text(CODE.replace("UNITS", "2"))
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    stand_in = {
        "model.json": str(WEIGHTS.folder / "model.json"),
        "sibling.h5": str(sibling),
        "module:function": "module_:build",
    }
    for line in lines:
        words = [stand_in.get(word, word) for word in line]
        result = CliRunner().invoke(main, [*words, "--no-verify", "--overwrite"])
        assert result.exit_code == 0, result.output
