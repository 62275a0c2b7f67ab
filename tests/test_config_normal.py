"""Every form in which Keras stored a config comes out as the one that Keras 3 reads."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.checkpoint import Json
from tcn_migrate.config import Modern, normalize, of_keras_2, repaired
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.model_repairs.legal_names import legal_names, moved
from tcn_migrate.config.reading.dtypes import dtype_name
from tcn_migrate.config.reading.normal_form import normal_form
from tcn_migrate.errors import ContainerError, MigrationError, SettingError, UnknownLayerError, UnsafeError
from tests.config_entries import functional, inner, layer, old, old_model, old_source, sequential, source


def normal(stored: Json, *, keras_2: bool = True, custom: frozenset[str] = frozenset()) -> Json:
    before = copy.deepcopy(stored)
    config = normal_form(stored, keras_2=keras_2, custom_classes=custom)
    assert stored == before
    return config


def modernize(stored: Json, *, keras_version: str | None) -> Modern:
    config = normalize(stored, keras_version=keras_version)
    return repaired(config, keras_2=of_keras_2(stored, keras_version), keras_version=keras_version)


def calls(config: Json, name: str) -> list[Json]:
    (found,) = [entry["inbound_nodes"] for entry in config["config"]["layers"] if entry["name"] == name]
    return list(found)


def test_all_inputs_of_a_call_in_a_list() -> None:
    model = old_model(old_source("a"), old_source("b"), old("Add", "add", [["a", 0, 0, {}], ["b", 0, 0, {}]]))
    assert calls(normal(model), "add") == [{"args": [[tensor("a"), tensor("b")]], "kwargs": {}}]


def test_one_input_without_a_list_and_tensors_among_its_keywords() -> None:
    attention = old("MultiHeadAttention", "m", ["x", 0, 0, {"value": ["x", 0, 0], "training": None, "mask": None}])
    assert calls(normal(old_model(old_source(), attention)), "m") == [
        {"args": [tensor("x")], "kwargs": {"value": tensor("x")}}
    ]


def test_a_constant_in_the_place_of_the_input() -> None:
    minus = old("TFOpLambda", "tf.math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0], "name": None}])
    assert calls(normal(old_model(old_source(), minus)), "tf.math.subtract") == [
        {"args": [1.0], "kwargs": {"y": tensor("x"), "name": None}}
    ]


def test_a_keyword_that_looks_like_a_tensor_but_names_no_layer_is_data() -> None:
    odd = old("TFOpLambda", "op", ["x", 0, 0, {"axis": ["rows", 0, 0]}])
    assert calls(normal(old_model(old_source(), odd)), "op")[0]["kwargs"] == {"axis": ["rows", 0, 0]}


def test_inputs_in_a_dictionary() -> None:
    named = old("Dense", "d", {"a": ["x", 0, 0, {}], "b": ["x", 0, 0, {}]})
    assert calls(normal(old_model(old_source(), named)), "d")[0]["args"] == [{"a": tensor("x"), "b": tensor("x")}]


@pytest.mark.parametrize("class_name", ["Model", "Functional"])
def test_keras_2_counts_the_calls_of_nested_models_from_one(class_name: str) -> None:
    nested = {**old_model(old_source("i"), old("Dense", "d", [["i", 0, 0, {}]], units=3)), "class_name": class_name}
    twice = {**nested, "name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["inner", 1, 0, {}]]]}
    after = old("Dense", "after", [["inner", 2, 0, {}]], units=2)
    config = normal(old_model(old_source(), twice, after, outputs=[["inner", 2, 0], ["after", 0, 0]]))
    assert calls(config, "inner") == [
        {"args": [tensor("x")], "kwargs": {}},
        {"args": [tensor("inner", 0)], "kwargs": {}},
    ]
    assert calls(config, "after") == [{"args": [tensor("inner", 1)], "kwargs": {}}]
    assert config["config"]["output_layers"] == [["inner", 1, 0], ["after", 0, 0]]
    assert {entry["class_name"] for entry in config["config"]["layers"]} == {"InputLayer", "Functional", "Dense"}


def test_keras_3_counts_them_from_zero() -> None:
    nested = {**functional(source("i"), layer("Dense", "d", "i", units=3), name="inner"), "name": "inner"}
    nested["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {}}]
    stored = functional(source(), nested, layer("Dense", "after", "inner", units=2))
    assert calls(normal(stored, keras_2=False), "after") == [{"args": [tensor("inner", 0)], "kwargs": {}}]


def test_ends_without_a_list_around_them_get_one() -> None:
    stored = functional(source(), layer("Dense", "d", "x", units=2))
    stored["config"] |= {"input_layers": ["x", 0, 0], "output_layers": ["d", 0, 0]}
    config = normal(stored, keras_2=False)["config"]
    assert (config["input_layers"], config["output_layers"]) == ([["x", 0, 0]], [["d", 0, 0]])


def test_ends_by_name_keep_their_names() -> None:
    stored = old_model(old_source("a"), input_layers={"first": ["a", 0, 0]})
    assert normal(stored)["config"]["input_layers"] == {"first": ["a", 0, 0]}


def test_modules_that_are_gone_and_registered_names_are_replaced() -> None:
    dense = {**old("Dense", "d", [["x", 0, 0, {}]], units=2), "module": "keras.src.layers.core.dense"}
    stored = {**old_model(old_source(), {**dense, "registered_name": None, "build_config": {"input_shape": [None, 8]}})}
    stored |= {"module": "keras.src.engine.functional", "registered_name": "Functional"}
    config = normal(stored)
    assert config["module"] == "keras.src.models.functional"
    assert config["registered_name"] is None
    (found,) = [entry for entry in config["config"]["layers"] if entry["name"] == "d"]
    assert found["module"] == "keras.layers"
    assert found["registered_name"] is None
    assert "build_config" not in found


def test_layers_inside_layers_get_modules_too() -> None:
    cells = {"class_name": "StackedRNNCells", "config": {"cells": [{"class_name": "GRUCell", "config": {"units": 2}}]}}
    wrapped = {"class_name": "RNN", "config": {"name": "rnn", "cell": cells}}
    config = normal(old_model(old_source(), old("Bidirectional", "b", [["x", 0, 0, {}]], layer=wrapped)))
    rnn = config["config"]["layers"][1]["config"]["layer"]
    stack = rnn["config"]["cell"]
    assert [entry["module"] for entry in (rnn, stack, stack["config"]["cells"][0])] == ["keras.layers"] * 3


def test_a_list_of_cells_becomes_a_stack() -> None:
    cells = [{"class_name": "GRUCell", "config": {"name": "a", "units": 2}}]
    config = normal(old_model(old_source(), old("RNN", "r", [["x", 0, 0, {}]], cell=cells)))
    assert config["config"]["layers"][1]["config"]["cell"]["class_name"] == "StackedRNNCells"


def test_a_sequential_config_may_be_a_list() -> None:
    first = {"class_name": "Dense", "config": {"name": "dense_1", "units": 2, "batch_input_shape": [None, 3]}}
    config = normal({"class_name": "Sequential", "config": [first]})
    assert config["config"]["name"] == "sequential"
    assert [entry["class_name"] for entry in config["config"]["layers"]] == ["InputLayer", "Dense"]
    assert config["config"]["layers"][0]["config"] == {
        "name": "dense_1_input",
        "batch_shape": [None, 3],
        "dtype": "float32",
        "sparse": False,
    }
    assert "batch_input_shape" not in config["config"]["layers"][1]["config"]


def test_a_sequential_model_that_starts_with_a_model_takes_what_that_takes() -> None:
    first = {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 5]}}
    body = {"class_name": "Sequential", "config": {"name": "body", "layers": [first]}}
    config = normal({"class_name": "Sequential", "config": {"name": "outer", "layers": [body]}})
    assert config["config"]["layers"][0]["config"]["batch_shape"] == [None, 5]


def test_a_sequential_model_of_unknown_input_gets_no_input_layer() -> None:
    config = normal({"class_name": "Sequential", "config": {"layers": [{"class_name": "Flatten", "config": {}}]}})
    assert [entry["class_name"] for entry in config["config"]["layers"]] == ["Flatten"]


def test_an_input_layer_that_is_there_stays_alone() -> None:
    stored = sequential(inner("InputLayer", name="i", batch_shape=[None, 3]), inner("Dense", name="d", units=2))
    assert normal(stored, keras_2=False) == stored


def test_a_tcn_keeps_its_config_as_it_is() -> None:
    config = {
        "name": "tcn",
        "nb_filters": 4,
        "batch_input_shape": [None, 8, 3],
        "dtype": {"class_name": "Policy", "config": {"name": "float32"}},
    }
    for class_name in ("TCN", "Custom>TCN", "Package>TCN"):
        model = {"class_name": "Sequential", "config": {"layers": [{"class_name": class_name, "config": config}]}}
        found = normal(model)["config"]["layers"]
        assert found[1]["class_name"] == "TCN"
        assert found[1]["config"] == config
        assert found[0]["config"]["batch_shape"] == [None, 8, 3]


def test_wrapped_settings_are_unwrapped() -> None:
    stored = old("Conv1D", "c", [["x", 0, 0, {}]], filters=2, kernel_size={"class_name": "__tuple__", "items": [3]})
    relu = old("ReLU", "r", [["c", 0, 0, {}]], max_value={"type": "ndarray", "value": 6.0})
    function = {"class_name": "function", "config": "gelu", "module": "builtins", "registered_name": "function"}
    act = old("Activation", "a", [["r", 0, 0, {}]], activation=function)
    layers = normal(old_model(old_source(), stored, relu, act))["config"]["layers"]
    assert layers[1]["config"]["kernel_size"] == [3]
    assert layers[2]["config"]["max_value"] == 6.0
    assert layers[3]["config"]["activation"] == "gelu"


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("float32", "float32"),
        ({"class_name": "Policy", "config": {"name": "mixed_float16", "loss_scale": None}}, "mixed_float16"),
        ({"module": "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}}, "bfloat16"),
        ({"class_name": "PolicyV1", "config": {"name": "infer"}}, None),
        (None, None),
    ],
)
def test_a_policy_is_its_name(stored: Any, name: str | None) -> None:
    assert dtype_name(stored, "here") == name


@pytest.mark.parametrize("stored", ["evil", 3, {"class_name": "QuantizedDTypePolicy", "config": {"name": "int8"}}])
def test_another_dtype_is_refused(stored: Any) -> None:
    with pytest.raises(SettingError):
        dtype_name(stored, "here")


def test_who_wrote_a_config_is_told_by_its_form_where_the_version_is_missing() -> None:
    assert of_keras_2(old_model(old_source()), None)
    assert not of_keras_2(functional(source()), None)
    assert not of_keras_2(old_model(old_source()), "3.8.0")
    assert of_keras_2(functional(source()), "2.2.4-tf")


def test_classes_of_the_user_need_to_be_supplied() -> None:
    own = {"class_name": "Custom>Mine", "config": {"name": "m"}, "name": "m", "inbound_nodes": [[["x", 0, 0, {}]]]}
    model = old_model(old_source(), own)
    with pytest.raises(UnknownLayerError, match="Mine"):
        normal(model)
    for custom in ("Mine", "Custom>Mine"):
        found = normal(model, custom=frozenset({custom}))["config"]["layers"][1]
        assert (found["class_name"], found["registered_name"]) == ("Mine", custom)


@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "Dense", "registered_name": "Custom>TCN", "config": {"units": 2}},
        {"class_name": "Dense", "module": "evil.layers", "config": {"units": 2}},
        {"class_name": "get_file", "module": "keras.utils", "config": {}},
        {"class_name": "load_model", "module": "keras.saving", "config": {}},
        {"class_name": "layers.Dense.__init__.__globals__", "config": {}},
        {"class_name": "system", "module": "os", "config": {}},
        {"class_name": "Map", "module": "keras.src.ops.core", "config": {}},
        {"class_name": "LocallyConnected1D", "config": {}},
        {"class_name": "CuDNNLSTM", "config": {}},
    ],
)
def test_a_class_that_is_not_in_the_table_is_refused_by_name(entry: Json) -> None:
    with pytest.raises(UnknownLayerError) as refusal:
        normal(old_model(old_source(), {**entry, "name": "odd", "inbound_nodes": [[["x", 0, 0, {}]]]}))
    assert str(entry["class_name"]) in str(refusal.value)
    assert "'odd'" in str(refusal.value)


@pytest.mark.parametrize("class_name", ["TFSMLayer", "TorchModuleWrapper", "JaxLayer"])
def test_a_class_that_runs_something_else_is_refused(class_name: str) -> None:
    with pytest.raises(UnsafeError, match=class_name):
        normal(old_model(old_source(), old(class_name, "odd", [["x", 0, 0, {}]])))


@pytest.mark.parametrize("kind", ["__lambda__", "__typespec__", "function"])
def test_code_among_the_settings_is_refused(kind: str) -> None:
    code = {"class_name": kind, "config": {"code": "4wEAAAA=", "defaults": None}, "module": "os"}
    with pytest.raises(UnsafeError, match="never run"):
        normal(old_model(old_source(), old("Conv1D", "c", [["x", 0, 0, {}]], padding=code)))
    with pytest.raises(UnsafeError, match="never run"):
        normal(old_model(old_source(), old("Dense", "d", [["x", 0, 0, {}]], activation=code)))


def test_code_among_the_arguments_of_a_call_is_refused() -> None:
    call = {"args": [tensor("x"), {"class_name": "function", "module": "os", "config": "system"}], "kwargs": {}}
    with pytest.raises(UnsafeError, match="neither data nor a tensor"):
        normal(functional(source(), {**layer("Dense", "d", units=2), "inbound_nodes": [call]}), keras_2=False)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (old_model(old_source(), old("Dense", "d", [["y", 0, 0, {}]])), "does not exist"),
        (old_model(old_source(), old("Dense", "d", [["x", 1, 0, {}]])), "does not exist"),
        (old_model(old_source(), old("Dense", "d", [["x", -1, 0, {}]])), "does not exist"),
        (old_model(old_source(), old("Dense", "d", [["x", 0, -1, {}]])), "does not exist"),
        (old_model(old_source(), old("Dense", "x", [["x", 0, 0, {}]])), "2 layers are called"),
        (
            old_model(
                old_source(),
                old("Add", "a", [["x", 0, 0, {}], ["b", 0, 0, {}]]),
                old("Dense", "b", [["a", 0, 0, {}]]),
            ),
            "in a circle",
        ),
        (old_model(old_source(), old("Dense", "d", 3)), "no Keras wrote"),
        (old_model(old_source(), old("Dense", "d", [["x", 0]])), "no Keras wrote"),
        (old_model(old_source(), old("Dense", "d", [["x", True, 0, {}]])), "no Keras wrote"),
        (old_model(old_source(), output_layers=[["x", 0, 7000]]), "does not exist"),
        ({"class_name": "Functional", "config": {"layers": []}}, "no input_layers"),
        ({"class_name": "Functional", "config": {"layers": {}}}, "no layers"),
        ({"class_name": "Functional", "config": 3}, "not a dictionary"),
        ({"class_name": 3, "config": {}}, "no class name"),
        ({"class_name": "Sequential", "config": ["layer"]}, "not a dictionary"),
    ],
)
def test_a_graph_that_does_not_close_is_refused(stored: Json, words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        normalize(stored, keras_version="2.15.0")


def test_a_layer_alone_is_no_model() -> None:
    with pytest.raises(UnknownLayerError, match="not a model"):
        normal({"class_name": "Dense", "config": {"units": 2}})


def test_depth_and_number_are_bounded() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    with pytest.raises(UnsafeError, match="too deeply"):
        normal_form(old_model(old_source(), old("Dense", "d", [["x", 0, 0, {}]], units=deep)), keras_2=True)
    nested: Json = inner("Dense", name="d", units=2)
    for _ in range(48):
        nested = sequential(nested)
    with pytest.raises(UnsafeError, match="too deeply"):
        normal(nested, keras_2=False)
    with pytest.raises(UnsafeError, match="too many layers"):
        normal(sequential(*[inner("Flatten", name=f"f{n}") for n in range(10_001)]), keras_2=False)


def test_names_lose_their_slashes_and_nothing_else() -> None:
    inside = {**functional(source("i"), layer("Dense", "b/d", "i", units=2), name="in/ner"), "name": "in/ner"}
    inside["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {"mask": [tensor("a/b")]}}]
    shared = layer("TimeDistributed", "a_b", "in/ner", layer=inner("Dense", name="p/q", units=2))
    stored = functional(source(), layer("Dense", "a/b", "x", units=2), inside, shared, name="whole/model")
    before = copy.deepcopy(stored)
    config, renamed = legal_names(stored)
    assert stored == before
    assert "/" not in str(config)
    assert [entry["name"] for entry in config["config"]["layers"]] == ["x", "a_b_1", "in_ner", "a_b"]
    assert calls(config, "in_ner") == [{"args": [tensor("x")], "kwargs": {"mask": [tensor("a_b_1")]}}]
    assert renamed == {("a/b",): ("a_b_1",), ("in/ner",): ("in_ner",), ("in/ner", "b/d"): ("in_ner", "b_d")} | {
        ("in/ner", "i"): ("in_ner", "i")
    }
    assert moved(("in/ner", "b/d", "kernel"), renamed) == ("in_ner", "b_d", "kernel")
    assert moved(("a_b", "layer", "kernel"), renamed) == ("a_b", "layer", "kernel")
    plain = functional(source(), layer("Dense", "d", "x", units=2))
    assert legal_names(plain) == (plain, {})


chains = st.lists(
    st.sampled_from(
        [
            ("Dense", {"units": 3, "activation": "hard_sigmoid"}),
            ("LSTM", {"units": 2, "recurrent_activation": "hard_sigmoid", "time_major": False, "implementation": 2}),
            ("Activation", {"activation": "hard_sigmoid"}),
            ("SpatialDropout1D", {"rate": 0.1, "noise_shape": None}),
            ("ThresholdedReLU", {"theta": 0.5}),
            ("SeparableConv1D", {"filters": 2, "kernel_size": [2], "padding": "causal", "groups": 1}),
            ("BatchNormalization", {"axis": [2], "renorm": False}),
            ("Bidirectional", {"layer": {"class_name": "GRU", "config": {"name": "g", "units": 2}}}),
        ]
    ),
    max_size=6,
)


def chained(drawn: list[tuple[str, Json]]) -> Json:
    before, layers = "x", [old_source()]
    for number, (class_name, config) in enumerate(drawn):
        name = f"layer/{number}"
        layers.append(old(class_name, name, [[before, 0, 0, {}]], **config))
        before = name
    return old_model(*layers)


@settings(max_examples=60, deadline=None)
@given(drawn=chains)
def test_normal_form_and_modern_form_are_their_own(drawn: list[tuple[str, Json]]) -> None:
    stored = chained(drawn)
    config = normal(stored)
    assert normal(config, keras_2=False) == config
    modern = modernize(stored, keras_version="2.4.0").config
    assert modernize(modern, keras_version="3.8.0").config == modern


@settings(max_examples=60, deadline=None)
@given(
    odd=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("x"),
        lambda inside: (
            st.lists(inside, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["class_name", "config", "layers", "name", "inbound_nodes", "module", "args", "kwargs"]
                ),
                inside,
                max_size=4,
            )
        ),
    )
)
def test_whatever_a_file_says_is_read_or_refused(odd: Any) -> None:
    """Nothing but our own errors comes out, wherever the odd value stands."""
    for stored in (
        {"class_name": "Functional", "config": odd},
        {"class_name": "Sequential", "config": {"layers": [odd]}},
        old_model(old_source(), old("Dense", "d", odd)),
        old_model(old_source(), {**old("Dense", "d", [["x", 0, 0, {}]]), "config": odd}),
        old_model(old_source(), old("Dense", "d", [["x", 0, 0, {}]], units=odd, activation=odd)),
        old_model(old_source(), output_layers=odd),
        functional(source(), {**layer("Dense", "d"), "inbound_nodes": odd}),
    ):
        with contextlib.suppress(MigrationError):
            modernize(stored, keras_version=None)
