"""A class that a user derived from TCN: its variables are a TCN's, what it computes is the user's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate import TCN
from tcn_migrate.errors import MigrationError
from tests.cases import Case, case


@keras.saving.register_keras_serializable(package="Mine")
class ScaledTCN(TCN):
    def call(self, inputs: Any, **settings: Any) -> Any:
        return 2.0 * super().call(inputs, **settings)


def derived(found: Case, to: Path, **settings: Any) -> Path:
    """The file as it would be if its TCN were a ScaledTCN."""
    with zipfile.ZipFile(found.source) as old, zipfile.ZipFile(to, "w") as new:
        config = json.loads(old.read("config.json"))
        for entry in config["config"]["layers"]:
            if entry["class_name"] == "TCN":
                entry |= {"module": None, "class_name": "ScaledTCN", "registered_name": "Mine>ScaledTCN"}
                entry["config"] |= settings
        new.writestr("config.json", json.dumps(config))
        new.writestr("metadata.json", old.read("metadata.json"))
        store = to.with_name("store.h5")
        store.write_bytes(old.read("model.weights.h5"))
        with h5py.File(store, "r+") as file:
            file.move("layers/tcn", "layers/scaled_tcn")
        new.write(store, "model.weights.h5")
    return to


@pytest.mark.parametrize("name", ["keras3/numbered-from-20-k38", "keras3/layer-norms-353-k38"])
@pytest.mark.parametrize("target", ["layer", "plain"])
def test_its_norms_are_found_under_their_sessions_names(name: str, target: str, tmp_path: Path) -> None:
    golden = np.load(case(name).folder / "golden.npz")
    old = derived(case(name), tmp_path / "old.keras")

    outcome = tcn_migrate.migrate(old, tmp_path / "new.keras", target=target, custom_objects={"ScaledTCN": ScaledTCN})

    bias = np.asarray(outcome.model.layers[-1].bias)
    assert isinstance(outcome.model.layers[1], ScaledTCN)
    np.testing.assert_allclose(
        outcome.model.predict(golden["x0"], verbose=0), 2 * (golden["y0"] - bias) + bias, atol=1e-4
    )


def test_a_subclass_is_not_taken_for_a_tcn_without_its_class(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match=r"ScaledTCN.*--custom-objects"):
        tcn_migrate.plan(derived(case("keras3/numbered-from-20-k38"), tmp_path / "old.keras"))


def test_lost_norms_of_a_subclass_are_refused(tmp_path: Path) -> None:
    old = derived(case("keras3/norms-stripped"), tmp_path / "old.keras")

    with pytest.raises(MigrationError, match="class of yours"):
        tcn_migrate.plan(old, custom_objects={"ScaledTCN": ScaledTCN})
