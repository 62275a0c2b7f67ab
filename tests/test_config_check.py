"""Settings of strangers are held against the table; objects that only training needs never stop a migration."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from tcn_migrate.checkpoint import Json
from tcn_migrate.config import repaired
from tcn_migrate.config.catalogue.classes import CLASSES
from tcn_migrate.config.catalogue.defaults import neutral
from tcn_migrate.config.catalogue.objects import cleaned
from tcn_migrate.config.catalogue.settings import OBJECTS
from tcn_migrate.config.guards.settings import check_settings
from tcn_migrate.errors import MigrationError, SettingError, UnknownLayerError, UnsafeError
from tests.config_entries import KEPT, functional, inner, layer, sequential, source


def checked(class_name: str, **config: Any) -> tuple[Json, tuple[str, ...]]:
    model = functional(source(), layer(class_name, "l", "x", **config))
    before = copy.deepcopy(model)
    found, warnings = check_settings(model)
    assert model == before
    return found["config"]["layers"][1]["config"], warnings


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Dense", {"units": -3}),
        ("Dense", {"units": 0}),
        ("Dense", {"units": True}),
        ("Dense", {"units": "3"}),
        ("Dense", {"units": 3.5}),
        ("Dense", {"units": 10**9 * 10**9}),
        ("Dense", {"units": [3]}),
        ("Dense", {"units": 3, "use_bias": "false"}),
        ("Dense", {"units": 3, "no_such_setting": 1}),
        ("Conv1D", {"filters": 3, "kernel_size": []}),
        ("Conv1D", {"filters": 3, "kernel_size": [0]}),
        ("Conv1D", {"filters": 3, "kernel_size": [3] * 10_000}),
        ("Conv1D", {"filters": 3, "kernel_size": [3], "data_format": "evil"}),
        ("Dropout", {"rate": 2}),
        ("Dropout", {"rate": math.nan}),
        ("LeakyReLU", {"negative_slope": math.inf}),
        ("Bidirectional", {"layer": "LSTM"}),
        ("Bidirectional", {"layer": inner("LSTM", units=2), "merge_mode": "evil"}),
        ("StackedRNNCells", {"cells": [3]}),
        ("EinsumDense", {"equation": "a", "output_shape": 3}),
        ("EinsumDense", {"equation": "a" * 10_000 + ",b->ab", "output_shape": 3}),
        ("Rescaling", {"scale": {"class_name": "Dense", "config": {}}}),
        ("Rescaling", {"scale": 10**400}),
        ("Normalization", {"mean": [[1.0, "x" * 1_000_000]]}),
        ("StringLookup", {"vocabulary": None}),
    ],
)
def test_a_setting_that_no_release_could_have_written_is_refused(class_name: str, config: Json) -> None:
    with pytest.raises(SettingError) as refusal:
        checked(class_name, **config)
    assert "'l'" in str(refusal.value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("Dense", {"units": 3, "use_bias": True, "activation": None, "activity_regularizer": None}),
        ("Conv1D", {"filters": 3, "kernel_size": [3], "strides": 1, "padding": "causal", "groups": 1}),
        ("GroupNormalization", {"groups": -1}),
        ("Masking", {"mask_value": math.nan}),
        ("Normalization", {"axis": [-1], "mean": [[1.0, 2.0]], "variance": [[1.0, 2.0]]}),
        ("Cropping2D", {"cropping": [[1, 0], [0, 1]]}),
        ("BatchNormalization", {"axis": 2, "renorm": True, "renorm_clipping": {"rmax": 3.0}, "renorm_momentum": 0.9}),
        ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 64}),
        ("Dense", {"units": 3, "activation": inner("LeakyReLU", negative_slope=0.1)}),
        ("StringLookup", {"vocabulary": ["a", "b"], "output_mode": "int"}),
    ],
)
def test_what_keras_writes_passes_unchanged(class_name: str, config: Json) -> None:
    found, warnings = checked(class_name, **config)
    assert repr(found) == repr({"name": "l", **config})
    assert warnings == ()


@pytest.mark.parametrize("value", [None, False, [], {}])
def test_an_unknown_setting_that_says_nothing_is_left_out(value: Any) -> None:
    assert checked("Dense", units=3, younger_than_us=value) == ({"name": "l", "units": 3}, ())


def test_another_file_as_vocabulary_is_refused() -> None:
    for class_name in ("StringLookup", "IntegerLookup", "TextVectorization"):
        with pytest.raises(UnsafeError, match="/etc/passwd"):
            checked(class_name, vocabulary="/etc/passwd")
    with pytest.raises(UnsafeError, match="function"):
        checked("TextVectorization", vocabulary=["a"], standardize="my_function")


def test_an_activation_is_a_function_of_keras_or_of_the_user() -> None:
    for found in ("my_own", "os.system", inner("LayerNormalization", name="n")):
        with pytest.raises(UnknownLayerError, match="not a function of Keras"):
            checked("Dense", units=3, activation=found)
    model = functional(source(), layer("Dense", "d", "x", units=3, activation="my_own"))
    check_settings(model, frozenset({"my_own"}))


def test_operators_that_could_not_be_replaced_are_refused() -> None:
    with pytest.raises(UnknownLayerError, match="TFOpLambda"):
        checked("TFOpLambda", function="math.multiply")


def test_layers_inside_layers_are_checked() -> None:
    for wrapper in (
        layer("TimeDistributed", "t", "x", layer=inner("Dense", units=-1)),
        layer("RNN", "r", "x", cell=inner("StackedRNNCells", cells=[inner("GRUCell", units=-1)])),
        {**sequential(inner("Dense", units=-1)), "name": "s", "inbound_nodes": []},
    ):
        with pytest.raises(SettingError, match="units"):
            check_settings(functional(source(), wrapper))


@pytest.mark.parametrize(
    ("kind", "stored", "kept"),
    [
        ("initializer", "glorot_uniform", "glorot_uniform"),
        ("regularizer", "l1_l2", "l1l2"),
        ("initializer", None, None),
        (
            "initializer",
            {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}},
            {
                "module": "keras.initializers",
                "class_name": "GlorotUniform",
                "config": {"seed": None},
                "registered_name": None,
            },
        ),
        (
            "initializer",
            {
                "module": "keras.initializers",
                "class_name": "Orthogonal",
                "config": {"gain": 1.0, "seed": {"class_name": "SeedGenerator"}},
                "registered_name": None,
            },
            {
                "module": "keras.initializers",
                "class_name": "OrthogonalInitializer",
                "config": {"gain": 1.0},
                "registered_name": None,
            },
        ),
        (
            "initializer",
            {"class_name": "HeNormal", "config": {"seed": 1, "input_axes": None, "output_axes": None}},
            {
                "module": "keras.initializers",
                "class_name": "HeNormal",
                "config": {"seed": 1},
                "registered_name": None,
            },
        ),
    ],
)
def test_objects_of_keras_are_kept_in_a_form_that_every_release_reads(kind: str, stored: Any, kept: Any) -> None:
    assert cleaned(kind, stored) == (kept, True)


@pytest.mark.parametrize(
    "stored",
    [
        "my_init",
        {"class_name": "function", "config": "my_init", "module": "builtins"},
        {"class_name": "__lambda__", "config": {"code": "4wAA"}},
        {"class_name": "Evil", "config": {}, "module": "evil"},
        {"class_name": "HeNormal", "config": {"seed": 1}, "registered_name": "Custom>HeNormal"},
        {"class_name": "HeNormal", "config": {"seed": 1, "scale": 3}},
        {"class_name": "Constant", "config": {"value": [1.0] * 4}},
        {"class_name": "RandomNormal", "config": {"mean": math.nan}},
        {"class_name": "HeNormal", "config": 3},
        3,
    ],
)
def test_any_other_object_is_left_out_with_a_warning(stored: Any) -> None:
    found, warnings = checked("Dense", units=3, kernel_initializer=stored)
    assert found == {"name": "l", "units": 3}
    assert len(warnings) == 1
    assert "kernel_initializer" in warnings[0]


def test_every_object_is_kept_by_its_name_alone() -> None:
    for kind, table in OBJECTS.items():
        for class_name in table:
            found, known = cleaned(kind, {"class_name": class_name, "config": {}})
            assert known
            assert cleaned(kind, found) == (found, True)


@pytest.mark.parametrize("class_name", sorted(row.name for row in CLASSES.values() if row.younger))
def test_a_default_that_only_younger_releases_know_is_left_out(class_name: str) -> None:
    defaults = CLASSES[class_name].younger
    assert set(defaults) <= KEPT[class_name]
    model = functional(source(), layer(class_name, "l", "x", **defaults))
    assert neutral(model)["config"]["layers"][1]["config"] == {"name": "l"}
    for key, value in defaults.items():
        other = "other" if value is None else not value if isinstance(value, bool) else "channels_first"
        model = functional(source(), layer(class_name, "l", "x", **{key: other}))
        assert neutral(model)["config"]["layers"][1]["config"] == {"name": "l", key: other}


def test_settings_of_a_batch_renormalization_stay_with_it() -> None:
    renorm = {"renorm_clipping": {}, "renorm_momentum": 0.9}
    for on, kept in ((False, {}), (True, {"renorm": True, **renorm})):
        model = sequential(inner("BatchNormalization", renorm=on, **renorm))
        assert neutral(model)["config"]["layers"][0]["config"] == kept


def test_what_lora_learned_is_in_the_kernel() -> None:
    model = sequential(inner("Dense", units=2, lora_rank=4, lora_alpha=2))
    assert neutral(model)["config"]["layers"][0]["config"] == {"units": 2}


def operation(class_name: str, name: str, *inputs: str, **config: Any) -> Json:
    return {**layer(class_name, name, *inputs, **config), "module": "keras.src.ops.numpy"}


def test_operations_with_settings_take_no_name_unless_a_layer_has_that_of_their_class() -> None:
    mean = operation("Mean", "mean_7", "x", axis=1)
    added = operation("Add", "add_3", "mean_7")
    for other, name in (("m", None), ("mean_3", "mean_7")):
        model = functional(source(), mean, added, layer("Dense", other, "add_3", units=2))
        _, found, plain, _ = neutral(model)["config"]["layers"]
        assert found["config"].get("name") == name
        assert found["name"] == "mean_7"
        assert plain["config"] == {"name": "add_3"}


def test_messages_carry_nothing_of_a_stranger_raw() -> None:
    evil = "\x1b[31m\u202e\nVERIFIED: all predictions equal"
    for config in ({"units": evil}, {"units": 3, evil: 1}, {"units": 3, "activation": evil}):
        with pytest.raises(MigrationError) as refusal:
            check_settings(functional(source(), layer("Dense", evil, "x", **config)))
        assert not set(str(refusal.value)) & set("\x1b\u202e\n")


@pytest.mark.parametrize("class_name", ["Functional", "Sequential"])
@pytest.mark.parametrize("setting", ["no_such_setting", "units", "trainable"])
def test_half_a_model_in_a_setting_is_refused_by_the_name_of_the_setting(class_name: str, setting: str) -> None:
    half = {"module": "keras", "class_name": class_name, "config": {"name": "x"}, "registered_name": None}
    model = functional(source(), layer("Dense", "l", "x", **{"units": 3, setting: half}))

    with pytest.raises(SettingError, match=setting):
        repaired(model, keras_2=True, keras_version="2.15.0")


@pytest.mark.parametrize("supplied", [{"double"}, {"double", "mine>double"}])
def test_a_function_of_the_users_is_written_as_keras_finds_it(supplied: set[str]) -> None:
    model = functional(source(), layer("Dense", "d", "x", units=2, activation="double"))

    checked, _ = check_settings(model, frozenset(supplied))

    activation = checked["config"]["layers"][1]["config"]["activation"]
    assert (activation["class_name"], activation["config"]) == ("function", max(supplied, key=len))
