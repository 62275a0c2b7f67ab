"""Models inside layers and models, written so that every release of Keras 3 builds them alike."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layers.core import turned_round
from tcn_migrate.config.graph.drawing import Drawing, history, is_tensor, tensor
from tcn_migrate.config.graph.entries import map_entries, name_of
from tcn_migrate.config.graph.rewrite import every_model, is_functional, is_sequential
from tcn_migrate.config.repair import Repair


def repair_nested_models(model: Json) -> tuple[Json, list[Repair]]:
    """Settle what a nested model's place asks of its form.

    Args:
        model: an entry in normal form; it is not changed.
    """
    repairs: list[Repair] = []

    def change(entry: Json, path: str) -> Json:
        if is_sequential(entry):
            layers = [_inside(layer) for layer in entry["config"]["layers"]]
            return {**entry, "config": {**entry["config"], "layers": layers}}
        layers = [_wrapped(layer) for layer in entry["config"]["layers"]]
        settled, names = _called_more_than_once({**entry, "config": {**entry["config"], "layers": layers}})
        sentence = "a model that is called more than once and is an output is followed by a copy of its output"
        repairs.extend(Repair(path + name, "output-of-a-shared-model", sentence + ".") for name in names)
        return settled

    return every_model(model, change), repairs


def _wrapped(layer: Json) -> Json:
    inner = layer["config"].get("layer")
    if not is_functional(inner) or layer["class_name"] == "TCN":
        return layer
    return {**layer, "config": {**layer["config"], "layer": _inside(inner)}}


def _inside(entry: Json) -> Json:
    """A functional model in a wrapper or a Sequential model, whose output must be one tensor and not a list of one.

    A chain of layers becomes a Sequential model, which is that in every release. Any other form is written as Keras 3.8
    and later read it: a single input or output without the list around it.

    Since: Keras 3.4 takes a list of one output for a list.
    Issue: "Cannot convert '5' to a shape" from TimeDistributed(model).
    """
    if not is_functional(entry):
        return entry
    config: Json = entry["config"]
    chain = _chain(config)
    if chain is not None:
        kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
        made = {"module": "keras.src.models.sequential", "class_name": "Sequential"}
        return {**entry, **made, "config": {**kept, "layers": chain}}
    ends = {key: config[key] for key in ("input_layers", "output_layers")}
    alone = {key: end[0] for key, end in ends.items() if isinstance(end, list) and len(end) == 1}
    return {**entry, "config": {**config, **alone}}


def _chain(config: Json) -> list[Json] | None:
    """The layers of a model as a Sequential model lists them, or None if it is no chain of layers."""
    layers: list[Json] = config["layers"]
    if len(layers) < 2 or layers[0]["class_name"] != "InputLayer":
        return None
    if [_listed(config["input_layers"]), _listed(config["output_layers"])] != [
        [[layers[0]["name"], 0, 0]],
        [[layers[-1]["name"], 0, 0]],
    ]:
        return None
    for before, layer in pairwise(layers):
        calls = layer["inbound_nodes"]
        if str(layer.get("module")).startswith("keras.src.ops") or len(calls) != 1 or calls[0]["kwargs"]:
            return None
        arguments = calls[0]["args"]
        if len(arguments) != 1 or not is_tensor(arguments[0]) or history(arguments[0]) != (before["name"], 0, 0):
            return None
    return [{key: value for key, value in layer.items() if key != "inbound_nodes"} for layer in layers]


def _listed(ends: Any) -> Any:
    return [ends] if isinstance(ends, list) and ends and isinstance(ends[0], str) else ends


def _called_more_than_once(entry: Json) -> tuple[Json, list[str]]:
    """A copy after every output that a nested functional model gives in one of several calls.

    Since: Keras 3.3 counts such a call from 1 where it is an output and from 0 where a layer is called on it; 3.0
        counts it from 0 in both.
    """
    config: Json = entry["config"]
    shared = {layer["name"] for layer in config["layers"] if is_functional(layer) and len(layer["inbound_nodes"]) > 1}
    drawing = Drawing(layer["name"] for layer in config["layers"])
    found: Counter[str] = Counter()

    def ends(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ends(part) for key, part in value.items()}
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            if value[0] not in shared:
                return value
            found[value[0]] += 1
            return list(history(drawing.operation("numpy.Copy", tensor(*value), name=f"{value[0]}_output")))
        return [ends(part) for part in value]

    outputs = ends(config["output_layers"])
    if not found:
        return entry, []
    changed = {**config, "layers": [*config["layers"], *drawing.entries], "output_layers": outputs}
    return {**entry, "config": changed}, list(found)


def with_backward_layers(model: Json) -> Json:
    """The config with both layers of every Bidirectional in it, as Keras 3 writes them.

    Since: Keras 3.5 makes the second one of the first one's config while it loads, and may take a layer of another
        Bidirectional for it, by an id that is used again.
    Issue: "Forward layer and backward layer should have different `go_backwards` value".
    """

    def change(entry: Json) -> Json:
        config = entry["config"]
        if entry["class_name"] != "Bidirectional" or config.get("backward_layer"):
            return entry
        backward = turned_round(config["layer"])
        name = f"backward_{name_of(backward).removeprefix('backward_')}"
        return {
            **entry,
            "config": {**config, "backward_layer": {**backward, "config": {**backward["config"], "name": name}}},
        }

    return map_entries(model, change)
