"""Training goes on where it stopped: the next step of the new model is the old library's next step."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.training.compiling import compile_config
from tcn_migrate.training.tables import LOSSES, METRICS, OPTIMIZERS, SCHEDULES, slots_of
from tests.cases import Case, case, cases

TRAINED = [
    found for found in cases() if found.name.startswith("training/") and "state-not-stored" not in found.facts["tags"]
]


@pytest.mark.parametrize("target", ["layer", "plain"])
@pytest.mark.parametrize("found", TRAINED, ids=lambda found: found.name)
def test_the_next_step_is_the_old_librarys_next_step(found: Case, target: str, tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(found.source, tmp_path / "new.keras", target=target)
    recorded = np.load(found.folder / "next_step.npz")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping variable loading")
        model = keras.saving.load_model(tmp_path / "new.keras")

    model.run_eagerly = True  # one step is not worth compiling it
    model.train_on_batch(recorded["x"], recorded["y"])

    assert outcome.plan.optimizer
    assert bool(outcome.warnings) == ("unordered-step" in found.facts["tags"])
    error = np.abs(np.asarray(model(recorded["x"], training=False)) - recorded["after"]).max() / recorded["after"].std()
    assert error < 1e-5


def test_a_model_whose_optimizer_starts_anew_takes_another_step(tmp_path: Path) -> None:
    """The bound above would not hold for every step: the state matters."""
    found = case("training/adam-h5-tf215-350")
    model = tcn_migrate.migrate(found.source, tmp_path / "new.keras").model
    recorded = np.load(found.folder / "next_step.npz")
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)

    model.train_on_batch(recorded["x"], recorded["y"])

    error = np.abs(np.asarray(model(recorded["x"], training=False)) - recorded["after"]).max() / recorded["after"].std()
    assert error > 1e-3


def test_a_legacy_optimizer_of_a_keras_file_starts_anew_with_a_warning(tmp_path: Path) -> None:
    """Keras 2.15 wrote the schedule and none of the state; its own `load_model` starts it anew, too."""
    plan = tcn_migrate.plan(case("training/legacy-adam-zip-without-state-tf215-350").source)

    assert plan.compile_config is not None
    assert plan.optimizer == ()
    assert [warning for warning in plan.warnings if "stores no state of a legacy optimizer" in warning]


def test_a_missing_slot_of_an_optimizer_without_names_leaves_the_state_out(tmp_path: Path) -> None:
    old = tmp_path / "old.h5"
    old.write_bytes(case("training/adam-standalone-keras224").source.read_bytes())
    with h5py.File(old, "r+") as file:
        del file["optimizer_weights/training/Adam/Variable_7:0"]

    plan = tcn_migrate.plan(old)

    assert plan.optimizer == ()
    assert any("state is left out" in warning for warning in plan.warnings)


def test_that_the_count_of_steps_varies_is_said_only_where_a_step_depends_on_it(tmp_path: Path) -> None:
    source = case("training/adam-standalone-keras231").source
    sgd = changed(
        source, tmp_path / "sgd.h5", optimizer_config={"class_name": "SGD", "config": {"lr": 0.1, "momentum": 0.0}}
    )
    with h5py.File(sgd, "r+") as file:
        for slot in ("m", "v"):
            for number in range(6):
                del file[f"optimizer_weights/training/Adam/{slot}_{number}_1:0"]

    assert any("count of its steps" in warning for warning in tcn_migrate.plan(source).warnings)
    assert not tcn_migrate.plan(sgd).warnings


def test_verification_leaves_the_plan_as_it_was(tmp_path: Path) -> None:
    """Keras replaces settings by objects in what `compile_from_config` is given."""
    source = case("training/sgd-inverse-time-zip-tf215-350").source

    verified = tcn_migrate.migrate(source, tmp_path / "new.keras").plan

    assert verified.compile_config == tcn_migrate.plan(source).compile_config
    json.dumps(verified.compile_config)


def test_slots_of_two_optimizers_are_not_mixed(tmp_path: Path) -> None:
    """The key of a slot names its optimizer; where two have one, neither is taken."""
    from dataclasses import replace

    from tcn_migrate.containers import read_checkpoint
    from tcn_migrate.planning import Choices, make_plan

    checkpoint = read_checkpoint(case("training/adam-decay-savedmodel-tf24-340").source, None)
    doubled = {
        name.replace("/.OPTIMIZER_SLOT/optimizer/", "/.OPTIMIZER_SLOT/second/"): array
        for name, array in checkpoint.arrays.items()
    }
    doubled = {name: replace(array, name=name) for name, array in doubled.items()}

    plan = make_plan(replace(checkpoint, arrays={**doubled, **checkpoint.arrays}), Choices())

    assert plan.optimizer == ()
    assert any("several optimizers have a" in warning for warning in plan.warnings)


def test_a_small_file_is_left_when_the_optimizer_is_dropped(tmp_path: Path) -> None:
    source = case("training/adam-zip-k315-357").source
    tcn_migrate.migrate(source, tmp_path / "full.keras")
    tcn_migrate.migrate(source, tmp_path / "small.keras", drop_optimizer=True)

    assert (tmp_path / "small.keras").stat().st_size < (tmp_path / "full.keras").stat().st_size
    assert "compile_config" not in json.loads(zipfile.ZipFile(tmp_path / "small.keras").read("config.json"))


def test_folded_weights_have_no_slots_and_training_starts_anew(tmp_path: Path) -> None:
    plan = tcn_migrate.plan(case("training/adam-h5-tf215-350").source)
    assert plan.compile_config is not None

    from tcn_migrate.training.slots import carry_slots  # a plan whose kernels were folded

    folded = [
        move if move.address[-1] != "kernel" else type(move)(**{**vars(move), "grade": "folded"}) for move in plan.moves
    ]
    from tcn_migrate.containers import read_checkpoint

    checkpoint = read_checkpoint(case("training/adam-h5-tf215-350").source, None)
    from tcn_migrate.config import normalize

    old = normalize(checkpoint.config, keras_version="2.15.0")
    compiled = compile_config(checkpoint.training or {}, keras_version="2.15.0", outputs=("head",))
    assert compiled is not None

    moves, reason = carry_slots(compiled, checkpoint, old, plan.config, plan.tcns, folded, plan.places)

    assert moves == ()
    assert reason is not None
    assert "not a copy" in reason


def changed(source: Path, path: Path, **attributes: Any) -> Path:
    """A copy of an HDF5 file with another training configuration."""
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        training = json.loads(file.attrs["training_config"])
        file.attrs["training_config"] = json.dumps({**training, **attributes})
    return path


def test_what_keras_does_not_know_is_left_out_with_a_warning_and_never_fatal(tmp_path: Path) -> None:
    old = changed(
        case("training/adam-h5-tf215-350").source, tmp_path / "old.h5", loss="my_quantile_loss", metrics=[["my_metric"]]
    )

    outcome = tcn_migrate.migrate(old, tmp_path / "new.keras")

    said = " ".join(outcome.warnings)
    assert "my_quantile_loss" in said
    assert "my_metric" in said
    assert outcome.plan.optimizer  # the state is still of use to whoever compiles the model again
    keras.saving.load_model(tmp_path / "new.keras")


@pytest.mark.parametrize("slot", ["v", "m"])
def test_state_of_another_shape_or_incomplete_is_left_out_with_the_reason(slot: str, tmp_path: Path) -> None:
    old = tmp_path / "old.h5"
    old.write_bytes(case("training/adam-h5-tf215-350").source.read_bytes())
    with h5py.File(old, "r+") as file:
        name = f"optimizer_weights/Adam/{slot}/front/kernel:0"
        del file[name]
        if slot == "m":
            file[name] = np.zeros((1, 1), np.float32)

    outcome = tcn_migrate.migrate(old, tmp_path / "new.keras")

    assert not outcome.plan.optimizer
    assert any("state is left out" in warning and "front / kernel" in warning for warning in outcome.warnings)


def compiled_in_keras(config: Any) -> Any:
    i = keras.Input((3,))
    model = keras.Model(i, keras.layers.Dense(2, name="head")(i))
    model.compile_from_config(config)
    return model


def test_keras_takes_everything_in_the_tables() -> None:
    for optimizer in OPTIMIZERS:
        stored = {"optimizer_config": {"class_name": optimizer, "config": {"learning_rate": 0.1, "name": "o"}}}
        found = compile_config(stored, keras_version="2.15.0", outputs=("head",))
        assert found is not None
        model = compiled_in_keras(found.config)
        slots = sum(len(group) for group in slots_of(optimizer, found.settings))
        assert slots == 0 or len(model.optimizer.variables) == 2 + 2 * slots  # of a kernel and a bias
    for name, (class_name, allowed) in LOSSES.items():
        for loss in (name, {"class_name": class_name, "config": {"reduction": "auto", "name": "l"}}):
            found = compile_config({"loss": loss}, keras_version="2.15.0", outputs=("head",))
            assert found is not None
            assert found.config["loss"]
            compiled_in_keras(found.config)
        assert "name" in allowed
    for class_name in METRICS.settings:
        stored = {"metrics": [[{"class_name": class_name, "config": {"name": "m", "dtype": "float32"}}]]}
        found = compile_config(stored, keras_version="2.15.0", outputs=("head",))
        assert found is not None
        assert found.config["metrics"]
        compiled_in_keras(found.config)
    arguments = {
        "initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "boundaries": [1], "values": [0.1, 0.2],
        "first_decay_steps": 3,
    }  # fmt: skip
    for schedule in SCHEDULES:
        rate = {"class_name": schedule, "config": arguments}
        stored = {"optimizer_config": {"class_name": "SGD", "config": {"learning_rate": rate}}}
        found = compile_config(stored, keras_version="2.15.0", outputs=("head",))
        assert found is not None
        compiled_in_keras(found.config)


def test_keras_2s_decay_is_the_same_function_as_a_schedule() -> None:
    stored = {"optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.2, "decay": 0.5}}}
    found = compile_config(stored, keras_version="2.4.0", outputs=("head",))
    assert found is not None
    schedule = compiled_in_keras(found.config).optimizer._learning_rate

    for step in range(4):
        assert float(schedule(step)) == pytest.approx(0.2 / (1 + 0.5 * step))


def test_keras_up_to_23_clips_the_length_of_all_gradients_together() -> None:
    stored = {"optimizer_config": {"class_name": "Adam", "config": {"lr": 0.2, "clipnorm": 1.0}}}

    alone = compile_config(stored, keras_version="2.2.4", outputs=("head",))
    of_tensorflow = compile_config(stored, keras_version="2.2.4-tf", outputs=("head",))

    assert alone is not None
    assert of_tensorflow is not None
    assert alone.settings["global_clipnorm"] == 1.0
    assert "clipnorm" not in alone.settings
    assert of_tensorflow.settings["clipnorm"] == 1.0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["class_name", "config", "fn", "name", "learning_rate", "decay", "module", "reduction", "head", "Adam"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(
    ["loss", "metrics", "weighted_metrics", "loss_weights", "optimizer", "optimizer_config"]), anything))  # fmt: skip
def test_no_stored_configuration_is_fatal_and_what_comes_out_is_json(stored: dict[str, Any]) -> None:
    found = compile_config(stored, keras_version="2.15.0", outputs=("head", "tail"))

    if found is not None:
        json.dumps(found.config, allow_nan=False)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "Adam"])
def test_an_optimizer_that_was_given_by_its_name_is_kept(name: str) -> None:
    compiled = compile_config({"optimizer": name, "loss": "mse"}, keras_version="2.15.0", outputs=("head",))

    assert compiled is not None
    assert compiled.optimizer is not None
    assert compiled.optimizer.lower() == name.lower()
    assert not compiled.dropped
