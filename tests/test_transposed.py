"""Transposed convolutions with a dilation rate, which Keras 3 builds and cannot compute on TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.config.repairs import repair_layers
from tcn_migrate.errors import SettingError
from tests.cases import case
from tests.config_entries import functional, layer, source

CASE = "calls/dilated-transposes"


def repaired(class_name: str, **settings: Any) -> Any:
    given = {"filters": 2, "kernel_size": [3], "strides": [1], "dilation_rate": [2], "padding": "valid", **settings}
    return repair_layers(functional(source(), layer(class_name, "up", "x", **given)), keras_2=True)


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_the_new_file_predicts_and_trains_as_the_old_library_did(target: str, tmp_path: Path) -> None:
    of = case(CASE)
    golden, step = np.load(of.folder / "golden.npz"), np.load(of.folder / "step.npz")
    inputs = [golden[f"x{n}"] for n in range(3)]

    outcome = tcn_migrate.migrate(of.source, tmp_path / "new.keras", target=target)

    grades = {"/".join(address): grade for address, grade in outcome.provenance.items()}
    assert grades["conv1d_transpose/kernel"] == "reordered"
    assert grades["conv1d_transpose/bias"] == "copied"
    model = keras.saving.load_model(tmp_path / "new.keras")
    assert np.abs(model.predict(inputs, verbose=0) - golden["y0"]).max() < 1e-5 * golden["y0"].std()
    model.train_on_batch(inputs, step["t0"])
    after = model.predict(inputs, verbose=0)
    assert np.abs(golden["y0"] - step["after0"]).max() > 0.1 * step["after0"].std()
    assert np.abs(after - step["after0"]).max() < 1e-3 * step["after0"].std()


@pytest.mark.parametrize(("padding", "around"), [("valid", [6, 6]), ("same", [3, 3])])
def test_zeros_go_around_the_input(padding: str, around: list[int]) -> None:
    _, zeros, up = repaired("Conv1DTranspose", kernel_size=[3], dilation_rate=[3], padding=padding).config["config"][
        "layers"
    ]

    assert zeros["config"]["padding"] == around
    assert (up["class_name"], up["config"]["padding"]) == ("Conv1D", "valid")


def test_the_larger_half_of_an_odd_number_of_zeros_goes_in_front() -> None:
    _, zeros, _ = repaired("Conv1DTranspose", kernel_size=[2], dilation_rate=[3], padding="same").config["config"][
        "layers"
    ]

    assert zeros["config"]["padding"] == [2, 1]


def test_a_hard_sigmoid_behind_it_multiplies_the_kernel_as_well() -> None:
    kernel = np.arange(24, dtype=np.float32).reshape(3, 4, 2)

    transform = repaired("Conv1DTranspose", activation="hard_sigmoid").transforms["up", "kernel"]

    assert np.array_equal(
        transform.apply(kernel), (kernel.astype(np.float64) * 1.2).astype(np.float32)[::-1].swapaxes(1, 2)
    )
    assert transform.shape(kernel.shape) == (3, 2, 4)
    assert not transform.reorders


def test_a_rate_of_three_dimensions_is_ignored_as_it_was() -> None:
    made = repaired("Conv3DTranspose", kernel_size=[2] * 3, dilation_rate=[2] * 3, strides=[2] * 3)
    (_, up) = made.config["config"]["layers"]

    assert (up["class_name"], up["config"]["dilation_rate"]) == ("Conv3DTranspose", [1, 1, 1])
    assert made.transforms == {}


@pytest.mark.parametrize("settings", [{"strides": [2, 2]}, {"dilation_rate": [2, 3]}])
def test_what_the_old_library_could_not_compute_is_refused_by_name(settings: Any) -> None:
    with pytest.raises(SettingError, match="'up'"):
        repaired("Conv2DTranspose", **{"kernel_size": [3, 3], "strides": [1, 1], "dilation_rate": [2, 2], **settings})


def test_without_a_dilation_rate_it_stays_what_it_is() -> None:
    made = repaired("Conv1DTranspose", dilation_rate=[1], strides=[2])

    assert made.config["config"]["layers"][1]["class_name"] == "Conv1DTranspose"
    assert made.transforms == {}
