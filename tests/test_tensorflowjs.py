"""Folders of TensorFlow.js: bounds, and what is refused openly. The fixtures migrate in test_fixtures.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tcn_migrate
from tcn_migrate.errors import MigrationError
from tests.cases import case

OLD = case("tensorflowjs/weight-norm-sequential-350").source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "model"))


def bent(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    model = json.loads((folder / "model.json").read_text())
    change(model)
    (folder / "model.json").write_text(json.dumps(model))


def test_an_array_may_lie_in_several_shards(folder: Path) -> None:
    assert len(list(folder.glob("*.bin"))) > 3
    wanted = {move.target: move.sources[0].read().tobytes() for move in tcn_migrate.plan(OLD).moves}
    files = sorted(folder.glob("*.bin"), key=lambda file: int(file.name.partition("shard")[2].partition("of")[0]))
    (folder / "one.bin").write_bytes(b"".join(file.read_bytes() for file in files))
    bent(folder, lambda model: model["weightsManifest"][0].update(paths=["one.bin"]))

    assert {move.target: move.sources[0].read().tobytes() for move in tcn_migrate.plan(folder).moves} == wanted


def test_the_model_json_itself_may_be_named(folder: Path) -> None:
    assert tcn_migrate.plan(folder / "model.json").grades == tcn_migrate.plan(folder).grades


def weights(model: dict[str, Any]) -> list[Any]:
    found: list[Any] = model["weightsManifest"][0]["weights"]
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m["weightsManifest"][0]["paths"].pop(), "too short"),
        (lambda m: m["weightsManifest"][0]["paths"].append("../secret.bin"), "outside of its folder|missing"),
        (lambda m: m["weightsManifest"][0]["paths"].append("/etc/hostname"), "outside of its folder|missing"),
        (lambda m: m["weightsManifest"][0]["paths"].append("not-there.bin"), "missing"),
        (lambda m: weights(m)[0].update(shape=[1 << 40, 1 << 40]), "too short"),
        (lambda m: weights(m)[0].update(shape=[-1, 3]), "without name, shape or dtype"),
        (lambda m: weights(m)[0].update(shape=[True]), "without name, shape or dtype"),
        (lambda m: weights(m)[0].update(dtype="string"), "type without numbers"),
        (lambda m: weights(m)[0].update(name=weights(m)[1]["name"]), "twice"),
        (lambda m: weights(m)[0].update(name="a/" * 200), "too many parts"),
        (lambda m: weights(m)[0].update(quantization={"dtype": "uint8", "min": 0, "scale": 1}), "quantized to 'uint8'"),
        (lambda m: m.update(weightsManifest={}), "is no list"),
        (lambda m: m.update(weightsManifest=[{"paths": [3], "weights": []}]), "no paths or no weights"),
        (lambda m: m.update(format="graph-model"), "a graph model"),
        (lambda m: m.update(modelTopology=None), "not a Keras model's config"),
    ],
)
def test_a_bent_folder_is_refused_with_the_reason(folder: Path, change: Any, expected: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(10_000))
    bent(folder, change)
    with pytest.raises(MigrationError, match=expected):
        tcn_migrate.plan(folder)


def test_a_shard_that_is_a_link_out_of_the_folder_is_not_read(folder: Path, tmp_path: Path) -> None:
    shard = next(folder.glob("*.bin"))
    shutil.move(shard, tmp_path / "moved.bin")
    shard.symlink_to(tmp_path / "moved.bin")
    with pytest.raises(MigrationError, match="outside of its folder"):
        tcn_migrate.plan(folder)
