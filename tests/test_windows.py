"""Weight stores of Keras 2.12 to 2.15 from Windows: the name of a group holds its whole path, joined by backslashes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.containers.h5 import weight_store
from tcn_migrate.containers.hdf5 import datasets
from tcn_migrate.errors import NamingError, UnsafeError
from tests.cases import case
from tests.synthetic import Drawn, arrays, networks, write

law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@law
@given(networks, st.randoms(use_true_random=False))
def test_any_mixture_of_the_two_separators_gives_the_same_variables(
    tmp_path: Path, drawn: Drawn, chance: Random
) -> None:
    stored = {
        address: ("/".join(_joined(path.split("/"), chance)), values)
        for address, (path, values) in arrays(drawn).items()
    }
    write(drawn, tmp_path / "old.keras", stored)

    plan = tcn_migrate.plan(tmp_path / "old.keras")

    wanted = {address: values for address, (_, values) in arrays(drawn).items()}
    assert {move.address for move in plan.moves} == set(wanted)
    assert not plan.missing
    assert not plan.ignored
    for move in plan.moves:
        np.testing.assert_array_equal(move.values(), wanted[move.address])


def _joined(parts: list[str], chance: Random) -> list[str]:
    joined = [parts[0]]
    for part in parts[1:]:
        if chance.random() < 0.5:
            joined[-1] += "\\" + part
        else:
            joined.append(part)
    return joined


def test_metrics_of_a_file_from_windows_are_known_as_such() -> None:
    plan = tcn_migrate.plan(case("keras2/zip-windows-tf215-350").source)

    metrics = {name: reason for name, reason in plan.ignored.items() if name.startswith("metrics")}
    assert metrics
    assert all("\\" in name and reason == "a metric's state" for name, reason in metrics.items())


def test_adam_of_a_file_from_windows_comes_along() -> None:
    plan = tcn_migrate.plan(case("keras2/zip-windows-tf215-350").source)

    assert any(move.sources for move in plan.optimizer)


def test_a_file_from_windows_is_not_called_one_that_loads_already(tmp_path: Path) -> None:
    linux = case("keras3/plain-357-k3151").source
    with zipfile.ZipFile(linux) as old, zipfile.ZipFile(tmp_path / "windows.keras", "w") as new:
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        weights = io.BytesIO()
        with h5py.File(io.BytesIO(old.read("model.weights.h5"))) as before, h5py.File(weights, "w") as after:
            for path, array in datasets(before, "weights"):
                after["\\".join(path[:-2]) + "/" + "/".join(path[-2:])] = array.read()
        new.writestr("model.weights.h5", weights.getvalue())

    assert tcn_migrate.plan(linux).loads_already
    assert not tcn_migrate.plan(tmp_path / "windows.keras").loads_already


def test_two_arrays_of_one_path_are_refused_by_both_names(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "store.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(2, np.float32)
        file["layers\\dense/vars/0"] = np.ones(2, np.float32)

    with (
        h5py.File(tmp_path / "store.h5") as file,
        pytest.raises(NamingError, match="two arrays have one path") as error,
    ):
        weight_store(file, "store")

    assert "'layers/dense/vars/0'" in str(error.value)
    assert "'layers\\\\dense/vars/0'" in str(error.value)


def test_a_name_of_endless_backslashes_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "store.h5", "w") as file:
        file["layers" + "\\a" * 5000] = np.zeros(2, np.float32)

    with h5py.File(tmp_path / "store.h5") as file, pytest.raises(UnsafeError, match="nested too deeply"):
        weight_store(file, "store")


def test_a_backslash_in_a_layers_name_of_an_h5_stays_what_it_is(tmp_path: Path) -> None:
    dense = {"class_name": "Dense", "config": {"name": "a\\b", "units": 2, "activation": "linear", "use_bias": True}}
    entrance = {"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": [None, 3]}}
    model = {"class_name": "Sequential", "config": {"name": "model", "layers": [entrance, dense]}}
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"a\\b"]
        layer = weights.create_group("a\\b")
        layer.attrs["weight_names"] = [b"a\\b/kernel:0", b"a\\b/bias:0"]
        layer["a\\b/kernel:0"], layer["a\\b/bias:0"] = np.ones((3, 2), np.float32), np.zeros(2, np.float32)

    plan = tcn_migrate.plan(tmp_path / "old.h5")

    assert [source.name for move in plan.moves for source in move.sources] == [
        "a\\b/a\\b/kernel:0",
        "a\\b/a\\b/bias:0",
    ]


def test_variables_that_may_be_there_under_other_names_are_not_called_lost(tmp_path: Path) -> None:
    drawn = Drawn(filters=2, dilations=[1], stacks=1, kernel_size=2, norm=None, first=0, shuffle=0)
    stored = {
        address: (path.replace("layers/dense/vars", "layers:dense/vars"), values)
        for address, (path, values) in arrays(drawn).items()
    }
    write(drawn, tmp_path / "old.keras", stored)
    with pytest.raises(NamingError) as error:
        tcn_migrate.plan(tmp_path / "old.keras")
    assert "2 variables were not found: dense / kernel, dense / bias" in str(error.value)
    assert "'layers:dense/vars/0'" in str(error.value)
    assert "older copy" not in str(error.value)


def test_variables_are_called_lost_where_no_array_is_left_that_could_be_them(tmp_path: Path) -> None:
    drawn = Drawn(filters=2, dilations=[1], stacks=1, kernel_size=2, norm=None, first=0, shuffle=0)
    stored = {address: held for address, held in arrays(drawn).items() if address != ("dense", "bias")}
    write(drawn, tmp_path / "old.keras", stored)
    with pytest.raises(NamingError, match="1 variables are not in the file: dense / bias") as error:
        tcn_migrate.plan(tmp_path / "old.keras")
    assert "No other array in the file could be one of them" in str(error.value)
