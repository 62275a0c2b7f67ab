"""The `training` argument of a call means in the new file what it meant in Keras 2, in predictions and in training."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate.checkpoint import Json
from tcn_migrate.cli.main import main
from tcn_migrate.config.catalogue.classes import CLASSES
from tcn_migrate.config.guards.settings import check_settings
from tcn_migrate.config.model_repairs.fixed_training import (
    depends_on_training,
    fix_training,
    refuse_random_replaced,
)
from tcn_migrate.errors import SettingError
from tcn_migrate.tcn.fixed_training import FixedTraining
from tests.cases import Case, case
from tests.config_entries import KEPT, functional, inner, layer, sequential, source

TRUE, FALSE, DRAWN = "calls/training-true", "calls/training-false", "calls/training-true-plain"


def called(entry: Json, *values: Any) -> Json:
    """The entry with the argument `training` in its calls; `...` is none."""
    calls = [
        {**call, "kwargs": call["kwargs"] if value is ... else {"training": value}}
        for call, value in zip(entry["inbound_nodes"], values, strict=True)
    ]
    return {**entry, "inbound_nodes": calls}


def fixed(*layers: Json, wrap: bool = True, version: str = "2.15.0") -> dict[str, Json]:
    """The layers of a model after it, by name."""
    made = fix_training(functional(source(), *layers), wrap=wrap, keras_version=version, channels=lambda address: 3)
    return {entry["name"]: entry for entry in made.config["config"]["layers"]}


def arguments(entry: Json) -> list[Json]:
    return [call["kwargs"] for call in entry["inbound_nodes"]]


def recorded(of: Case, file: str, letter: str) -> list[Any]:
    held = np.load(of.folder / file)
    return [held[key] for key in sorted(key for key in held.files if key.startswith(letter))]


@pytest.mark.parametrize(
    ("name", "target"), [(TRUE, "layer"), (FALSE, "layer"), (FALSE, "plain"), (DRAWN, "layer"), (DRAWN, "plain")]
)
def test_the_next_training_step_is_that_of_the_old_library(name: str, target: str, tmp_path: Path) -> None:
    of = case(name)
    outcome = tcn_migrate.migrate(of.source, tmp_path / "new.keras", target=target)
    assert not [warning for warning in outcome.warnings if "training" in warning]
    model = keras.saving.load_model(tmp_path / "new.keras")
    (x,), (t,), (after,) = recorded(of, "golden.npz", "x"), recorded(of, "step.npz", "t"), recorded(of, "step.npz", "a")

    model.train_on_batch(x, t)
    got = model.predict(x, verbose=0)

    (before,) = recorded(of, "golden.npz", "y")
    assert np.abs(after - before).max() > 0.1 * before.std()
    assert np.abs(got - after).max() < 1e-3 * after.std()


@pytest.mark.parametrize("name", [TRUE, FALSE])
def test_a_new_file_that_fixes_training_is_verified_against_the_old_predictions(name: str, tmp_path: Path) -> None:
    of, new = case(name), tmp_path / "new.keras"
    tcn_migrate.migrate(of.source, new, verify=False)

    done = CliRunner().invoke(main, ["verify", str(new), "--golden", str(of.folder / "golden.npz")])

    assert done.exit_code == 0, done.output


def test_a_new_file_that_fixes_training_needs_this_package_and_says_so(tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    tcn_migrate.migrate(case(FALSE).source, new, verify=False)

    assert not tcn_migrate.plan(new).loads_already
    with pytest.raises(SettingError, match=r"(?s)training argument of a call.*--target layer"):
        tcn_migrate.migrate(new, tmp_path / "plain.keras", target="plain")


@pytest.mark.parametrize(
    ("damage", "message"), [({"training": "yes"}, "training has a wrong value"), ({"layer": 3}, "layer is not a layer")]
)
def test_a_damaged_wrapper_is_refused_by_name(damage: Json, message: str) -> None:
    entry = fixed(called(layer("BatchNormalization", "norm", "x"), True))["norm"]
    broken = {**entry, "config": {**entry["config"], **damage}}

    with pytest.raises(SettingError, match=message):
        check_settings(functional(source(), broken))


def test_the_plain_target_refuses_what_would_predict_something_else(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"(?s)training=True.*--target layer"):
        tcn_migrate.migrate(case(TRUE).source, tmp_path / "new.keras", target="plain")

    assert list(tmp_path.iterdir()) == []


def test_the_plain_target_warns_where_training_goes_on_differently() -> None:
    masked = layer("Masking", "masking", "x")
    norm = called(layer("BatchNormalization", "norm", "masking"), False)

    made = fix_training(functional(source(), masked, norm), wrap=False, channels=lambda address: 3)

    assert made.config["config"]["layers"][-1] == layer("BatchNormalization", "norm", "masking")
    (warning,) = made.warnings
    assert "'norm'" in warning
    assert "training goes on differently" in warning


@pytest.mark.parametrize(
    ("value", "settings"),
    [(True, {}), (False, {}), (True, {"center": False}), (False, {"scale": False, "center": False})],
)
@pytest.mark.parametrize(("shape", "axis"), [((8, 3), -1), ((8, 3), 2), ((3,), -1), ((4, 5, 3), 3)])
def test_a_batch_norm_in_keras_own_layers_computes_what_the_wrapped_one_does(
    value: bool, settings: Any, shape: tuple[int, ...], axis: int
) -> None:
    norm = called(layer("BatchNormalization", "norm", "x", axis=axis, epsilon=0.01, **settings), value)
    model = functional(source("x", (None, *shape)), norm)
    with_gamma = settings.get("scale", True)
    made = fix_training(model, wrap=False, channels=lambda address: 3 if with_gamma else None)
    rng = np.random.default_rng(0)
    own = keras.layers.BatchNormalization(axis=axis, epsilon=0.01, **settings)
    own.build((None, *shape))
    own.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in own.weights])
    new = keras.saving.deserialize_keras_object(made.config)
    stored = {("norm", variable.name): variable.numpy() for variable in own.weights}
    for address, array in stored.items():
        if address in made.idle:
            continue
        at, name = made.places.get(address, address)
        next(v for v in new.get_layer(at).weights if v.name == name).assign(array)
    x = rng.standard_normal((6, *shape)).astype(np.float32) * 2 + 1

    got = new.predict(x, verbose=0)

    assert np.abs(got - np.asarray(own(x, training=value))).max() < 1e-5
    assert len(new.trainable_variables) == len(own.trainable_variables)
    assert (made.idle == set()) != value


@pytest.mark.parametrize("settings", [{"renorm": True}, {"scale": False}, {"dtype": "mixed_float16"}, {"axis": 1}])
def test_a_batch_norm_that_cannot_be_drawn_is_refused(settings: Any) -> None:
    with pytest.raises(SettingError, match="--target layer"):
        fixed(called(layer("BatchNormalization", "norm", "x", **settings), True), wrap=False)


def test_a_value_that_changes_nothing_is_left_out() -> None:
    found = fixed(
        called(layer("GRU", "gru", "x", units=2, dropout=0.0), True),
        called(layer("Dropout", "drop", "gru", rate=0.0), True),
        called(layer("BatchNormalization", "norm", "drop", trainable=False), True),
    )

    assert [arguments(found[name]) for name in ("gru", "drop", "norm")] == [[{}]] * 3
    assert all(entry["class_name"] != "FixedTraining" for entry in found.values())


@pytest.mark.parametrize("wrap", [True, False])
def test_a_rate_that_is_never_used_is_0(wrap: bool) -> None:
    rnn = inner("LSTM", name="lstm", units=2, dropout=0.2, recurrent_dropout=0.3)

    found = fixed(
        called(layer("Dropout", "drop", "x", rate=0.5), False),
        called(layer("Bidirectional", "both", "drop", layer=rnn), 0),
        layer("Dropout", "other", "both", rate=0.5),
        wrap=wrap,
    )

    assert found["drop"]["config"]["rate"] == 0
    assert found["both"]["config"]["layer"]["config"] == {**rnn["config"], "dropout": 0.0, "recurrent_dropout": 0.0}
    assert found["other"]["config"]["rate"] == 0.5


def test_the_layers_of_a_nested_model_have_its_value_unless_they_have_their_own() -> None:
    nested = functional(
        source("i"),
        called(layer("Dropout", "own", "i", rate=0.5), True),
        layer("Dropout", "drop", "own", rate=0.5),
        name="nested",
    )
    chain = sequential(inner("BatchNormalization", name="norm"), inner("Dropout", name="drop", rate=0.5), name="chain")
    calls = layer("", "", "x")["inbound_nodes"]

    found = fixed(*(called({**m, "name": m["config"]["name"], "inbound_nodes": calls}, False) for m in (nested, chain)))

    _, own, drop = found["nested"]["config"]["layers"]
    assert (own["class_name"], own["config"]["training"]) == ("FixedTraining", True)
    assert own["config"]["layer"]["config"]["rate"] == 0.5
    assert drop["config"]["rate"] == 0
    norm, drop = found["chain"]["config"]["layers"]
    assert (norm["class_name"], norm["config"]["training"]) == ("FixedTraining", False)
    assert drop["config"]["rate"] == 0


def test_calls_of_a_shared_layer_keep_their_own_values() -> None:
    found = fixed(called(layer("BatchNormalization", "norm", "x", "x", "x"), True, ..., False))

    assert arguments(found["norm"]) == [{"fixed": True}, {}, {"fixed": False}]
    assert found["norm"]["config"]["training"] is None


def test_a_value_that_is_a_tensor_is_refused() -> None:
    with pytest.raises(SettingError, match="not a constant"):
        fixed(called(layer("Dropout", "drop", "x", rate=0.5), layer("", "", "x")["inbound_nodes"][0]["args"][0]))


def test_a_batch_norm_of_all_steps_is_not_taken_for_one_of_each() -> None:
    each = layer("TimeDistributed", "each", "x", layer=inner("BatchNormalization", name="norm"))

    for wrap in (True, False):
        with pytest.raises(SettingError, match="statistics of all steps"):
            fixed(called(each, True), wrap=wrap)

    assert fixed(called(each, False))["each"]["class_name"] == "FixedTraining"


def test_a_tcn_of_each_step_is_not_said_with_the_batch_norms_of_all_steps() -> None:
    norm = layer("BatchNormalization", "norm", "i")
    drawn = functional(source("i", (None, 8, 3)), norm, name="each")
    each = {**drawn, "name": "each", "inbound_nodes": layer("", "", "x")["inbound_nodes"]}
    model = functional(source("x", (None, 8, 3)), called(each, True))

    def fix(**keywords: Any) -> Any:
        return fix_training(model, wrap=False, channels=lambda address: 3, **keywords)

    assert ("each", "norm", "moving_mean") in fix().idle
    with pytest.raises(SettingError, match="statistics of all steps"):
        fix(by_steps={("each",)})


@pytest.mark.parametrize(("version", "refused"), [("2.2.4-tf", True), ("2.3.1", True), ("2.3.0-tf", False)])
def test_a_frozen_batch_norm_that_trained_all_the_same_is_refused(version: str, refused: bool) -> None:
    norm = called(layer("BatchNormalization", "norm", "x", trainable=False), True)
    if refused:
        with pytest.raises(SettingError, match="not trainable"):
            fixed(norm, version=version)
    else:
        assert fixed(norm, version=version)["norm"]["class_name"] == "BatchNormalization"


@pytest.mark.parametrize("class_name", ["RandomCrop", "RandomHeight", "RandomWidth"])
def test_a_layer_that_is_random_in_predictions_and_would_be_replaced_is_refused(class_name: str) -> None:
    crop, drop = layer(class_name, "crop", "x"), layer("Dropout", "drop", "crop", rate=0.5)
    refuse_random_replaced(functional(source(), crop, called(drop, False)))

    with pytest.raises(SettingError, match=f"'crop'.*{class_name}|{class_name}.*'crop'"):
        refuse_random_replaced(functional(source(), crop, called(drop, True)))


def test_every_layer_of_keras_that_knows_training_is_in_the_tables() -> None:
    by_parts = {"Bidirectional", "TimeDistributed", "RNN", "StackedRNNCells", "BatchNormalization"}
    same_in_both = {"CenterCrop", "Equalization", "ContrastLimitedAdaptiveHistogramEqualization", "Resizing"}
    same_in_both |= {"MaxNumBoundingBoxes", "Dense", "EinsumDense"}  # the last two for quantized training alone
    known = {
        name
        for name in KEPT
        if hasattr(keras.layers, name) and "training" in inspect.signature(getattr(keras.layers, name).call).parameters
    }

    in_the_rows = {row.name for row in CLASSES.values() if row.rates or row.random}
    assert known - in_the_rows - by_parts - same_in_both == set()


@pytest.mark.parametrize("value", [True, False, None])
def test_the_layer_passes_its_own_value_on(value: bool | None) -> None:
    i = keras.Input((4, 3))
    model = keras.Model(i, FixedTraining(keras.layers.BatchNormalization(), value)(i))
    model = keras.Model.from_config(model.get_config())
    x = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32) * 3 + 1

    got = model.predict(x, verbose=0)

    wanted = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-3) if value else x / np.sqrt(1 + 1e-3)
    assert np.abs(got - wanted).max() < 1e-4


def test_each_call_may_have_its_own_value() -> None:
    i = keras.Input((4, 3))
    drop = FixedTraining(keras.layers.Dropout(0.5))
    model = keras.Model(i, [drop(i, fixed=True), drop(i)])
    x = np.ones((5, 4, 3), np.float32)

    dropped, whole = model.predict(x, verbose=0)

    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert np.array_equal(whole, x)


def test_a_mask_passes_through_as_through_the_layer_inside() -> None:
    i = keras.Input((4, 3))
    masked = keras.layers.Masking()(i)
    bare = keras.Model(i, keras.layers.GlobalAveragePooling1D()(keras.layers.Dropout(0.0)(masked)))
    same = FixedTraining(keras.layers.Dropout(0.0), True)(masked)
    wrapped = keras.Model(i, keras.layers.GlobalAveragePooling1D()(same))
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    x[:, 2:] = 0

    assert np.array_equal(wrapped.predict(x, verbose=0), bare.predict(x, verbose=0))
    assert not np.allclose(bare.predict(x, verbose=0), x.mean(1))


def test_a_layer_of_the_users_own_may_depend_on_it() -> None:
    own = {**inner("Mine", name="mine"), "module": "mine", "registered_name": "mine>Mine"}

    assert depends_on_training(own)
