"""Operators on tensors: what Keras 2 stored of them becomes operations. The fixtures `operators/*` compare values."""

from __future__ import annotations

import base64
import contextlib
import json
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.operators.functions import ALIASES, FUNCTIONS
from tcn_migrate.config.operators.nodes import NODES
from tcn_migrate.config.operators.replace import replace_operators
from tcn_migrate.containers.bounds import parse_json
from tcn_migrate.errors import ContainerError, MigrationError, UnknownLayerError, UnsafeError
from tests.test_lambdas import X, inputs_of, layer, model, names


def function(name: str, stored: str, /, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """A TFOpLambda (or SlicingOpLambda) as Keras 2 stores it, its call in the normal form."""
    kind = "SlicingOpLambda" if stored.endswith("getitem") else "TFOpLambda"
    entry = layer(kind, name, function=stored)
    return {**entry, "inbound_nodes": [{"args": list(arguments), "kwargs": keywords}]}


def node(name: str, op: str, *arguments: Any, constants: Any = (), inputs: int | None = None, **attributes: Any) -> Any:
    """A TensorFlowOpLayer."""
    count = len(arguments) + len(constants) if inputs is None else inputs
    definition = {"name": name, "op": op, "input": [f"input_{n}" for n in range(count)], "attr": attributes}
    entry = layer("TensorFlowOpLayer", name, node_def=definition, constants=dict(constants))
    given = list(arguments) if len(arguments) == 1 else [list(arguments)]
    return {**entry, "inbound_nodes": [{"args": given, "kwargs": {}}]}


def drawn(*layers: dict[str, Any]) -> list[tuple[str, Any, list[Any]]]:
    """(class, settings, arguments) of the operations that stand for the layers."""
    after, _ = replace_operators(model(*layers, outputs=[[layers[-1]["name"], 0, 0]]))
    found = []
    for entry in after["config"]["layers"][1:]:
        arguments = [
            one["config"]["keras_history"][0] if isinstance(one, dict) and "keras_history" in one["config"] else one
            for one in entry["inbound_nodes"][0]["args"]
        ]
        settings = {key: value for key, value in entry["config"].items() if key != "name"}
        found.append((entry["class_name"], settings, arguments))
    return found


def refusal(*layers: dict[str, Any]) -> str:
    with pytest.raises(UnknownLayerError) as error:
        replace_operators(model(*layers, outputs=[[layers[-1]["name"], 0, 0]]))
    return str(error.value)


x = tensor("x")
VALUES = {"class_name": "__numpy__", "config": {"value": [0.5, 1.5], "dtype": "float32"}}
ALL = {"start": None, "stop": None, "step": None}


@pytest.mark.parametrize(
    ("layers", "operations"),
    [
        ([function("a", "math.multiply", x, y=2.0, name=None)], [("Multiply", {}, ["x", 2.0])]),
        ([function("a", "math.subtract", 1.0, y=x, name=None)], [("Subtract", {}, [1.0, "x"])]),
        ([function("a", "__operators__.add", x, y=[0.5, 1.5])], [("Add", {}, ["x", VALUES])]),
        ([function("a", "compat.v1.nn.softmax", x, dim=1)], [("Softmax", {"axis": 1}, ["x"])]),
        (
            [function("a", "math.reduce_mean", x, axis=[1], keepdims=True)],
            [("Mean", {"axis": 1, "keepdims": True}, ["x"])],
        ),
        ([function("a", "stack", [x, x], axis=1)], [("Stack", {"axis": 1}, [[x, x]])]),
        ([function("a", "concat", x, axis=1), function("b", "math.abs", tensor("a"))], [("Absolute", {}, ["x"])]),
        (
            [function("a", "__operators__.getitem", x, slice_spec=[ALL, -1])],
            [("Flip", {"axis": 1}, ["x"]), ("Take", {"axis": 1}, ["a_flip", 0])],
        ),
        (
            [function("a", "linalg.matmul", x, b=x, transpose_b=True)],
            [("Swapaxes", {"axis1": -1, "axis2": -2}, ["x"]), ("Matmul", {}, ["x", "a_swapaxes"])],
        ),
        (
            [function("a", "linalg.matvec", x, b=x, transpose_a=True)],
            [
                ("Swapaxes", {"axis1": -1, "axis2": -2}, ["x"]),
                ("ExpandDims", {"axis": -1}, ["x"]),
                ("Matmul", {}, ["a_swapaxes", "a_expanddims"]),
                ("Squeeze", {"axis": -1}, ["a_matmul"]),
            ],
        ),
        ([node("a", "Mul", x, constants=[("1", 2.0)])], [("Multiply", {}, ["x", 2.0])]),
        ([node("a", "Sub", x, constants=[("0", 1.0)])], [("Subtract", {}, [1.0, "x"])]),
        ([node("a", "AddV2", x, x)], [("Add", {}, ["x", "x"])]),
        (
            [node("a", "Sum", x, constants=[("1", [1, 2])], keep_dims={"b": True})],
            [("Sum", {"axis": [1, 2], "keepdims": True}, ["x"])],
        ),
        ([node("a", "Cast", x, DstT={"type": "DT_HALF"})], [("Cast", {"dtype": "float16"}, ["x"])]),
        (
            [node("a", "Squeeze", x, squeeze_dims={"list": {"i": ["1", "3"]}})],
            [("Squeeze", {"axis": 3}, ["x"]), ("Squeeze", {"axis": 1}, ["a_squeeze"])],
        ),
        (
            [node("a", "Einsum", x, x, equation={"s": base64.b64encode(b"btf,bsf->bts").decode()})],
            [("Einsum", {"subscripts": "btf,bsf->bts"}, ["x", "x"])],
        ),
        (
            [
                node(
                    "a",
                    "StridedSlice",
                    x,
                    constants=[("1", [0, -1, 0]), ("2", [0, 0, 0]), ("3", [1, 1, 1])],
                    begin_mask={"i": "5"},
                    end_mask={"i": "5"},
                    shrink_axis_mask={"i": "2"},
                )
            ],
            [("Flip", {"axis": 1}, ["x"]), ("Take", {"axis": 1}, ["a_flip", 0])],
        ),
    ],
    ids=lambda value: str(value[0].get("config", {}).get("function", "node")) if isinstance(value[0], dict) else "",
)
def test_a_function_becomes_the_operations_that_compute_it(layers: Any, operations: Any) -> None:
    assert drawn(*layers) == operations


def test_every_operation_in_the_tables_is_one_that_a_migrated_file_may_hold() -> None:
    probe = {"x": x, "y": x, "z": x}
    for name, entry in FUNCTIONS.items():
        values = dict.fromkeys(entry.parameters[:1], x) | {"axis": 1, "y": x, "b": x, "k": 1, "depth": 2}
        values |= {"dtype": "float32", "alpha": 0.5, "multiples": [1, 2], "perm": [0, 2, 1], "repeats": 2, "shift": 1}
        values |= {"paddings": [[0, 0], [1, 0]], "indices": [0], "num_or_size_splits": 2, "axes": 1, "rate": 0.0}
        values |= {"shape": [-1, 2], "begin": [0, 1], "size": [-1, 2], "end": [2, 2], "num_lower": -1, "num_upper": 0}
        values |= {"ksize": 2, "strides": 2, "padding": "SAME", "clip_value_min": 0.0, "clip_value_max": 1.0, "bias": x}
        values |= {"equation": "ab,ab->a", "filters": x, "inputs": [x, x], "scalar": 2.0}
        values |= {"slice_spec": [ALL, 1], "features": x, "mean": 0.5, "variance": 1.0, "is_training": False}
        if name == "image.resize":
            values["size"] = [4, 2]
        if name.endswith(("pool", "pool_v2")):
            values["ksize"] = [2, 2]
        if name in ("fill", "strided_slice"):
            continue
        keywords = {key: value for key, value in values.items() if key in entry.parameters[1:]} | (
            {"x": probe["x"]} if name in ("atan2", "scalar_mul", "where") else {}
        )
        after, _ = replace_operators(model(function("a", name, values[entry.parameters[0]], **keywords), outputs=[]))
        for operation in after["config"]["layers"][1:]:
            assert operation["module"] == "keras.layers" or is_operation(operation["module"], operation["class_name"])


def test_nodes_and_aliases_name_functions_and_parameters_that_exist() -> None:
    assert set(ALIASES.values()) <= set(FUNCTIONS)
    for node_name, entry in NODES.items():
        parameters = set(FUNCTIONS[entry.function].parameters)
        assert {name.lstrip("*") for name in entry.inputs} <= parameters, node_name
        assert set(entry.attributes.values()) <= parameters, node_name


def test_references_to_an_operator_follow_and_the_stored_config_stays() -> None:
    before = model(
        function("half", "math.multiply", x, y=0.5),
        layer("Dense", "d", ("half", 0, 0)),
        function("parts", "split", tensor("d"), num_or_size_splits=2, axis=-1),
        layer("Dense", "e", ("parts", 0, 1)),
        outputs=[["e", 0, 0], ["parts", 0, 0]],
    )
    copy = deepcopy(before)
    after, repairs = replace_operators(before)
    assert before == copy
    assert names(after) == ["x", "half", "d", "parts", "e"]
    assert inputs_of(after, "e") == [[["parts", 0, 1]]]
    assert after["config"]["output_layers"] == [["e", 0, 0], ["parts", 0, 0]]
    assert [repair.layer for repair in repairs] == ["half", "parts"]
    assert json.loads(json.dumps(after)) == after


def test_a_model_without_operators_is_left_alone() -> None:
    before = model(layer("Dense", "d", X), outputs=[["d", 0, 0]])
    assert replace_operators(before) == (before, [])


def test_operators_in_nested_models_are_named_by_their_path() -> None:
    inner = model(function("odd", "signal.fft", x), outputs=[["odd", 0, 0]], name="inner")
    call = [{"args": [x], "kwargs": {}}]
    with pytest.raises(UnknownLayerError, match=r"'inner/odd'.*'signal.fft'"):
        replace_operators(model({**inner, "name": "inner", "inbound_nodes": call}, outputs=[]))


def test_names_of_operations_have_no_slash() -> None:
    before = model(
        node("clip_by_value/Minimum", "Minimum", x, constants=[("1", 1.0)]),
        layer("Dense", "d", ("clip_by_value/Minimum", 0, 0)),
        outputs=[["d", 0, 0]],
    )
    after, _ = replace_operators(before)
    assert names(after) == ["x", "clip_by_value_Minimum", "d"]
    assert inputs_of(after, "d") == [[["clip_by_value_Minimum", 0, 0]]]


def test_functions_that_change_nothing_leave_nothing_behind() -> None:
    before = model(
        function("same", "identity", x), layer("Dense", "d", ("same", 0, 0)), outputs=[["d", 0, 0], ["same", 0, 0]]
    )
    after, _ = replace_operators(before)
    assert names(after) == ["x", "d"]
    assert inputs_of(after, "d") == [[["x", 0, 0]]]
    assert after["config"]["output_layers"] == [["d", 0, 0], ["x", 0, 0]]


def test_a_shape_that_keeps_the_batch_becomes_a_layer_that_does() -> None:
    shape = [function("s", "compat.v1.shape", x), function("n", "__operators__.getitem", tensor("s"), slice_spec=0)]
    for rest in ([24], [-1], [3, -1]):
        reshape = function("r", "reshape", x, shape=[tensor("n"), *rest])
        assert drawn(*shape, reshape) == [("Reshape", {"target_shape": rest}, ["x"])]
    assert "only when the model runs" in refusal(*shape, function("c", "cast", tensor("n"), dtype="float32"))
    before = model(*shape, layer("Dense", "d", ("n", 0, 0)), outputs=[["d", 0, 0]])
    with pytest.raises(ContainerError, match="'n'"):
        replace_operators(before)


def test_constants_are_float16_only_where_that_loses_nothing() -> None:
    def kind(value: list[float], policy: Any) -> str:
        entry = function("a", "math.multiply", x, y=value)
        entry["config"]["dtype"] = policy
        return str(drawn(entry)[0][2][1]["config"]["dtype"])

    mixed = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    assert kind([0.5, 2.0], "float32") == "float32"
    assert kind([0.5, 2.0], mixed) == kind([0.5, 2.0], "mixed_float16") == "float16"
    assert kind([0.1], mixed) == "float32"
    assert kind([1, 2], "float32") == "int32"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (function("odd", "signal.stft", x, frame_length=3), "no counterpart"),
        (function("odd", "einsum", "ab->ba"), "did not store what it is applied to"),
        (function("odd", "__operators__.eq", x), "y is not in the file"),
        (function("odd", "nn.dropout", x, rate=0.5), "at random"),
        (function("odd", "math.cumsum", x, axis={"class_name": "x"}), "axis"),
        (function("odd", "reshape", x, shape=[x, 3]), "only when the model runs"),
        (function("odd", "nn.softmax", x, surprise=3), "'surprise'"),
        (function("odd", "math.multiply", x, y="text"), "neither a tensor nor a number"),
        (function("odd", "math.multiply", x, y=[1, ["text"]]), "something else than numbers"),
        (function("odd", "gather", x, indices=[0], batch_dims=1), "batch_dims"),
        (node("odd", "QuantizeV2", x), "no counterpart"),
        (node("odd", "Mul", x, inputs=3), "fewer inputs"),
        (node("odd", "Mul", x, x, inputs=1), "more inputs"),
        (node("odd", "Sum", x, constants=[("1", 1)], keep_dims={"func": {}}), "attributes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused_by_layer_and_function_with_the_reason(entry: Any, reason: str) -> None:
    message = refusal(entry)
    assert "'odd'" in message
    assert reason in message
    stored = entry["config"].get("function") or entry["config"]["node_def"]["op"]
    assert f"'{stored}'" in message


def test_a_node_that_is_text_is_read_and_one_that_is_no_node_refused() -> None:
    entry = node("a", "Neg", x)
    entry["config"]["node_def"] = json.dumps(entry["config"]["node_def"])
    assert drawn(entry) == [("Negative", {}, ["x"])]
    for stored in ("[" * 100_000, "text", None, 3, "3"):
        entry["config"]["node_def"] = stored
        assert "cannot be read" in refusal(entry)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(x),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_the_arguments_are_a_call_is_translated_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
    keywords = {parameter: data.draw(JSON) for parameter in FUNCTIONS[name].parameters[1:]}
    first = data.draw(st.just(x) | JSON)
    with contextlib.suppress(MigrationError):
        replace_operators(model(function("a", name, first, **keywords), outputs=[]))


# ---- images


def test_norms_with_statistics_in_the_file_are_two_operations_with_arrays() -> None:
    statistics = {"1": [2.0, 0.0], "2": [1.0, -1.0], "3": [0.5, 3.0], "4": [3.99, 0.99]}
    training, epsilon = {"is_training": {"b": False}}, {"epsilon": {"f": 0.01}}
    scaled, shifted = drawn(node("n", "FusedBatchNormV3", x, constants=statistics.items(), **training, **epsilon))
    assert (scaled[0], shifted[0]) == ("Multiply", "Add")
    np.testing.assert_allclose(scaled[2][1]["config"]["value"], [1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(shifted[2][1]["config"]["value"], [0.5, -1.0], rtol=1e-6)
    assert "statistics of the batch" in refusal(node("n", "FusedBatchNormV3", x, constants=statistics.items()))
    given = {"is_training": {"b": True}}
    assert "statistics of the batch" in refusal(node("n", "FusedBatchNorm", x, constants=statistics.items(), **given))


def test_convolutions_of_unequal_strides_are_carried_and_those_by_depth_are_refused() -> None:
    kernel, settings = [[[[1.0]]]], {"strides": [1, 2, 3, 1], "padding": "SAME"}
    ((kind, found, _),) = drawn(function("c", "nn.conv2d", x, kernel, **settings))
    assert (kind, found["strides"], found["dilation_rate"]) == ("Conv", [2, 3], [1, 1])
    assert "differ from axis to axis" in refusal(function("c", "nn.depthwise_conv2d", x, kernel, **settings))
    assert "padding" in refusal(function("c", "nn.conv2d", x, kernel, strides=1, padding="EXPLICIT"))
    assert "data_format" in refusal(function("c", "nn.conv2d", x, kernel, padding="SAME", data_format="NCHW"))


def test_a_pool_whose_axes_are_not_in_the_file_is_refused() -> None:
    assert drawn(function("p", "nn.max_pool2d", x, 2, 3, "VALID"))[0][1]["pool_size"] == [2, 2]
    assert "over how many axes" in refusal(function("p", "nn.max_pool", x, 2, 2, "VALID"))
    assert "over the batch" in refusal(function("p", "nn.avg_pool2d", x, [2, 2, 2, 1], [1, 1, 1, 1], "VALID"))


def test_functions_of_keras_backend_have_their_own_meaning() -> None:
    kinds = [kind for kind, _, _ in drawn(function("r", "keras.backend.sqrt", x))]
    assert kinds == ["Maximum", "Sqrt"]
    assert [kind for kind, _, _ in drawn(function("r", "math.sqrt", x))] == ["Sqrt"]
    ((_, found, _),) = drawn(function("e", "keras.backend.expand_dims", x))
    assert found["axis"] == -1
    assert "no counterpart" in refusal(function("r", "keras.backend.reduce_mean", x))


def test_an_infinite_bound_of_a_clip_is_read_and_no_other_infinity() -> None:
    text = '{"clip_value_min": 0.0, "clip_value_max": Infinity}'
    clip = function("c", "clip_by_value", x, **parse_json(text, "model_config"))
    assert [kind for kind, _, _ in drawn(clip)] == ["Maximum"]
    for other in ('{"clip_value_max": -Infinity}', '{"clip_value_max": NaN}', '{"clip_value_min": Infinity}'):
        with pytest.raises(UnsafeError, match="no number in JSON"):
            parse_json(other, "model_config")


def test_a_matrix_by_a_vector_that_is_in_the_file_or_not() -> None:
    import keras
    import numpy as np

    values = np.random.default_rng(0).standard_normal((2, 3, 3)).astype("float32")
    row = function("row", "__operators__.getitem", x, slice_spec=[ALL, 0])
    for vector, transposed, expected in (
        (tensor("row"), False, np.einsum("bij,bj->bi", values, values[:, 0])),
        (tensor("row"), True, np.einsum("bji,bj->bi", values, values[:, 0])),
        ([0.5, 1.5, 2.5], False, values @ np.array([0.5, 1.5, 2.5], "float32")),
    ):
        product = function("a", "linalg.matvec", x, b=vector, transpose_a=transposed)
        after, _ = replace_operators(model(row, product, outputs=[["a", 0, 0]]))
        after["config"]["layers"][0]["config"]["batch_shape"] = [None, 3, 3]
        found = keras.saving.deserialize_keras_object(after).predict_on_batch(values)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    assert "more than one" in refusal(function("odd", "linalg.matvec", x, b=[[1.0, 2.0]]))
