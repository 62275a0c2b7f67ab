"""What a layer's place asks of its config: sizes that later layers need, and the form of models inside others."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import history, tensor
from tcn_migrate.config.model_repairs.einsum import known_sizes, with_sizes_of_inputs
from tcn_migrate.config.model_repairs.nested import repair_nested_models, with_backward_layers
from tests.test_masks import layer, model, sequential, source

BUILT = {"input_shape": [None, 8, 3]}


@pytest.mark.parametrize(
    ("equation", "stored", "filled"),
    [
        ("abc,cd->abd", [None, 4], [8, 4]),
        ("abc,bd->adc", [5, None], [5, 3]),
        ("abc, cd -> abd", [None, None], [8, None]),
    ],
)
def test_sizes_that_einsum_dense_was_built_for_are_written_down(equation: str, stored: Any, filled: Any) -> None:
    assert known_sizes(equation, stored, BUILT) == filled


@pytest.mark.parametrize(
    ("equation", "stored", "built"),
    [("abc,cd->abd", [None, 4], None), ("...c,cd->...d", [None, 4], BUILT), ("abc,cd->abd", 4, BUILT), (None, None, 3)],
)
def test_sizes_that_nothing_tells_stay_as_they_are(equation: Any, stored: Any, built: Any) -> None:
    assert known_sizes(equation, stored, built) == stored


def test_an_input_of_the_model_tells_the_sizes_of_an_einsum_dense_behind_it() -> None:
    def einsum(name: str, of: str) -> Json:
        return layer("EinsumDense", name, tensor(of), equation="abc,cd->abd", output_shape=[None, 4])

    between = [layer("Masking", "masking", tensor("x")), layer("Dense", "dense", tensor("masking"), units=5)]
    unknown = layer("MaxPooling1D", "pooling", tensor("behind"))
    done = with_sizes_of_inputs(model(source(), *between, einsum("behind", "dense"), unknown, einsum("no", "pooling")))
    sizes = {entry["name"]: entry["config"].get("output_shape") for entry in done["config"]["layers"]}
    assert (sizes["behind"], sizes["no"]) == ([8, 4], [None, 4])


def inner(*layers: Json, name: str = "inner", **more: Any) -> Json:
    return {**model(source("i"), *layers, name=name), "name": name, **more}


CHAIN = inner(layer("Dense", "dense", tensor("i")), layer("Flatten", "flatten", tensor("dense")))
GRAPH = inner(layer("Dense", "dense", tensor("i")), layer("Add", "add", [tensor("dense"), tensor("i")]))


def wrapped(inside: Json) -> Json:
    """What becomes of a model in a TimeDistributed; the given config stays as it is."""
    config = model(source(), layer("TimeDistributed", "each", tensor("x"), layer=inside))
    before = copy.deepcopy(config)
    done, _ = repair_nested_models(config)
    assert config == before
    changed: Json = done["config"]["layers"][-1]["config"]["layer"]
    return changed


def test_a_chain_in_a_wrapper_becomes_a_sequential_model() -> None:
    changed = wrapped(CHAIN)
    assert changed["class_name"] == "Sequential"
    assert [entry["name"] for entry in changed["config"]["layers"]] == ["i", "dense", "flatten"]


def test_a_graph_in_a_wrapper_has_one_output_and_not_a_list_of_one() -> None:
    assert wrapped(GRAPH)["config"]["output_layers"] == ["add", 0, 0]
    assert wrapped(GRAPH)["class_name"] == "Functional"


def test_models_in_a_sequential_model_too() -> None:
    done, _ = repair_nested_models(sequential(CHAIN, layer("Dense", "head"), shape=[None, 8, 3]))
    assert done["config"]["layers"][0]["class_name"] == "Sequential"


def test_a_model_in_a_graph_stays_as_it_is() -> None:
    config = model(source(), {**GRAPH, "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}]})
    assert repair_nested_models(config) == (config, [])


def test_a_shared_model_that_is_an_output_is_followed_by_a_copy() -> None:
    calls = [{"args": [tensor(name)], "kwargs": {}} for name in "xy"]
    shared = model(source(), source("y"), {**GRAPH, "inbound_nodes": calls}, outputs=[["inner", 1, 0], ["inner", 0, 0]])
    done, repairs = repair_nested_models(shared)
    assert {repair.name for repair in repairs} == {"output-of-a-shared-model"}
    layers = {entry["name"]: entry for entry in done["config"]["layers"]}
    copied = [layers[end[0]]["inbound_nodes"][0]["args"][0] for end in done["config"]["output_layers"]]
    assert [history(reference) for reference in copied] == [("inner", 1, 0), ("inner", 0, 0)]


def test_a_bidirectional_gives_both_of_its_layers() -> None:
    lstm = layer("LSTM", "lstm", units=2)
    config = model(source(), layer("Bidirectional", "both", tensor("x"), layer=lstm))
    done = with_backward_layers(config)["config"]["layers"][-1]["config"]
    assert done["layer"] == lstm
    backward = done["backward_layer"]["config"]
    assert (backward["name"], backward["units"], backward["go_backwards"]) == ("backward_lstm", 2, True)
    given = model(source(), layer("Bidirectional", "both", tensor("x"), layer=lstm, backward_layer=lstm))
    assert with_backward_layers(given) == given
