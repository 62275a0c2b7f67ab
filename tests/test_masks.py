"""Masks: what Keras 2 used is what Keras 3 uses, by the smallest change, or the model is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import CLASSES
from tcn_migrate.config.graph.drawing import history, is_tensor, tensor, tensors_in
from tcn_migrate.config.guards.graph import check_graphs
from tcn_migrate.config.masks import repair_masks
from tcn_migrate.errors import MigrationError


def layer(class_name: str, name: str, *calls: Any, module: str = "keras.layers", **config: Any) -> Json:
    """An entry; each call is a tensor, a list of them, or a whole node."""
    nodes = [call if isinstance(call, dict) and "args" in call else {"args": [call], "kwargs": {}} for call in calls]
    own = {"name": name, **config}
    return {
        "module": module,
        "class_name": class_name,
        "config": own,
        "registered_name": None,
        "name": name,
        "inbound_nodes": nodes,
    }


def source(name: str = "x") -> Json:
    return layer("InputLayer", name, batch_shape=[None, 8, 3])


def masking(name: str = "masking", of: str = "x") -> Json:
    return layer("Masking", name, tensor(of), mask_value=0.0)


def lstm(name: str, *calls: Any) -> Json:
    return layer("LSTM", name, *calls, units=3, return_sequences=True)


def model(*layers: Json, name: str = "model", outputs: list[Any] | None = None) -> Json:
    inputs = [[entry["name"], 0, 0] for entry in layers if entry["class_name"] == "InputLayer"]
    config = {"name": name, "layers": list(layers), "input_layers": inputs}
    config["output_layers"] = outputs or [[layers[-1]["name"], 0, 0]]
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": None,
    }


def sequential(*layers: Json, shape: list[int | None] | None = None) -> Json:
    kept = [{key: value for key, value in entry.items() if key != "inbound_nodes"} for entry in layers]
    config: Json = {"name": "sequential", "layers": kept}
    if shape:
        config["build_input_shape"] = shape
    return {
        "module": "keras.src.models.sequential",
        "class_name": "Sequential",
        "config": config,
        "registered_name": None,
    }


def repaired(config: Json, version: str | None = "2.15.0", passes: bool = False) -> tuple[dict[str, Json], list[str]]:
    """The layers by name after the repair, and the names of what was done. The given config must stay as it is."""
    before = copy.deepcopy(config)
    new, done = repair_masks(config, lambda entry: passes, version)
    assert config == before
    check_graphs(new)
    assert (new is config) == (not done)
    return {entry["name"]: entry for entry in new["config"]["layers"]}, [repair.name for repair in done]


def first_input(layers: dict[str, Json], name: str, call: int = 0) -> Json:
    """The layer whose output a call's first argument is."""
    argument = layers[name]["inbound_nodes"][call]["args"][0]
    return layers[history(argument if is_tensor(argument) else argument[0])[0]]


def given(layers: dict[str, Json], name: str, call: int = 0) -> Json:
    """What computes the mask that a layer is given."""
    mask: Json = layers[name]["inbound_nodes"][call]["kwargs"]["mask"]
    return layers[history(mask)[0]]


def operations(layers: dict[str, Json]) -> Iterator[str]:
    for entry in layers.values():
        if entry["module"].startswith("keras.src.ops"):
            yield entry["class_name"]


@pytest.mark.parametrize("class_name", ["Dense", "Dropout", "BatchNormalization", "ReLU", "Activation"])
def test_nothing_changes_where_both_pass_the_mask(class_name: str) -> None:
    passing = layer(class_name, "between", tensor("masking"), max_value=None)
    config = model(source(), masking(), passing, lstm("lstm", tensor("between")))
    assert repaired(config)[1] == []


@pytest.mark.parametrize("class_name", ["Conv1D", "MaxPooling1D", "GlobalMaxPooling1D", "RepeatVector", "Dot"])
def test_nothing_changes_where_both_end_the_mask(class_name: str) -> None:
    config = model(
        source(), masking(), layer(class_name, "between", tensor("masking")), lstm("lstm", tensor("between"))
    )
    assert repaired(config)[1] == []


@pytest.mark.parametrize("class_name", ["Rescaling", "Normalization", "Identity"])
def test_a_mask_that_ended_in_keras_2_does_not_reach_what_would_use_it(class_name: str) -> None:
    config = model(
        source(), masking(), layer(class_name, "between", tensor("masking")), lstm("lstm", tensor("between"))
    )
    layers, done = repaired(config)
    assert done == ["mask-dropped"]
    assert first_input(layers, "lstm")["class_name"] == "Copy"
    assert first_input(layers, "between")["class_name"] == "Masking"


