"""What each repair changes, and the neighbour that it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.repairs import (
    INDEX,
    attention,
    dropped,
    hard_sigmoid,
    recurrent,
    renamed,
    repair_layers,
    replaced_classes,
    transposed,
)
from tcn_migrate.config.repairs.change import LayerRepair
from tcn_migrate.errors import SettingError
from tests.config_entries import functional, inner, layer, sequential, source

HS = "hard_sigmoid"

CHANGED: list[tuple[LayerRepair, Json, str, Json]] = [
    (
        replaced_classes.synchronized_batch_normalization,
        inner("SyncBatchNormalization", momentum=0.9),
        "BatchNormalization",
        {"momentum": 0.9, "synchronized": True},
    ),
    (
        replaced_classes.thresholded_relu,
        inner("ThresholdedReLU", name="t", theta=0.5),
        "ReLU",
        {"name": "t", "max_value": None, "negative_slope": 0.0, "threshold": 0.5},
    ),
    (replaced_classes.losses_and_metrics, inner("AddLoss", name="l", unconditional=True), "Identity", {"name": "l"}),
    (
        replaced_classes.losses_and_metrics,
        inner("AddMetric", name="m", aggregation="mean"),
        "Identity",
        {"name": "m"},
    ),
    *(
        (
            replaced_classes.random_sizes,
            inner(name, name="r", dtype="float32", factor=0.2, interpolation="bilinear", seed=1),
            "Identity",
            {"name": "r", "dtype": "float32"},
        )
        for name in ("RandomHeight", "RandomWidth")
    ),
    (
        replaced_classes.random_crop,
        inner("RandomCrop", height=4, width=5, seed=3),
        "Resizing",
        {"height": 4, "width": 5, "crop_to_aspect_ratio": True},
    ),
    (
        replaced_classes.discretization,
        inner("Discretization", bin_boundaries=[0.0], dtype="int64"),
        "Discretization",
        {"bin_boundaries": [0.0], "dtype": "float32"},
    ),
    (
        replaced_classes.unsalted_hashing,
        inner("Hashing", num_bins=4, salt=[0xDECAFCAFFE, 0xDECAFCAFFE]),
        "Hashing",
        {"num_bins": 4, "salt": None},
    ),
    (
        replaced_classes.hashing,
        inner("Hashing", num_bins=4, dtype="float32"),
        "Hashing",
        {"num_bins": 4, "dtype": "int64"},
    ),
    (
        renamed.list_of_one_axis,
        inner("BatchNormalization", axis=[2]),
        "BatchNormalization",
        {"axis": 2},
    ),
    (renamed.slope_of_leaky_relu, inner("LeakyReLU", alpha=0.1), "LeakyReLU", {"negative_slope": 0.1}),
    (
        renamed.names_of_functions,
        inner("Dense", units=2, activation="log_softmax_v2"),
        "Dense",
        {"units": 2, "activation": "log_softmax"},
    ),
    (
        renamed.category_encoding,
        inner("CategoryEncoding", max_tokens=4, output_mode="binary"),
        "CategoryEncoding",
        {"num_tokens": 4, "output_mode": "multi_hot"},
    ),
    (
        hard_sigmoid.activation_layer_as_function,
        inner("Dense", units=2, activation=inner("Activation", activation="tanh")),
        "Dense",
        {"units": 2, "activation": "tanh"},
    ),
    (recurrent.time_major, inner("LSTM", units=2, time_major=False), "LSTM", {"units": 2}),
    (recurrent.constants, inner("RNN", num_constants=None), "RNN", {}),
    (recurrent.reset_after, inner("GRU", units=2), "GRU", {"units": 2, "reset_after": False}),
    (attention.causal_attention, inner("Attention", causal=False), "Attention", {}),
    (
        attention.shapes_of_heads,
        inner("MultiHeadAttention", num_heads=2, key_dim=3, query_shape=[None, 8, 3], value_shape=[None, 8, 3]),
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 3},
    ),
    (
        dropped.settings_that_say_nothing,
        inner("SpatialDropout1D", rate=0.1, trainable=True, noise_shape=None),
        "SpatialDropout1D",
        {"rate": 0.1},
    ),
    (
        dropped.settings_that_say_nothing,
        inner("DepthwiseConv1D", kernel_size=[2], groups=1, kernel_initializer=None),
        "DepthwiseConv1D",
        {"kernel_size": [2]},
    ),
    (
        dropped.settings_that_say_nothing,
        inner("Embedding", input_dim=9, output_dim=2, input_length=8),
        "Embedding",
        {"input_dim": 9, "output_dim": 2},
    ),
]

LEFT_ALONE: list[tuple[LayerRepair, Json]] = [
    (recurrent.constants_in_a_call, layer("LSTM", "rnn", "x", units=2)),
    (renamed.merge_of_one, layer("Subtract", "merge", "x")),
    (transposed.dilated_transposed_convolution, inner("Conv1DTranspose", name="up", dilation_rate=[1], strides=[2])),
    (replaced_classes.synchronized_batch_normalization, inner("BatchNormalization")),
    (replaced_classes.thresholded_relu, inner("ReLU", threshold=0.5)),
    (replaced_classes.losses_and_metrics, inner("ActivityRegularization", l1=0.1)),
    (replaced_classes.random_sizes, inner("RandomZoom", height_factor=0.1)),
    (replaced_classes.random_crop, inner("CenterCrop", height=4, width=5)),
    (replaced_classes.random_crop_that_resizes_first, inner("CenterCrop", height=4, width=5)),
    (replaced_classes.resizing_by_lost_methods, inner("Resizing", interpolation="area")),
    (replaced_classes.discretization, inner("Discretization", bin_boundaries=[0.0], dtype="float32")),
    (replaced_classes.unsalted_hashing, inner("Hashing", num_bins=4, salt=[3, 4])),
    (replaced_classes.hashing, inner("Hashing", num_bins=4, output_mode="one_hot", dtype="float32")),
    (replaced_classes.hashing, inner("Hashing", num_bins=4, dtype="int64")),
    (replaced_classes.causal_separable_convolution, inner("SeparableConv1D", padding="same", kernel_size=[3])),
    (replaced_classes.causal_separable_convolution, inner("Conv1D", padding="causal", kernel_size=[3])),
    (renamed.list_of_one_axis, inner("LayerNormalization", axis=[1, 2])),
    (renamed.list_of_one_axis, inner("Softmax", axis=[1])),
    (renamed.slope_of_leaky_relu, inner("ELU", alpha=0.1)),
    (renamed.names_of_functions, inner("Dense", activation="softmax")),
    (renamed.category_encoding, inner("CategoryEncoding", num_tokens=4, output_mode="one_hot")),
    (hard_sigmoid.activation_layer_as_function, inner("Dense", activation=inner("LeakyReLU", alpha=0.1))),
    (hard_sigmoid.hard_sigmoid_of_a_kernel, inner("Dense", activation="sigmoid")),
    (hard_sigmoid.hard_sigmoid_of_a_kernel, inner("Activation", activation=HS)),
    (hard_sigmoid.hard_sigmoid_of_gates, inner("LSTM", recurrent_activation="sigmoid")),
    (hard_sigmoid.hard_sigmoid_alone, inner("Activation", activation="sigmoid")),
    (recurrent.time_major, inner("Dense", units=2)),
    (recurrent.constants, inner("RNN", units=2)),
    (recurrent.reset_after, inner("GRU", units=2, reset_after=True)),
    (recurrent.reset_after, inner("LSTM", units=2)),
    (recurrent.states_in_a_call, layer("LSTM", "l", "x", units=2)),
    (recurrent.states_in_a_call, {**layer("Add", "a"), "inbound_nodes": [{"args": [[tensor("x")] * 2], "kwargs": {}}]}),
    (attention.causal_attention, inner("Attention", use_scale=True)),
    (attention.shapes_of_heads, inner("MultiHeadAttention", num_heads=2, key_dim=3)),
    (dropped.settings_that_say_nothing, inner("Conv1D", filters=4, groups=2)),
    (dropped.settings_that_say_nothing, inner("Dropout", rate=0.1, noise_shape=None, trainable=True)),
]

REFUSED: list[tuple[LayerRepair, Json]] = [
    (replaced_classes.random_crop_that_resizes_first, inner("RandomCrop", height=4, width=5)),
    (replaced_classes.resizing_by_lost_methods, inner("Resizing", interpolation="gaussian")),
    (replaced_classes.discretization, inner("Discretization", bin_boundaries=None, num_bins=3)),
    (
        replaced_classes.causal_separable_convolution,
        inner("SeparableConv1D", name="s", padding="causal", kernel_size=[3], data_format="channels_first"),
    ),
    (hard_sigmoid.hard_sigmoid_of_gates, inner("LSTM", activation=HS, recurrent_activation="sigmoid")),
    (hard_sigmoid.hard_sigmoid_of_gates, inner("ConvLSTM2D", activation=HS)),
    (recurrent.time_major, inner("LSTM", units=2, time_major=True)),
    (recurrent.constants, inner("RNN", num_constants=1)),
    (attention.causal_attention, inner("Attention", causal=True)),
    (dropped.settings_that_say_nothing, inner("SeparableConv1D", groups=2)),
    (dropped.settings_that_say_nothing, inner("SpatialDropout1D", rate=0.1, noise_shape=[1, 2])),
]


@pytest.mark.parametrize(("repair", "entry", "class_name", "config"), CHANGED)
def test_a_repair_changes(repair: LayerRepair, entry: Json, class_name: str, config: Json) -> None:
    before = copy.deepcopy(entry)
    change = repair(entry)
    assert entry == before
    assert change is not None
    assert (change.entry["class_name"], change.entry["config"]) == (class_name, config)
    assert repair(change.entry) is None


@pytest.mark.parametrize(("repair", "entry"), LEFT_ALONE)
def test_a_repair_leaves_alone(repair: LayerRepair, entry: Json) -> None:
    assert repair(entry) is None


@pytest.mark.parametrize(("repair", "entry"), REFUSED)
def test_what_keras_3_cannot_compute_is_refused(repair: LayerRepair, entry: Json) -> None:
    with pytest.raises(SettingError):
        repair(entry)


def test_every_repair_is_tested_for_what_it_changes_and_for_what_it_leaves() -> None:
    """The ones with a test of their own stand below."""
    of_their_own = {
        hard_sigmoid.hard_sigmoid_of_a_kernel,
        hard_sigmoid.hard_sigmoid_of_gates,
        hard_sigmoid.hard_sigmoid_alone,
        replaced_classes.causal_separable_convolution,
        replaced_classes.resizing_by_lost_methods,
        recurrent.states_in_a_call,
        recurrent.constants_in_a_call,
        renamed.merge_of_one,
        transposed.dilated_transposed_convolution,  # tests/test_transposed.py
    }
    assert set(INDEX) == {case[0] for case in CHANGED} | of_their_own
    assert set(INDEX) <= {case[0] for case in LEFT_ALONE}


def test_every_repair_says_since_when_and_for_whom() -> None:
    for repair in INDEX:
        assert "Since:" in str(repair.__doc__), repair
        assert "Issue:" in str(repair.__doc__), repair


def old_hard_sigmoid(x: Any) -> Any:
    return np.clip(0.2 * x + 0.5, 0, 1)


def new_hard_sigmoid(x: Any) -> Any:
    return np.clip(x / 6 + 0.5, 0, 1)


arrays = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(0, 2, (5, 12)))


@settings(max_examples=50, deadline=None)
@given(kernel=arrays, bias=arrays)
def test_the_hard_sigmoid_is_the_old_one_again(kernel: Any, bias: Any) -> None:
    repaired = repair_layers(functional(source(), layer("Dense", "d", "x", units=12, activation=HS)), keras_2=True)
    assert set(repaired.transforms) == {("d", "kernel"), ("d", "bias")}
    inputs, own = np.random.default_rng(1).normal(0, 2, (7, 5)), bias[0]
    new = inputs @ repaired.transforms["d", "kernel"].apply(kernel) + repaired.transforms["d", "bias"].apply(own)
    np.testing.assert_allclose(new_hard_sigmoid(new), old_hard_sigmoid(inputs @ kernel + own), atol=1e-12)


@pytest.mark.parametrize(
    ("class_name", "config", "blocks"),
    [
        ("LSTM", {"recurrent_activation": HS}, [True, True, False, True]),
        ("ConvLSTM2D", {"recurrent_activation": HS}, [True, True, False, True]),
        ("GRU", {"recurrent_activation": HS, "reset_after": True}, [True, True, False]),
        ("GRU", {"activation": HS, "recurrent_activation": "sigmoid", "reset_after": False}, [False, False, True]),
        ("GRU", {"activation": HS, "recurrent_activation": HS, "reset_after": True}, [True, True, True]),
        ("SimpleRNN", {"activation": HS}, [True]),
    ],
)
def test_only_the_gates_with_a_hard_sigmoid_are_multiplied(class_name: str, config: Json, blocks: list[bool]) -> None:
    repaired = repair_layers(functional(source(), layer(class_name, "r", "x", units=2, **config)), keras_2=True)
    assert set(repaired.transforms) == {("r", "cell", name) for name in ("kernel", "recurrent_kernel", "bias")}
    factors = np.repeat(np.where(blocks, np.float32(1.2), np.float32(1)), 2)
    for shape in ((3, 2 * len(blocks)), (2, 2 * len(blocks)), (2 * len(blocks),)):
        stored = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        made = repaired.transforms["r", "cell", "kernel"].apply(stored)
        assert made.dtype == stored.dtype
        np.testing.assert_allclose(made, stored * factors, rtol=1e-6)


def test_an_activation_layer_gets_a_rescaling_in_front_at_every_call() -> None:
    act = layer("Activation", "act", "x", "d", activation=HS, dtype="float32")
    model = functional(source(), layer("Dense", "d", ("act", 0), units=3), act, outputs=[["act", 1, 0]])
    layers = {entry["name"]: entry for entry in repair_layers(model, keras_2=True).config["config"]["layers"]}
    front = layers["act_rescaling"]
    assert front["class_name"] == "Rescaling"
    assert front["config"] | {"scale": 1.2, "offset": 0.0, "dtype": "float32"} == front["config"]
    assert front["inbound_nodes"] == act["inbound_nodes"]
    assert [call["args"] for call in layers["act"]["inbound_nodes"]] == [
        [tensor("act_rescaling", 0)],
        [tensor("act_rescaling", 1)],
    ]
    assert layers["d"]["inbound_nodes"][0]["args"] == [tensor("act", 0)]


def test_a_layer_in_front_takes_a_free_name() -> None:
    taken = layer("Dense", "act_rescaling", "x", units=3)
    model = functional(source(), taken, layer("Activation", "act", "act_rescaling", activation=HS))
    names = [entry["name"] for entry in repair_layers(model, keras_2=True).config["config"]["layers"]]
    assert names == ["x", "act_rescaling", "act_rescaling_1", "act"]


def test_inside_a_time_distributed_it_stands_in_front_and_is_distributed_too() -> None:
    for activation in ("Activation", "SeparableConv1D"):
        settings_ = {"activation": HS} if activation == "Activation" else {"padding": "causal", "kernel_size": [3]}
        wrapped = layer("TimeDistributed", "td", "x", layer=inner(activation, name="a", **settings_))
        _, front, behind = repair_layers(functional(source(), wrapped), keras_2=True).config["config"]["layers"]
        assert front["class_name"] == "TimeDistributed"
        assert front["config"]["layer"]["class_name"] in {"Rescaling", "ZeroPadding1D"}
        assert behind["inbound_nodes"][0]["args"] == [tensor(front["name"])]


def test_a_causal_separable_convolution_gets_zeros_in_front() -> None:
    settings_ = {"filters": 2, "kernel_size": [3], "dilation_rate": [2], "padding": "causal"}
    model = sequential(inner("SeparableConv1D", name="s", **settings_))
    front, behind = repair_layers(model, keras_2=True).config["config"]["layers"]
    assert (front["class_name"], front["config"]["padding"]) == ("ZeroPadding1D", [4, 0])
    assert behind["config"]["padding"] == "valid"


def test_states_are_given_by_their_name() -> None:
    call = {"args": [[tensor("x"), tensor("h"), tensor("c")]], "kwargs": {"initial_state": None, "constants": None}}
    lstm = {**layer("LSTM", "l", units=2), "inbound_nodes": [call]}
    model = functional(source(), source("h", (None, 2)), source("c", (None, 2)), lstm)
    (node,) = repair_layers(model, keras_2=True).config["config"]["layers"][-1]["inbound_nodes"]
    assert node == {"args": [tensor("x")], "kwargs": {"initial_state": [tensor("h"), tensor("c")]}}


def test_a_causal_attention_is_causal_in_each_call() -> None:
    change = attention.causal_attention(layer("Attention", "a", "x", "y", causal=True))
    assert change is not None
    assert [call["kwargs"] for call in change.entry["inbound_nodes"]] == [{"use_causal_mask": True}] * 2


def test_both_directions_and_copies_are_transformed() -> None:
    gru = inner("GRU", name="g", units=2, recurrent_activation=HS, reset_after=True)
    normed = inner("Dense", name="d", units=2, activation=HS)
    stack = inner("StackedRNNCells", cells=[inner("LSTMCell", units=2, recurrent_activation=HS), inner("GRUCell")])
    model = functional(
        source(),
        layer("Bidirectional", "b", "x", layer=gru),
        layer("SpectralNormalization", "s", "b", layer=normed),
        layer("RNN", "r", "s", cell=stack),
    )
    found = set(repair_layers(model, keras_2=True).transforms)
    names = ("kernel", "recurrent_kernel", "bias")
    assert found == {
        *(("b", f"{direction}_layer", "cell", name) for direction in ("forward", "backward") for name in names),
        *(("s", "layer", name) for name in ("kernel", "bias")),
        ("s", "kernel"),
        *(("r", "cell", "cells", "lstm_cell", name) for name in names),
    }


def test_layers_of_nested_models_are_repaired_at_their_address() -> None:
    nested = {
        **functional(source("i"), layer("Dense", "d", "i", units=2, activation=HS), name="inner"),
        "name": "inner",
    }
    nested["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {}}]
    repaired = repair_layers(functional(source(), nested), keras_2=True)
    assert set(repaired.transforms) == {("inner", "d", "kernel"), ("inner", "d", "bias")}
    assert [(repair.layer, repair.name) for repair in repaired.repairs] == [("inner/d", "hard-sigmoid-of-a-kernel")]


def test_random_crop_depends_on_the_release() -> None:
    model = functional(source(), layer("RandomCrop", "c", "x", height=2, width=2))
    for version in (None, "2.7.0", "2.15.0"):
        repair_layers(model, keras_2=True, keras_version=version)
    for version in ("2.4.0", "2.6.0", "2.3.0-tf"):
        with pytest.raises(SettingError):
            repair_layers(model, keras_2=True, keras_version=version)


def test_bilinear_up_sampling_depends_on_whose_keras_it_was() -> None:
    model = functional(source(), layer("UpSampling2D", "u", "x", size=[2, 2], interpolation="bilinear"))
    for version in (None, "2.2.4-tf", "2.3.0-tf", "2.4.0", "2.15.0"):
        repair_layers(model, keras_2=True, keras_version=version)
    for version in ("2.2.4", "2.3.1"):
        repair_layers(
            functional(source(), layer("UpSampling2D", "u", "x", size=[2, 2])), keras_2=True, keras_version=version
        )
        with pytest.raises(SettingError):
            repair_layers(model, keras_2=True, keras_version=version)


def test_a_config_of_keras_3_is_not_repaired() -> None:
    model = functional(source(), layer("Activation", "act", "x", activation=HS))
    assert repair_layers(model, keras_2=False).config is model


def test_a_merge_of_one_tensor_gets_a_list_of_one_and_an_operation_of_that_name_does_not() -> None:
    merge, several = layer("Concatenate", "one", "x", axis=-1), layer("Add", "two", "x")
    several["inbound_nodes"][0]["args"] = [[tensor("x"), tensor("x")]]
    operation = {**layer("Multiply", "op", "x"), "module": "keras.src.ops.numpy"}

    made = repair_layers(functional(source(), merge, several, operation), keras_2=True).config["config"]["layers"]

    assert made[1]["inbound_nodes"][0]["args"] == [[tensor("x")]]
    assert [made[2], made[3]] == [several, operation]


def test_numbers_among_the_arguments_of_a_recurrent_layer_are_arrays() -> None:
    rnn = layer("LSTM", "rnn", "x", units=2)
    rnn["inbound_nodes"][0]["kwargs"] = {"mask": [[True, False]], "initial_state": [[[1.0, 2.0]], tensor("x")]}

    (_, made) = repair_layers(functional(source(), rnn), keras_2=True).config["config"]["layers"]

    def array(value: Any, dtype: str) -> Any:
        return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}

    kwargs = made["inbound_nodes"][0]["kwargs"]
    assert kwargs["mask"] == array([[True, False]], "bool")
    assert kwargs["initial_state"] == [array([[1.0, 2.0]], "float32"), tensor("x")]


@pytest.mark.parametrize("mask", [[1.0, 2.0], [[True], [True, False]], [["a"]], []])
def test_a_mask_that_is_neither_a_tensor_nor_rows_is_refused_by_the_layers_name(mask: Any) -> None:
    rnn = layer("LSTM", "rnn", "x", units=2)
    rnn["inbound_nodes"][0]["kwargs"] = {"mask": mask}

    with pytest.raises(SettingError, match="'rnn'"):
        repair_layers(functional(source(), rnn), keras_2=True)
