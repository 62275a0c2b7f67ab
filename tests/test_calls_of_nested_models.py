"""A nested model's calls keep their meaning, wherever the file's writer began to count."""

from __future__ import annotations

import pytest

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.reading.normal_form import normal_form


def model(inner: Json, number: int) -> Json:
    """A Functional model of Keras 2: input, `inner`, and two Dense layers on call `number` of `inner`."""

    def dense(name: str, call: int) -> Json:
        return {
            "class_name": "Dense",
            "name": name,
            "config": {"name": name, "units": 2},
            "inbound_nodes": [[["inner", call, 0, {}]]],
        }

    source = {
        "class_name": "InputLayer",
        "name": "input",
        "config": {"name": "input", "batch_input_shape": [None, 3], "dtype": "float32"},
        "inbound_nodes": [],
    }
    calls = [[["input", 0, 0, {}]], [["input", 0, 0, {}]]]
    layers = [source, {**inner, "name": "inner", "inbound_nodes": calls}, dense("a", number), dense("b", number + 1)]
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [["a", 0, 0], ["b", 0, 0]]}
    return {"class_name": "Model", "config": {"name": "outer", "layers": layers, **ends}}


def sequential(*layers: Json) -> Json:
    return {"class_name": "Sequential", "config": {"name": "inner", "layers": list(layers)}}


KNOWING = sequential({"class_name": "Dense", "config": {"name": "d", "units": 3, "batch_input_shape": [None, 3]}})
DEFERRED = sequential({"class_name": "Dense", "config": {"name": "d", "units": 3}})


@pytest.mark.parametrize(
    ("inner", "number"),
    [(KNOWING, 1), (DEFERRED, 1), (DEFERRED, 0)],
    ids=["made with its input", "made when it was called (TF 2.2)", "made without a call (TF 2.1)"],
)
def test_the_first_call_of_a_nested_model_is_number_0(inner: Json, number: int) -> None:
    layers = normal_form(model(inner, number), keras_2=True)["config"]["layers"]
    taken = [layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"] for layer in layers[2:]]
    assert taken == [["inner", 0, 0], ["inner", 1, 0]]