@pytest.mark.parametrize("class_name", ["AddLoss", "RandomHeight", "RandomWidth", "RandomFlip"])
def test_a_layer_that_hands_its_input_on_hands_the_mask_on(class_name: str) -> None:
    config = model(
        source(), masking(), layer(class_name, "between", tensor("masking")), lstm("lstm", tensor("between"))
    )
    assert repaired(config)[1] == ["mask-given"]


def test_a_mask_that_nobody_uses_is_left_alone() -> None:
    rescaling = layer("Rescaling", "rescaling", tensor("masking"))
    config = model(source(), masking(), rescaling, layer("Dense", "dense", tensor("rescaling")))
    assert repaired(config)[1] == []


@pytest.mark.parametrize("class_name", sorted(row.name for row in CLASSES.values() if row.masks.role == "merges"))
def test_a_merge_passes_the_one_mask_there_is(class_name: str) -> None:
    merge = layer(class_name, "merge", [tensor("masking"), tensor("x")])
    layers, done = repaired(model(source(), masking(), merge, lstm("lstm", tensor("merge"))))
    assert sorted(done) == ["mask-dropped", "mask-given"]
    assert first_input(layers, "merge")["class_name"] == "Copy"
    assert given(layers, "lstm")["class_name"] == "Any"
    assert list(operations(layers)).count("NotEqual") == 1


def test_a_merge_asks_all_masks() -> None:
    add = layer("Add", "add", [tensor("masking"), tensor("second"), tensor("masking")])
    config = model(source(), masking(), layer("Masking", "second", tensor("x"), mask_value=2.0), add)
    config["config"]["layers"].append(lstm("lstm", tensor("add")))
    layers, _ = repaired(config)
    assert given(layers, "lstm")["class_name"] == "LogicalAnd"
    assert sorted(operations(layers)).count("LogicalAnd") == 1, "the same mask twice is one mask"


def test_concatenation_in_time_joins_the_masks() -> None:
    joined = layer("Concatenate", "concatenate", [tensor("masking"), tensor("second")], axis=1)
    config = model(source(), source("y"), masking(), masking("second", of="y"), joined)
    config["config"]["layers"].append(lstm("lstm", tensor("concatenate")))
    layers, _ = repaired(config)
    assert given(layers, "lstm")["class_name"] == "All"
    drawn = [
        entry for entry in layers.values() if entry["class_name"] == "Concatenate" and entry["name"] != "concatenate"
    ]
    assert [entry["config"]["axis"] for entry in drawn] == [1]


def test_an_operation_follows_what_it_is_called_on() -> None:
    merge = layer("Add", "merge", [tensor("masking"), tensor("x")])
    layers, _ = repaired(model(source(), masking(), merge, lstm("lstm", tensor("merge"))))
    standing: set[str] = set()
    for entry in layers.values():
        for node in entry["inbound_nodes"]:
            assert all(history(value)[0] in standing for value in tensors_in([node["args"], node["kwargs"]]))
        standing.add(entry["name"])


def test_initial_states_do_not_hide_the_mask() -> None:
    states = {"args": [[tensor("masking"), tensor("h"), tensor("c")]], "kwargs": {}}
    config = model(source(), source("h"), source("c"), masking(), lstm("lstm", states))
    layers, done = repaired(config)
    assert done == ["mask-given"]
    assert given(layers, "lstm")["class_name"] == "Any"


def test_a_mask_of_the_authors_own_is_kept_and_passed_on() -> None:
    own = {"args": [tensor("x")], "kwargs": {"mask": tensor("m")}}
    config = model(source(), layer("InputLayer", "m"), lstm("first", own), lstm("second", tensor("first")))
    layers, _ = repaired(config)
    assert layers["first"]["inbound_nodes"] == [own]
    assert history(layers["second"]["inbound_nodes"][0]["kwargs"]["mask"]) == ("m", 0, 0)


def test_a_tcn_passes_the_mask_or_ends_it_as_it_did() -> None:
    config = model(source(), masking(), layer("TCN", "tcn", tensor("masking")), lstm("lstm", tensor("tcn")))
    assert repaired(config, passes=True)[1] == []
    assert repaired(config, passes=False)[1] == []
    plain, done = repair_masks(config, lambda entry: True, "2.15.0", still_passes=False)
    assert [repair.name for repair in done] == ["mask-given"]
    assert plain is not config


