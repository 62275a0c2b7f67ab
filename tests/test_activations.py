"""Activations that are layers, names of classes, or functions of TensorFlow mean what they meant in Keras 2."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.config.catalogue.activations import OPERATIONS, of_layer
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.guards.settings import check_settings
from tcn_migrate.errors import SettingError, UnknownLayerError, UnsafeError
from tcn_migrate.tcn.activations import function
from tcn_migrate.tcn.rewriting import written
from tcn_migrate.tcn.settings import read_activation
from tests.cases import case
from tests.config_entries import functional, inner, layer, source

X = np.clip(np.random.default_rng(0).standard_normal((2, 5, 3)) * 2, -1.4, 1.4)  # between the poles of the tangent


def stored(class_name: str, **config: Any) -> Any:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    ("given", "name", "settings"),
    [
        ("LeakyReLU", "LeakyReLU", {"negative_slope": 0.3}),
        (stored("LeakyReLU", name="a", alpha=0.2), "LeakyReLU", {"negative_slope": 0.2}),
        (stored("LeakyReLU", negative_slope=0.1), "LeakyReLU", {"negative_slope": 0.1}),
        ("ELU", "ELU", {"alpha": 1.0}),
        ("ReLU", "ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
        (stored("ThresholdedReLU", theta=0.4), "ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.4}),
        (stored("Softmax", axis=1), "Softmax", {"axis": -2}),
        ({"class_name": "Softmax", "config": {"axis": [1, 2]}}, "Softmax", {"axis": [-2, -1]}),
        (stored("Activation", activation="tanh"), "tanh", {}),
        ("softmax_v2", "softmax", {}),
        ("exp", "exponential", {}),
        ({"module": "builtins", "class_name": "function", "config": "sin"}, "sin", {}),
    ],
)
def test_a_stored_activation_is_read_as_the_old_library_meant_it(given: Any, name: str, settings: Any) -> None:
    assert read_activation(given, "tcn") == (name, settings)


ACTIVATIONS = [(name, {}) for name in OPERATIONS] + [
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ELU", {"alpha": 0.5}),
    ("ReLU", {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.2}),
    ("ReLU", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    ("Softmax", {"axis": -2}),
    ("Softmax", {"axis": [-2, -1]}),
]


@pytest.mark.parametrize(("name", "settings"), ACTIVATIONS, ids=lambda value: str(value))
def test_what_is_written_computes_what_the_forward_pass_does(name: str, settings: Any) -> None:
    got = keras.activations.get(written(name, settings))(X.astype(np.float32))

    assert np.abs(np.asarray(got) - function(name, settings)(X)).max() < 1e-5


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (stored("PReLU", name="p", shared_axes=[3]), SettingError, "shared_axes that cannot be"),
        (stored("PReLU", name="p", shared_axes="1"), SettingError, "shared_axes that cannot be"),
        (stored("PReLU", name="p", shared_axes=[1], alpha_constraint="NonNeg"), SettingError, "alpha_constraint"),
        (stored("Dropout", rate=0.5), SettingError, "is not known"),
        (stored("LeakyReLU", alpha="0.2"), SettingError, "is not known"),
        ({"module": "os", "class_name": "LeakyReLU", "config": {}}, UnsafeError, "never run"),
        ({"class_name": "__lambda__", "config": {"value": "4wA="}}, UnsafeError, "never run"),
        ({"class_name": "function", "config": "system", "module": "os"}, SettingError, "is not known"),
    ],
)
def test_anything_else_is_refused_with_the_reason(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_activation(given, "tcn")


def test_a_setting_that_is_no_number_is_no_activation() -> None:
    assert of_layer("ELU", {"alpha": float("inf")}) is None
    assert of_layer("Softmax", {"axis": True}) is None


@pytest.mark.parametrize(
    "name", ["class-name-h5", "class-name-zip", "class-name-savedmodel", "class-name-checkpoint", "numbered-h5"]
)
@pytest.mark.parametrize("target", ["layer", "plain"])
def test_slopes_of_each_place_are_told_apart(name: str, target: str, tmp_path: Path) -> None:
    of = case(f"prelu/tf215-{name}")
    golden = np.load(of.folder / "golden.npz")
    new = tmp_path / "new.keras"
    beside = {"architecture": of.folder / "model.json"} if of.options else {}
    tcn_migrate.migrate(of.source, new, target=target, **beside)
    model = keras.saving.load_model(new)
    slopes = [variable for variable in model.weights if variable.name == "alpha"]
    assert np.abs(model.predict(golden["x0"], verbose=0) - golden["y0"]).max() < 1e-5 * golden["y0"].std()

    many = np.random.default_rng(0).standard_normal((64, 8, 3)).astype(np.float32) * 3
    right = model.predict(many, verbose=0)
    for first, second in pairwise(slopes):
        values = [np.asarray(first), np.asarray(second)]
        idle = "block_1/sum" in second.path  # behind the last skip connection
        in_a_row = "activation_1" in first.path and "branch_activation" in second.path  # where slopes only multiply
        if values[0].shape != values[1].shape or idle or in_a_row:
            continue
        first.assign(values[1])
        second.assign(values[0])
        assert np.abs(model.predict(many, verbose=0) - right).max() > 1e-3 * right.std()
        first.assign(values[0])
        second.assign(values[1])


def test_a_prelu_may_stand_where_it_is_called_once_and_not_in_a_loop() -> None:
    prelu = inner("PReLU", name="p")
    check_settings(functional(source(), layer("Dense", "d", "x", units=2, activation=prelu)))

    for owner in ("GRU", "LSTM"):
        with pytest.raises(UnknownLayerError, match="PReLU"):
            check_settings(functional(source(), layer(owner, "d", "x", units=2, activation=prelu)))


@pytest.mark.parametrize("target", ["layer", "plain"])
@pytest.mark.parametrize("name", ["calls/activations", "calls/activations-zip", "calls/activations-of-tensorflow"])
def test_a_real_file_predicts_the_same_and_trains_on(name: str, target: str, tmp_path: Path) -> None:
    of = case(name)
    golden = np.load(of.folder / "golden.npz")

    tcn_migrate.migrate(of.source, tmp_path / "new.keras", target=target)

    model = keras.saving.load_model(tmp_path / "new.keras")
    assert np.abs(model.predict(golden["x0"], verbose=0) - golden["y0"]).max() < 1e-5 * golden["y0"].std()
    if (of.folder / "step.npz").exists():
        step = np.load(of.folder / "step.npz")
        model.train_on_batch(golden["x0"], step["t0"])
        after = model.predict(golden["x0"], verbose=0)
        assert np.abs(after - step["after0"]).max() < 1e-3 * step["after0"].std()
        assert np.abs(golden["y0"] - step["after0"]).max() > 0.1 * step["after0"].std()


def test_operations_of_keras_3_are_known_in_hdf5_which_stores_no_module(tmp_path: Path) -> None:
    i = keras.Input((6, 4))
    x = keras.layers.Dense(4)(i)
    ops = keras.ops
    ends = [
        ops.mean(x, axis=1),
        ops.add(x, 1.0)[:, 0],
        keras.layers.Add()([x, x])[:, 1],
        ops.softmax(x)[:, 0],
        keras.layers.Softmax()(x)[:, 1],
        ops.average(x, axis=1),
        ops.reshape(x, (-1, 24)),
        ops.where(x > 0, x, 0.0)[:, 2],
        ops.norm(x, axis=-1),
        ops.rsqrt(x * x + 1.0)[:, 0],
        ops.einsum("abc,abc->ac", x, x),
        ops.concatenate([x, x], axis=-1)[:, 3],
    ]
    model = keras.Model(i, keras.layers.Concatenate()(ends))
    model.save(tmp_path / "old.h5")

    tcn_migrate.migrate(tmp_path / "old.h5", tmp_path / "new.keras")

    given = np.random.default_rng(0).standard_normal((3, 6, 4)).astype(np.float32)
    new = keras.saving.load_model(tmp_path / "new.keras")
    assert np.array_equal(new.predict(given, verbose=0), model.predict(given, verbose=0))


def test_a_reference_in_an_activation_is_no_activation() -> None:
    with pytest.raises(SettingError):
        read_activation(["LeakyReLU", tensor("x")], "tcn")
