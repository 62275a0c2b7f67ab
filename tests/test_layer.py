"""The layer has none of keras-tcn 3.5.7's faults, on whatever backend Keras runs (KERAS_BACKEND)."""

from __future__ import annotations

import copy
import json
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate import TCN
from tcn_migrate.tcn.forward import forward
from tcn_migrate.tcn.generations import GENERATIONS
from tcn_migrate.tcn.layer import LegacyTCN, ResidualBlock
from tcn_migrate.tcn.settings import read_settings

pytestmark = pytest.mark.filterwarnings("ignore:The structure of `inputs`")

WIDTH = 3


def inputs(time: int = 12, batch: int = 2) -> Any:
    return np.random.default_rng(0).standard_normal((batch, time, WIDTH)).astype(np.float32)


def array(tensor: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def small(**settings: Any) -> TCN:
    return TCN(**{"nb_filters": 4, "kernel_size": 2, "dilations": (1, 2), **settings})


def model_of(layer: Any, time: int | None = 12) -> Any:
    i = keras.Input((time, WIDTH))
    return keras.Model(i, keras.layers.Dense(1)(layer(i)))


def computed(layer: TCN, x: Any) -> Any:
    """The independent forward pass over the layer's own variables."""
    config = {**layer.get_config(), "nb_filters": layer.get_config()["nb_filters"]}
    found: dict[tuple[str, ...], Any] = {}
    for block in layer.residual_blocks:
        parts = {"conv1D_0": block.conv1D_0, "conv1D_1": block.conv1D_1}
        if block.matching:
            parts["matching_conv1D"] = block.matching_conv1D
        parts |= {f"norm_{slot}": norm for slot, norm in enumerate(block.norms)}
        for name, part in parts.items():
            found |= {(block.name, name, variable.name): array(variable) for variable in part.variables}
    if layer.generation.first_convolution:
        found |= {("main_conv1D", variable.name): array(variable) for variable in layer.main_conv1D.variables}
    return forward(read_settings(config, "tcn"), layer.generation, found, x)


@pytest.mark.parametrize("row", sorted(GENERATIONS))
@pytest.mark.parametrize(
    "settings",
    [
        {"padding": "same", "use_batch_norm": True},
        {"padding": "causal", "use_layer_norm": True, "go_backwards": True, "return_sequences": True},
        {"activation": "tanh", "use_skip_connections": False, "nb_filters": (2, 3), "nb_stacks": 2},
        {"activation": "keras2_hard_sigmoid", "return_sequences": True, "dilations": (3,)},
    ],
)
def test_it_computes_what_the_forward_pass_does(row: str, settings: dict[str, Any]) -> None:
    layer = LegacyTCN(**{"nb_filters": 4, "kernel_size": 2, "dilations": (1, 2), "generation": row, **settings})
    x = inputs()
    got = array(layer(x))

    np.testing.assert_allclose(got, computed(layer, x), atol=1e-4)


def paths(file: Path) -> set[str]:
    found: set[str] = set()
    with zipfile.ZipFile(file) as archive, h5py.File(archive.open("model.weights.h5")) as store:
        store.visititems(lambda name, item: found.add(name) if isinstance(item, h5py.Dataset) else None)
    return {path for path in found if "seed" not in path}


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_where_its_norms_lie_does_not_depend_on_the_session(norm: str, tmp_path: Path) -> None:
    seen = []
    for number in range(2):
        model = model_of(small(**{f"use_{norm}_norm": True}))
        model.save(tmp_path / f"{number}.keras")
        seen.append(paths(tmp_path / f"{number}.keras"))
        for _ in range(9):
            keras.layers.BatchNormalization()
            keras.layers.LayerNormalization()

    assert seen[0] == seen[1]
    assert f"layers/tcn/residual_block_0/{norm}_norm_layers/{norm}_normalization_1/vars/1" in seen[0]
    x = inputs()
    again = keras.saving.load_model(tmp_path / "1.keras")
    np.testing.assert_array_equal(array(again(x)), array(model(x)))


def test_return_state_returns_the_step_too() -> None:
    sequence, step = small(return_sequences=True, return_state=True)(inputs())

    np.testing.assert_array_equal(array(sequence)[:, -1], array(step))


def test_asking_for_the_output_shape_builds_nothing_and_answers_what_was_asked() -> None:
    layer = small(return_sequences=True)

    assert layer.compute_output_shape((7, 20, WIDTH)) == (7, 20, 4)
    assert not layer.built
    assert not layer.weights
    layer(inputs())
    assert layer.compute_output_shape((7, 20, WIDTH)) == (7, 20, 4)
    assert small().compute_output_shape((None, None, WIDTH)) == (None, 4)


@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize("time", [12, None])
def test_the_middle_step_is_that_of_each_call(time: int | None, backwards: bool) -> None:
    layer = small(padding="same", go_backwards=backwards)
    model = model_of(layer, time)
    x = inputs(20)

    np.testing.assert_allclose(array(layer(x)), computed(layer, x), atol=1e-5)
    assert model.predict(inputs(), verbose=0).shape == (2, 1)


def test_a_mask_ends_silently_or_is_passed_on_if_wanted() -> None:
    i = keras.Input((12, WIDTH))
    masked = keras.layers.Masking()(i)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ends = keras.Model(i, small(return_sequences=True)(masked))
        passes = keras.Model(i, small(return_sequences=True, pass_mask=True)(masked))
    x = inputs()
    x[:, 8:] = 0

    assert getattr(ends(x), "_keras_mask", None) is None
    mask = passes(x)._keras_mask
    np.testing.assert_array_equal(array(mask)[0], np.arange(12) < 8)


def test_what_is_frozen_in_the_constructor_stays_as_it_is() -> None:
    layer = small(use_batch_norm=True, trainable=False)
    model = model_of(layer)
    before = [array(variable).copy() for variable in layer.variables]
    model.compile("adam", "mse")

    layer(inputs(), training=True)
    model.fit(inputs(), np.ones((2, 1)), verbose=0)

    assert not layer.trainable_weights
    for old, variable in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(array(variable), old)


def test_its_parts_compute_in_its_dtype() -> None:
    layer = small(dtype="mixed_float16", use_layer_norm=True)
    symbolic = layer(keras.Input((12, WIDTH)))

    assert symbolic.dtype == "float16"
    assert keras.backend.standardize_dtype(layer(inputs()).dtype) == "float16"
    assert {v.dtype for v in layer.variables if "seed" not in v.path} == {"float32"}
    assert layer.residual_blocks[0].conv1D_0.compute_dtype == "float16"


@pytest.mark.parametrize("filters", [(2, 5), [2, 5], np.array([2, 5]), np.int64(4)])
def test_filters_may_be_any_kind_of_number_or_sequence(filters: Any, tmp_path: Path) -> None:
    model = model_of(small(nb_filters=filters, use_skip_connections=False))
    model.save(tmp_path / "new.keras")

    again = keras.saving.load_model(tmp_path / "new.keras")

    np.testing.assert_array_equal(array(again(inputs())), array(model(inputs())))


def test_lists_in_the_constructor_do_not_break_a_whole_model_h5(tmp_path: Path) -> None:
    model = model_of(small(dilations=[1, 2], nb_filters=[4, 4], use_batch_norm=True))
    model.save(tmp_path / "new.h5")

    again = keras.saving.load_model(tmp_path / "new.h5", compile=False)

    np.testing.assert_array_equal(array(again(inputs())), array(model(inputs())))


def test_a_block_is_serializable_by_itself() -> None:
    block = ResidualBlock(4, 2, 1, "causal", norm="layer", activation="tanh", matching=True)

    again = keras.layers.deserialize(json.loads(json.dumps(keras.layers.serialize(block))))

    assert again.get_config() == block.get_config()


def test_building_twice_changes_nothing() -> None:
    layer = small(use_batch_norm=True)
    layer.build((None, 12, WIDTH))
    before = [id(variable) for variable in layer.variables]

    layer.build((None, 12, WIDTH))

    assert [id(variable) for variable in layer.variables] == before
    assert len(layer.residual_blocks) == 2


@pytest.mark.parametrize("settings", [{"padding": "same"}, {"go_backwards": True}, {"use_batch_norm": True}])
def test_it_learns_with_unknown_time_and_keeps_no_tensor(settings: dict[str, Any], tmp_path: Path) -> None:
    layer = small(dropout_rate=0.1, **settings)
    model = model_of(layer, None)
    model.compile("adam", "mse")
    before = [array(variable).copy() for variable in layer.trainable_variables]

    model.fit(inputs(), np.ones((2, 1)), verbose=0)
    model.save(tmp_path / "new.keras")
    again = keras.saving.load_model(tmp_path / "new.keras")

    assert any(not np.array_equal(a, array(v)) for a, v in zip(before, layer.trainable_variables, strict=True))
    kept = [value for value in vars(layer).values() if keras.ops.is_tensor(value)]
    assert not kept
    assert not [v for v in vars(layer).values() if isinstance(v, keras.KerasTensor)]
    np.testing.assert_allclose(again.predict(inputs(), verbose=0), model.predict(inputs(), verbose=0), atol=1e-6)


def test_a_seeded_initializer_gives_every_convolution_a_kernel_of_its_own() -> None:
    layer = small(nb_filters=WIDTH, kernel_initializer=keras.initializers.HeNormal(seed=1))
    layer(inputs())
    kernels = [array(part.kernel) for block in layer.residual_blocks for part in (block.conv1D_0, block.conv1D_1)]
    twin = small(nb_filters=WIDTH, kernel_initializer=keras.initializers.HeNormal(seed=1))
    twin(inputs())

    assert all(not np.array_equal(kernels[0], kernel) for kernel in kernels[1:])
    np.testing.assert_array_equal(array(twin.residual_blocks[1].conv1D_0.kernel), kernels[2])


def test_arguments_and_inputs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TypeError):
        small()(inputs(), nonsense=3)
    with pytest.raises(ValueError, match="ndim"):
        small()(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="both"):
        small(use_batch_norm=True, use_layer_norm=True)


def test_configs_of_every_keras_tcn_are_read() -> None:
    old = {**small().get_config(), "use_weight_norm": False}

    assert TCN.from_config(old).get_config() == TCN.from_config(small().get_config()).get_config() | {
        "name": old["name"]
    }
    with pytest.raises(ValueError, match="tcn-migrate"):
        TCN.from_config({**old, "use_weight_norm": True})


def test_the_version_is_that_of_the_distribution() -> None:
    assert tcn_migrate.__version__ == metadata.version("tcn-migrate")


def test_it_can_be_cloned_copied_and_wrapped() -> None:
    model, x = model_of(small(use_batch_norm=True)), inputs()

    copied = copy.deepcopy(model)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    both = keras.layers.Bidirectional(small(return_sequences=True, name="one"))(x)
    each = keras.layers.TimeDistributed(small())(np.stack([x, x], axis=1))

    np.testing.assert_array_equal(array(copied(x)), array(model(x)))
    np.testing.assert_array_equal(array(cloned(x)), array(model(x)))
    assert tuple(both.shape) == (2, 12, 8)
    np.testing.assert_allclose(array(each)[:, 0], array(each)[:, 1], atol=1e-6)
