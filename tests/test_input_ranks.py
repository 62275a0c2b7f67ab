"""Nested models that Keras 2 called on an axis more or less than they declare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.config.graph.drawing import Drawing, tensor
from tcn_migrate.config.guards.shapes import conformed, declared_inputs, input_shapes
from tcn_migrate.config.model_repairs.input_ranks import conform_inputs
from tcn_migrate.errors import SettingError
from tests.cases import case
from tests.config_entries import functional, inner, layer, sequential, source


def nested(shape: tuple[int | None, ...], *calls: str, name: str = "nested") -> Any:
    """A nested model of one Dense, which is called."""
    model = functional(source("i", shape), layer("Dense", "d", "i", units=2), name=name)
    return {**model, "name": name, "inbound_nodes": layer("", "", *calls)["inbound_nodes"]}


def names(model: Any) -> list[str]:
    return [entry["class_name"] for entry in model["config"]["layers"]]


@pytest.mark.parametrize("target", ["layer", "plain"])
@pytest.mark.parametrize("name", ["calls/ranks-of-nested-models", "calls/ranks-of-nested-models-zip"])
def test_the_new_file_predicts_what_the_old_library_did(name: str, target: str, tmp_path: Path) -> None:
    of = case(name)
    golden = np.load(of.folder / "golden.npz")

    tcn_migrate.migrate(of.source, tmp_path / "new.keras", target=target)

    got = keras.saving.load_model(tmp_path / "new.keras").predict([golden[f"x{n}"] for n in range(3)], verbose=0)
    assert np.abs(got - golden["y0"]).max() < 1e-5 * golden["y0"].std()


def test_each_call_is_changed_on_its_own_and_others_are_left_alone() -> None:
    model = functional(source("x", (None, 6)), source("y", (None, 6, 1)), nested((None, 6, 1), "x", "y"))

    made, repairs = conform_inputs(model)

    assert names(made) == ["InputLayer", "InputLayer", "ExpandDims", "Functional"]
    calls = [call["args"][0]["config"]["keras_history"][0] for call in made["config"]["layers"][-1]["inbound_nodes"]]
    assert calls == ["nested_input_expanded", "y"]
    assert [repair.layer for repair in repairs] == ["nested"]


def test_a_last_axis_of_1_is_taken_away() -> None:
    made, _ = conform_inputs(functional(source("x", (None, 6, 1)), nested((None, 6), "x")))

    assert names(made) == ["InputLayer", "Squeeze", "Functional"]


def test_in_a_sequential_model_a_reshape_stands_in_front() -> None:
    one = functional(source("i", (None, 6, 1)), layer("Dense", "d", "i", units=2), name="one")

    made, _ = conform_inputs(sequential(inner("InputLayer", name="x", batch_shape=[None, 6]), one))

    assert names(made) == ["InputLayer", "Reshape", "Functional"]
    assert made["config"]["layers"][1]["config"]["target_shape"] == [6, 1]


@pytest.mark.parametrize(
    ("fed", "takes"), [((None, 6, 2), (None, 6)), ((None, 6), (None, 6, 2)), ((None,), (None, 6, 1))]
)
def test_another_rank_is_refused_by_the_models_name(fed: Any, takes: Any) -> None:
    with pytest.raises(SettingError, match=r"nested.*rank"):
        conform_inputs(functional(source("x", fed), nested(takes, "x")))


def test_a_rank_that_is_not_known_is_left_alone() -> None:
    unknown = layer("Dot", "dot", "x", axes=1)
    model = functional(source("x", (None, 6)), unknown, nested((None, 6, 1), "dot"))

    assert conform_inputs(model) == (model, [])


@pytest.mark.parametrize(
    ("shape", "declared", "wanted"),
    [
        ((None, 6), (None, 6, 1), (None, 6, 1)),
        ((None, 6, 1), (None, 6), (None, 6)),
        ((None, 6, 2), (None, 6), (None, 6, 2)),
        ((None, 6), (None, 6, 2), (None, 6)),
        (None, (None, 6), (None, 6)),
        ((None, 6), None, (None, 6)),
    ],
)
def test_what_a_nested_model_computes_on(shape: Any, declared: Any, wanted: Any) -> None:
    assert conformed(shape, declared) == wanted


def test_layers_inside_get_the_rank_that_the_model_declares() -> None:
    model = functional(source("x", (None, 6)), nested((None, 6, 1), "x"))

    found = input_shapes(model)

    assert found.layers["nested", "d"] == [(None, 6, 1)]
    assert found.models[("nested",), 0] == [(None, 6)]
    assert declared_inputs(model["config"]["layers"][1]) == [(None, 6, 1)]


MAKERS = {
    "Conv2D": ((8, 8, 3), {"filters": 4, "kernel_size": 2}),
    "Conv3D": ((5, 5, 5, 2), {"filters": 4, "kernel_size": 2}),
    "DepthwiseConv2D": ((8, 8, 3), {"kernel_size": 2, "depth_multiplier": 2}),
    "SeparableConv2D": ((8, 8, 3), {"filters": 4, "kernel_size": 2}),
    "MaxPooling2D": ((8, 8, 3), {"pool_size": 2}),
    "ZeroPadding3D": ((5, 5, 5, 2), {"padding": 1}),
    "GlobalAveragePooling2D": ((8, 8, 3), {}),
    "GlobalMaxPooling3D": ((5, 5, 5, 2), {"keepdims": True}),
    "ConvLSTM1D": ((4, 6, 2), {"filters": 3, "kernel_size": 2, "return_sequences": True}),
    "ConvLSTM2D": ((4, 6, 6, 2), {"filters": 3, "kernel_size": 2}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_shapes_are_those_of_keras(name: str) -> None:
    shape, settings = MAKERS[name]
    wanted = getattr(keras.layers, name)(**settings).compute_output_shape((None, *shape))
    end = layer("Dense", "end", "it", units=1)

    (got,) = input_shapes(functional(source("x", (None, *shape)), layer(name, "it", "x", **settings), end)).layers[
        "end",
    ]

    assert got is not None
    assert len(got) == len(wanted)
    assert all(mine in (None, size) for mine, size in zip(got, wanted, strict=True))
    assert got[-1] == wanted[-1]


SIZES = ((None, 8, 4), (None, None, 4), (None, 8, 1), (None, 1, 4), (None, 4), (2, 8, 4))


@pytest.mark.parametrize("other", SIZES)
@pytest.mark.parametrize("one", SIZES)
@pytest.mark.parametrize("kind", ["layer", "operation"])
def test_a_sum_of_tensors_with_different_sizes_has_the_shape_that_keras_computes(
    kind: str, one: tuple[int | None, ...], other: tuple[int | None, ...]
) -> None:
    drawing = Drawing(())
    if kind == "layer":
        x = drawing.layer("Add", [tensor("a"), tensor("b")], "sum")
    else:
        x = drawing.operation("numpy.Add", tensor("a"), tensor("b"), name="sum")
    x = drawing.operation("numpy.Multiply", x, 0.5, name="half")
    model = functional(source("a", one), source("b", other), *drawing.entries, layer("Dense", "end", "half", units=1))
    # An open batch is 2, so that it agrees with (2, 8, 4); aligned with the steps of the other by NumPy, it is 1.
    batch = [1 if kind == "operation" and len(shape) == 2 else 2 for shape in (one, other)]
    arrays = [
        np.ones((size, *(8 if n is None else n for n in shape[1:])), np.float32)
        for size, shape in zip(batch, (one, other), strict=True)
    ]
    keras_sum = keras.layers.Add()(arrays) if kind == "layer" else keras.ops.add(*arrays)

    (got,) = input_shapes(model).layers["end",]

    assert got is not None
    assert len(got) == len(keras_sum.shape)
    assert all(mine in (None, size) for mine, size in zip(got, keras_sum.shape, strict=True))
    assert got[-1] == keras_sum.shape[-1]


OPERATIONS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "numpy.Take": ([2], {"axis": 1}),
    "numpy.Sum": ([], {"axis": [-2], "keepdims": False}),
    "numpy.Max": ([], {"axis": 1, "keepdims": True}),
    "numpy.Mean": ([], {"axis": [1, 2], "keepdims": True}),
    "numpy.Cumsum": ([], {"axis": 1}),
    "numpy.OnesLike": ([], {}),
    "numpy.FloorDivide": ([2], {}),
    "numpy.Equal": ([1.0], {}),
    "math.Erf": ([], {}),
    "math.Rsqrt": ([], {}),
}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_the_shapes_of_operations_are_those_of_keras(kind: str) -> None:
    arguments, settings = OPERATIONS[kind]
    drawing = Drawing(())
    drawing.operation(kind, tensor("x"), *arguments, name="it", **settings)
    module, name = kind.split(".")
    operation = getattr(getattr(keras.src.ops, module), name)(**settings)
    end = layer("Dense", "end", "it", units=1)

    (got,) = input_shapes(functional(source("x", (None, 8, 3)), *drawing.entries, end)).layers["end",]

    assert got == tuple(operation(keras.KerasTensor((None, 8, 3)), *arguments).shape)


@pytest.mark.parametrize(
    ("kind", "arguments", "settings"),
    [
        ("numpy.Take", [[0, 1]], {"axis": 1}),
        ("numpy.Take", [2], {}),
        ("numpy.Sum", [], {}),
        ("numpy.Max", [], {"axis": 7}),
        ("numpy.Cumsum", [], {}),
        ("numpy.Add", [[[[[1.0]]]]], {}),
    ],
)
def test_an_operation_that_may_change_the_rank_otherwise_leaves_it_unknown(
    kind: str, arguments: list[Any], settings: Any
) -> None:
    drawing = Drawing(())
    drawing.operation(kind, tensor("x"), *arguments, name="it", **settings)
    end = layer("Dense", "end", "it", units=1)

    assert input_shapes(functional(source("x", (None, 8, 3)), *drawing.entries, end)).layers["end",] == [None]
