"""A TCN in Keras's own layers computes what the old library did, and nothing in its file is of anybody else."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.model_repairs.nested import repair_nested_models
from tcn_migrate.errors import MigrationError
from tcn_migrate.naming.order import ordered
from tcn_migrate.tcn.activations import ACTIVATIONS
from tcn_migrate.tcn.forward import forward
from tcn_migrate.tcn.generations import GENERATIONS
from tcn_migrate.tcn.lowering import Lowered, lower_tcns
from tcn_migrate.tcn.reading import TCNReading, expected_shapes
from tcn_migrate.tcn.settings import read_settings
from tests.cases import case

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

WIDTH = 3


def reading(row: str = "F", norm: Any = None, **changes: Any) -> TCNReading:
    config = {
        "name": "tcn",
        "nb_filters": 2,
        "kernel_size": 2,
        "dilations": [1, 2],
        "use_batch_norm": norm == "batch",
        "use_layer_norm": norm == "layer",
        **changes,
    }
    read, generation = read_settings(config, "tcn"), GENERATIONS[row]
    shapes = expected_shapes(read, generation, norm, WIDTH, folded=True)
    return TCNReading(
        address=("tcn",),
        settings=read,
        generation=generation,
        norm=norm,
        input_width=WIDTH,
        steps=None,
        expected=shapes,
        found={},
        missing=(),
        ignored={},
        warnings=(),
        session_numbered=False,
    )


def entry(name: str, class_name: str, config: Json, *inputs: str) -> Json:
    nodes = [{"args": [tensor(one)], "kwargs": {}} for one in inputs]
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": None,
        "name": name,
        "inbound_nodes": nodes,
    }


def functional(layers: list[Json], ends: dict[str, list[Any]]) -> Json:
    config = {"name": "model", "trainable": True, "layers": layers, **ends}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config}


def network(*, calls: int = 1, time: int | None = None, layer: Json | None = None) -> Json:
    """Inputs, and a TCN (or a wrapper of one) that is called on each."""
    names = [f"in_{number}" for number in range(calls)]
    shape = {"batch_shape": [None, time, WIDTH], "dtype": "float32"}
    tcn = layer or entry("tcn", "TCN", {})
    tcn["inbound_nodes"] = [{"args": [tensor(name)], "kwargs": {}} for name in names]
    ends = {
        "input_layers": [[name, 0, 0] for name in names],
        "output_layers": [[tcn["name"], number, 0] for number in range(calls)],
    }
    return functional([*(entry(name, "InputLayer", shape) for name in names), tcn], ends)


def draw_arrays(of: TCNReading) -> dict[tuple[str, ...], Any]:
    rng = np.random.default_rng(1)
    drawn = {address: rng.standard_normal(shape).astype(np.float32) for address, shape in of.expected.items()}
    return {a: np.abs(v) + 0.5 if a[-1] == "moving_variance" else v for a, v in drawn.items()}


def named(model: Any, address: tuple[str, ...]) -> Any:
    """The live layer at an address: layers of models by their names, parts of layers by their attributes."""
    here = model
    for name in address:
        here = here.get_layer(name) if hasattr(here, "get_layer") else getattr(here, name)
    return here


def live(config: Json, lowered: Lowered, arrays: dict[tuple[str, ...], Any]) -> Any:
    """The model as Keras reads it, with the arrays in their places; `arrays` by old address."""
    settled, _ = repair_nested_models(config)
    model = keras.saving.deserialize_keras_object(json.loads(json.dumps(ordered(settled))))
    for address, values in arrays.items():
        if address not in lowered.idle:
            place = lowered.places[address]
            getattr(named(model, place[:-1]), place[-1]).assign(values)
    return model


def difference(got: Any, wanted: Any) -> float:
    assert got.shape == wanted.shape
    return float(np.abs(np.asarray(got, np.float64) - wanted).max() / max(wanted.std(), 1e-3))


@settings(max_examples=40, deadline=None)
@given(
    row=st.sampled_from(sorted(GENERATIONS)),
    norm=st.sampled_from(["batch", "layer", None]),
    padding=st.sampled_from(["causal", "same"]),
    skips=st.booleans(),
    sequences=st.booleans(),
    backwards=st.booleans(),
    activation=st.sampled_from(sorted(set(ACTIVATIONS) - {"exponential"})),
    dilations=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    time=st.integers(1, 12),
)
def test_every_generation_and_setting_computes_what_the_forward_pass_does(
    row: str, norm: Any, padding: str, skips: bool, sequences: bool, backwards: bool, activation: str,
    dilations: list[int], time: int,
) -> None:  # fmt: skip
    tcn = reading(
        row, norm, padding=padding, use_skip_connections=skips, return_sequences=sequences, go_backwards=backwards,
        activation=activation, dilations=dilations, dropout_rate=0.2,
    )  # fmt: skip
    arrays = draw_arrays(tcn)
    config, lowered = lower_tcns(network(), {("tcn",): tcn}, keras=3)

    model = live(config, lowered, {("tcn", *address): values for address, values in arrays.items()})

    x = np.random.default_rng(0).standard_normal((2, time, WIDTH)).astype(np.float32)
    wanted = forward(tcn.settings, tcn.generation, arrays, x)
    if np.isfinite(wanted).all() and np.abs(wanted).max() < 1e6:
        assert difference(model(x, training=False), wanted) < 1e-4


def entries(model: Json) -> Iterator[Json]:
    for layer in model["config"]["layers"]:
        yield layer
        if "layers" in layer["config"]:
            yield from entries(layer)


def test_everything_is_named_by_its_place_and_is_of_keras() -> None:
    config, _ = lower_tcns(network(), {("tcn",): reading(norm="batch", dropout_rate=0.1)}, keras=3)

    found = {layer["name"]: layer["class_name"] for layer in entries(config)}

    assert found["tcn_block_1_norm_0"] == "BatchNormalization"
    assert found["tcn_block_0_conv_1"] == "Conv1D"
    assert found["tcn_block_0_dropout_0"] == "SpatialDropout1D"
    assert all(layer["module"].startswith(("keras.layers", "keras.src.")) for layer in entries(config))


def test_a_shared_tcn_is_one_model_called_twice() -> None:
    tcn = reading(norm="layer")
    config, lowered = lower_tcns(network(calls=2), {("tcn",): tcn}, keras=3)
    arrays = draw_arrays(tcn)
    model = live(config, lowered, {("tcn", *address): values for address, values in arrays.items()})
    x = np.random.default_rng(0).standard_normal((2, 2, 7, WIDTH)).astype(np.float32)

    assert sum(layer["class_name"] == "Functional" for layer in config["config"]["layers"]) == 1
    for got, one in zip(model([x[0], x[1]]), x, strict=True):
        assert difference(got, forward(tcn.settings, tcn.generation, arrays, one)) < 1e-4


def test_the_last_shortcut_has_no_place_where_nothing_depends_on_it() -> None:
    one_block = reading(dilations=[1])

    _, lowered = lower_tcns(network(), {("tcn",): one_block}, keras=3)
    _, without_skips = lower_tcns(network(), {("tcn",): reading(dilations=[1], use_skip_connections=False)}, keras=3)

    assert lowered.idle == {("tcn", "residual_block_0", "matching_conv1D", v) for v in ("kernel", "bias")}
    assert not without_skips.idle


@pytest.mark.parametrize("mode", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("sequences", [True, False])
def test_a_bidirectional_reads_both_ways_and_turns_the_second_back(mode: str | None, sequences: bool) -> None:
    forth = replace(reading(return_sequences=sequences), address=("both", "forward_layer"))
    back = replace(reading(return_sequences=sequences, go_backwards=True), address=("both", "backward_layer"))
    wrapper = entry("both", "Bidirectional", {"layer": entry("tcn", "TCN", {}), "merge_mode": mode})
    model = network(layer=wrapper)
    if mode is None:
        model["config"]["output_layers"].append(["both", 0, 1])
    config, lowered = lower_tcns(model, {r.address: r for r in (forth, back)}, keras=3)
    arrays = {forth.address: draw_arrays(forth), back.address: {a: -v for a, v in draw_arrays(back).items()}}
    new = live(config, lowered, {(*r, *a): v for r, found in arrays.items() for a, v in found.items()})
    x = np.random.default_rng(0).standard_normal((2, 9, WIDTH)).astype(np.float32)

    one, two = (forward(r.settings, r.generation, arrays[r.address], x) for r in (forth, back))
    two = two[:, ::-1] if sequences else two

    merged = {"concat": np.concatenate([one, two], -1), "sum": one + two, "ave": (one + two) / 2, "mul": one * two}
    got = new(x, training=False)
    if mode is None:
        assert difference(got[0], one) < 1e-4
        assert difference(got[1], two) < 1e-4
    else:
        assert difference(got, merged[mode]) < 1e-4


def test_no_mask_gets_in_or_out() -> None:
    tcn = reading(norm="batch", return_sequences=True, nb_filters=WIDTH)
    layers = network(time=6)
    inner = layers["config"]["layers"]
    inner.insert(1, entry("masking", "Masking", {"mask_value": 0.0}, "in_0"))
    inner[2]["inbound_nodes"] = [{"args": [tensor("masking")], "kwargs": {}}]
    config, lowered = lower_tcns(layers, {("tcn",): tcn}, keras=3)
    arrays = draw_arrays(tcn)
    model = live(config, lowered, {("tcn", *address): values for address, values in arrays.items()})
    x = np.random.default_rng(0).standard_normal((2, 6, WIDTH)).astype(np.float32)
    x[:, 4:] = 0

    got = model(x)

    assert getattr(got, "_keras_mask", None) is None
    assert difference(got, forward(tcn.settings, tcn.generation, arrays, x)) < 1e-4
    # In training a norm that saw the mask would leave the masked steps out of its mean.
    before = np.asarray(named(model, ("tcn", "tcn_block_0_norm_0")).moving_mean)
    model(x, training=True)
    moved = np.asarray(named(model, ("tcn", "tcn_block_0_norm_0")).moving_mean) - 0.99 * before
    convolved = keras.Model(
        model.get_layer("tcn").inputs, model.get_layer("tcn").get_layer("tcn_block_0_conv_0").output
    )
    np.testing.assert_allclose(moved, 0.01 * np.asarray(convolved(x)).mean(axis=(0, 1)), rtol=1e-3, atol=1e-6)


def test_what_keras_cannot_say_is_refused_with_the_other_target() -> None:
    wrapper = entry("each", "TimeDistributed", {"layer": entry("tcn", "TCN", {})})
    model = network(layer=wrapper)
    model["config"]["layers"].append(entry("masking", "Masking", {}, "in_0"))
    inside = replace(reading(), address=("each", "layer"))

    with pytest.raises(MigrationError, match="--target layer"):
        lower_tcns(model, {inside.address: inside}, keras=3)


@pytest.mark.parametrize(
    "name",
    [
        "keras3/bidirectional", "keras3/time-distributed", "keras3/nested-sequential-h5", "keras3/same-dynamic-time",
        "keras3/shared-by-two-inputs", "keras3/mask-dropped", "keras2/weight-norm-321", "keras2/same-middle-step-292",
        "keras2/bidirectional-350", "keras2/time-distributed-344", "mixed/tf24-masking-lstm",
    ],
)  # fmt: skip
def test_a_real_file_loads_with_nothing_but_keras(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = case(name)
    options = dict(zip(found.options[::2], found.options[1::2], strict=False))
    tcn_migrate.migrate(
        found.source, tmp_path / "new.keras", target="plain", architecture=options.get("--architecture")
    )
    golden = np.load(found.folder / "golden.npz")
    inputs = [golden[key] for key in sorted(key for key in golden.files if key.startswith("x"))]

    monkeypatch.setitem(sys.modules, "tcn_migrate.tcn.layer", None)  # type: ignore[arg-type]
    stored = zipfile.ZipFile(tmp_path / "new.keras").read("config.json").decode()
    model = keras.saving.load_model(tmp_path / "new.keras", compile=False)
    got = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])

    assert "tcn_migrate" not in stored
    assert "Custom>" not in stored
    assert difference(np.asarray(got), golden["y0"]) < found.facts.get("tolerance", 1e-4)


def test_layers_are_listed_by_their_distance_from_the_output_as_keras_does() -> None:
    dense = {"units": WIDTH}
    layers = [
        entry("in_0", "InputLayer", {"batch_shape": [None, 4, WIDTH]}),
        entry("near", "Dense", dense, "in_0"),
        entry("far", "Dense", dense, "in_0"),
        entry("between", "Activation", {"activation": "relu"}, "far"),
        {**entry("sum", "Add", {}), "inbound_nodes": [{"args": [[tensor("near"), tensor("between")]], "kwargs": {}}]},
    ]
    config = functional(layers, {"input_layers": [["in_0", 0, 0]], "output_layers": [["sum", 0, 0]]})

    model = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))

    assert [layer["name"] for layer in ordered(config)["config"]["layers"]] == [layer.name for layer in model.layers]
    assert [layer.name for layer in model.layers].index("far") < [layer.name for layer in model.layers].index("near")