def test_relu_passes_masks_since_keras_2_6_only() -> None:
    relu = layer("ReLU", "relu", tensor("masking"), max_value=None)
    config = model(source(), masking(), relu, lstm("lstm", tensor("relu")))
    assert repaired(config, "2.15.0")[1] == []
    assert repaired(config, "2.4.0")[1] == ["mask-dropped"]
    with pytest.raises(MigrationError, match="lstm"):
        repaired(config, None)


def test_attention_gets_its_masks_in_the_shape_that_every_release_reads() -> None:
    attention = layer("Attention", "attention", [tensor("x"), tensor("masking")])
    layers, _ = repaired(model(source(), masking(), attention))
    query, value = layers["attention"]["inbound_nodes"][0]["kwargs"]["mask"]
    assert query is None
    assert layers[history(value)[0]]["class_name"] == "ExpandDims"
    assert layers[history(value)[0]]["config"]["axis"] == 1


def heads(**config: Any) -> Json:
    call = {"args": [tensor("masking"), tensor("masking")], "kwargs": {}}
    return layer("MultiHeadAttention", "heads", call, **config)


def test_heads_look_at_masks_since_keras_2_10_only() -> None:
    config = model(
        source(), masking(), heads(), lstm("lstm", tensor("masking")), outputs=[["heads", 0, 0], ["lstm", 0, 0]]
    )
    layers, done = repaired(config)
    assert (
        layers[history(layers["heads"]["inbound_nodes"][0]["kwargs"]["attention_mask"])[0]]["class_name"]
        == "LogicalAnd"
    )
    assert first_input(layers, "lstm")["name"] == "masking", "the copy is for the heads alone"
    older, done = repaired(config, "2.9.0")
    assert done == ["mask-dropped"]
    assert "attention_mask" not in older["heads"]["inbound_nodes"][0]["kwargs"]
    with pytest.raises(MigrationError, match="heads"):
        repaired(config, None)


def test_heads_with_dropout_attend_evenly_where_every_key_is_masked() -> None:
    config = model(source(), masking(), heads(dropout=0.1), layer("Dense", "dense", tensor("heads")))
    new, _ = repair_masks(config, lambda entry: False, "2.15.0")
    layers = {entry["name"]: entry for entry in new["config"]["layers"]}
    assert first_input(layers, "dense")["class_name"] == "Where"
    assert len(layers["heads"]["inbound_nodes"]) == 2
    as_output, _ = repair_masks(model(source(), masking(), heads(dropout=0.1)), lambda entry: False, "2.15.0")
    (end,) = as_output["config"]["output_layers"]
    assert next(e for e in as_output["config"]["layers"] if e["name"] == end[0])["class_name"] == "Where"


def test_a_wrapped_layer_reduces_a_mask_of_windows() -> None:
    inner = {"class_name": "LSTM", "config": {"name": "inner", "units": 3}}
    each = layer("TimeDistributed", "each", tensor("masking"), layer=inner)
    layers, done = repaired(model(source(), masking(), each, lstm("lstm", tensor("each"))))
    assert done == ["mask-given"]
    assert given(layers, "lstm")["class_name"] == "Any"
    assert "mask" not in layers["each"]["inbound_nodes"][0]["kwargs"]


