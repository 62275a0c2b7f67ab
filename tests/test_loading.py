"""An old file opens in place: as a model, or as weights for a model that is built in today's Keras."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.errors import MigrationError, NamingError
from tests.cases import Case, case


def architecture(found: Case) -> str | None:
    return dict(zip(found.options[::2], found.options[1::2], strict=False)).get("--architecture")


def off(model: Any, found: Case) -> float:
    """The largest difference from the old library's predictions, in their standard deviations."""
    golden = np.load(found.folder / "golden.npz")
    return float(np.abs(model.predict_on_batch(golden["x0"]) - golden["y0"]).max() / golden["y0"].std())


def built(found: Case, prefix: str = "") -> Any:
    """The model as its user builds it today, with new weights; its layers' names begin with `prefix`."""
    config = tcn_migrate.load_model(found.source, architecture=architecture(found)).get_config()
    model = keras.Model.from_config(config, custom_objects={"TCN": tcn_migrate.TCN})
    if prefix:
        model = keras.models.clone_model(
            model, clone_function=lambda layer: type(layer).from_config(renamed(layer.get_config(), prefix))
        )
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(np.full(variable.shape, 0.125))
    return model


def renamed(config: Any, prefix: str) -> Any:
    return {**config, "name": prefix + config["name"]}


@pytest.mark.parametrize(
    "name",
    ["keras2/elu-skip-312", "keras2/savedmodel-tf26-340", "keras3/numbered-from-20-k38", "training/adam-h5-tf215-350"],
)
def test_load_model_gives_the_old_model(name: str) -> None:
    found = case(name)
    before = sorted(os.listdir(found.folder))

    model = tcn_migrate.load_model(found.source)

    assert off(model, found) < 1e-5
    assert sorted(os.listdir(found.folder)) == before


def test_load_model_compiles_it_unless_told_not_to() -> None:
    source = case("training/adam-h5-tf215-350").source

    assert int(tcn_migrate.load_model(source).optimizer.iterations) == 3
    assert not tcn_migrate.load_model(source, compile=False).compiled


@pytest.mark.parametrize(
    "name",
    [
        "keras2/weights-tf212-350",
        "keras2/weight-norm-weights-340",
        "keras2/checkpoint-tf215-354",
        "keras2/nested-340",
        "keras2/savedmodel-tf26-340",
        "keras2/zip-batch-norm-tf215-354",
        "keras3/weights-only-numbered",
        "keras3/numbered-from-20-k38",
    ],
)
def test_load_weights_gives_a_model_built_today_what_the_file_holds(name: str) -> None:
    found = case(name)
    model = built(found)
    assert off(model, found) > 1e-2

    tcn_migrate.load_weights(model, found.source)

    assert off(model, found) < 1e-5


def test_layers_of_other_names_are_paired_in_their_order_with_a_warning() -> None:
    found = case("keras2/weight-norm-weights-340")
    model = built(found, prefix="new_")

    with pytest.warns(UserWarning, match="paired in their order.*'new_tcn' from 'tcn'"):
        tcn_migrate.load_weights(model, found.source)

    assert off(model, found) < 1e-5


def test_a_model_that_does_not_fit_keeps_its_own_variables() -> None:
    found = case("keras2/weight-norm-weights-340")
    width = np.load(found.folder / "golden.npz")["x0"].shape[-1]
    inputs = keras.Input((None, width))
    model = keras.Model(inputs, keras.layers.Dense(3)(tcn_migrate.TCN(5, 2, dilations=(1,))(inputs)))
    before = [np.array(variable) for variable in model.variables]

    with pytest.raises(MigrationError):
        tcn_migrate.load_weights(model, found.source)

    assert all(np.array_equal(old, variable) for old, variable in zip(before, model.variables, strict=True))


def test_a_model_that_is_not_built_is_refused_with_what_to_do() -> None:
    model = keras.Sequential([keras.layers.Dense(3)])

    with pytest.raises(NamingError, match="Call it once"):
        tcn_migrate.load_weights(model, case("keras2/weight-norm-weights-340").source)


def test_classes_of_the_users_own_in_the_model_need_no_mention() -> None:
    found = case("mixed/tf215-own-layer-refused")

    class TimeWeights(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(name="kernel", shape=(shape[1], 1))

        def call(self, x: Any) -> Any:
            return x * self.w

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = tcn_migrate.load_model(found.source, {"TimeWeights": TimeWeights})
        own = {"TimeWeights": TimeWeights, "TCN": tcn_migrate.TCN}
        model = keras.Model.from_config(wanted.get_config(), custom_objects=own)
        tcn_migrate.load_weights(model, found.source)

    x = np.random.default_rng(0).standard_normal((2, *wanted.input_shape[1:]))
    np.testing.assert_array_equal(model.predict_on_batch(x), wanted.predict_on_batch(x))


def test_weights_of_a_subclassed_model_go_into_the_class_by_the_way_that_the_refusal_names() -> None:
    import keras

    class Classifier(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.features = keras.layers.Conv1D(4, 2, activation="relu")
            self.norm = keras.layers.BatchNormalization()
            self.pool = keras.layers.GlobalAveragePooling1D()
            self.head = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.head(self.pool(self.norm(self.features(x))))

    folder = Path(__file__).parent / "data/subclassed"
    golden, model = np.load(folder / "golden.npz"), Classifier()
    model(golden["x0"])
    with pytest.raises(tcn_migrate.MigrationError, match=r"subclass of keras.Model.*keras.Model\(x, model.call\(x\)\)"):
        tcn_migrate.load_weights(model, folder / "weights.h5")
    x = keras.Input((6, 3))
    functional = keras.Model(x, model.call(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers are paired in their order
        tcn_migrate.load_weights(functional, folder / "weights.h5")
    np.testing.assert_allclose(np.asarray(model(golden["x0"])), golden["y0"], rtol=1e-5)