def test_a_nested_model_hands_its_mask_on() -> None:
    inner = model(source("i"), masking(of="i"), layer("Rescaling", "rescaling", tensor("masking")), name="inner")
    nested = {**inner, "name": "inner", "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}]}
    layers, done = repaired(model(source(), nested, lstm("lstm", tensor("inner"))))
    assert done == ["mask-dropped"]
    assert first_input(layers, "lstm")["class_name"] == "Copy"


def test_a_mask_made_in_a_nested_model_is_computed_outside_of_it() -> None:
    add = layer("Add", "add", [tensor("masking"), tensor("i")])
    inner = model(source("i"), masking(of="i"), add, name="inner")
    nested = {**inner, "name": "inner", "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}]}
    layers, _ = repaired(model(source(), nested, lstm("lstm", tensor("inner"))))
    assert given(layers, "lstm")["class_name"] == "Any"
    assert (
        history(next(e for e in layers.values() if e["class_name"] == "NotEqual")["inbound_nodes"][0]["args"][0])[0]
        == "x"
    )


def shared(between: str) -> Json:
    """A nested model that is called with a mask and without one."""
    inner = model(source("i"), layer(between, "between", tensor("i")), lstm("lstm", tensor("between")), name="inner")
    calls = [{"args": [tensor(name)], "kwargs": {}} for name in ("masking", "y")]
    nested = {**inner, "name": "inner", "inbound_nodes": calls}
    return model(source(), source("y"), masking(), nested, outputs=[["inner", 0, 0], ["inner", 1, 0]])


def test_a_nested_model_called_with_a_mask_and_without_one_stays_one_model_or_is_refused() -> None:
    assert repaired(shared("Dense"))[1] == []
    with pytest.raises(MigrationError, match="inner"):
        repaired(shared("Rescaling"))


def test_a_mask_from_outside_that_a_nested_model_would_lose_is_refused_by_name() -> None:
    add = layer("Add", "add", [tensor("i"), tensor("dense")])
    inner = model(source("i"), layer("Conv1D", "dense", tensor("i")), add, lstm("lstm", tensor("add")), name="inner")
    nested = {**inner, "name": "inner", "inbound_nodes": [{"args": [tensor("masking")], "kwargs": {}}]}
    with pytest.raises(MigrationError, match="inner/lstm"):
        repaired(model(source(), masking(), nested))


def test_a_class_of_the_users_own_sees_the_same_mask_or_is_refused() -> None:
    own = layer("Mine", "mine", tensor("masking"), module="builtins")
    assert repaired(model(source(), masking(), own, lstm("lstm", tensor("mine"))))[1] == []
    add = layer("Add", "add", [tensor("masking"), tensor("x")])
    with pytest.raises(MigrationError, match="mine"):
        repaired(model(source(), masking(), add, layer("Mine", "mine", tensor("add"), module="builtins")))


def test_a_sequential_model_becomes_a_functional_one_only_if_it_must() -> None:
    chain = [source(), masking(), layer("Dense", "dense")], [source(), masking(), layer("Rescaling", "rescaling")]
    same, done = repair_masks(sequential(*chain[0], lstm("lstm")), lambda entry: False)
    assert (same["class_name"], done) == ("Sequential", [])
    changed, _ = repair_masks(sequential(*chain[1], lstm("lstm")), lambda entry: False)
    assert changed["class_name"] == "Functional"
    with pytest.raises(MigrationError, match="shape"):
        repair_masks(sequential(masking(), layer("Rescaling", "rescaling"), lstm("lstm")), lambda entry: False)


def test_a_long_chain_of_masks_is_no_deep_recursion() -> None:
    layers = [source(), masking()]
    for number in range(270):
        before = tensor(layers[-1]["name"])
        layers.append(layer("Concatenate", f"join_{number}", [before, before], axis=1))
    repaired(model(*layers, lstm("lstm", tensor(layers[-1]["name"]))))


def test_the_installed_keras_passes_masks_as_the_rules_say() -> None:
    import keras
    import numpy as np

    settings: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(["AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"], (0.2,)),
        **dict.fromkeys(["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"], (0.2,)),
        "Activation": ("relu",),
        "Dense": (3,),
        "Rescaling": (2.0,),
        "GroupNormalization": (3,),
        "SpectralNormalization": (keras.layers.Dense(3),),
        "Normalization": (None, 0.1, 2.0),
    }
    passing = [row.name for row in CLASSES.values() if row.masks.keras_3]
    names = [name for name in passing if hasattr(keras.layers, name) and name != "Softmax"]
    assert len(names) > 20
    for name in [*names, "Conv1D", "Reshape", "Flatten", "MaxPooling1D"]:
        more = {"Conv1D": (3, 2), "Reshape": ((3, 6),)}
        shape = {"SpatialDropout2D": (2, 6, 4, 3), "SpatialDropout3D": (2, 6, 4, 4, 3)}.get(name, (2, 6, 3))
        x = keras.ops.convert_to_tensor(np.ones(shape, "float32"))
        x._keras_mask = keras.ops.convert_to_tensor(np.ones(shape[:-1], bool))
        y = getattr(keras.layers, name)(*settings.get(name, more.get(name, ())))(x)
        assert (getattr(y, "_keras_mask", None) is not None) == (name in names), name


def test_a_mask_that_is_numbers_in_the_file_is_given_to_those_behind_the_layer_that_it_was_given_to() -> None:
    """Keras 3.8 does not pass on a mask that was given."""
    rnn = lstm("rnn", {"args": [tensor("x")], "kwargs": {"mask": [[True, False]]}})
    config = model(source(), rnn, layer("GlobalAveragePooling1D", "mean", tensor("rnn")))

    made, _ = repair_masks(config, lambda entry: False, "2.15.0")

    mean = next(entry for entry in made["config"]["layers"] if entry["name"] == "mean")
    wanted = {"class_name": "__numpy__", "config": {"value": [[True, False]], "dtype": "bool"}}
    assert mean["inbound_nodes"][0]["kwargs"] == {"mask": wanted}
