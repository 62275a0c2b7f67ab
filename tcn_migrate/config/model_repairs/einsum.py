"""Sizes that an EinsumDense knew from its input and did not write into its settings."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.catalogue.shapes import same
from tcn_migrate.config.graph.drawing import history, is_tensor
from tcn_migrate.config.graph.rewrite import every_model, is_functional
from tcn_migrate.config.reading.einsum import known_sizes


def with_sizes_of_inputs(model: Json) -> Json:
    """The model with `known_sizes` for every EinsumDense whose input's shape is that of an input of its model.

    `.h5` files have no `build_config`.
    """

    def change(entry: Json, _path: str) -> Json:
        if not is_functional(entry):
            return entry
        shapes: dict[str, Any] = {}
        layers = [_filled(layer, shapes) for layer in entry["config"]["layers"]]
        return {**entry, "config": {**entry["config"], "layers": layers}}

    return every_model(model, change)


def _filled(layer: Json, shapes: dict[str, Any]) -> Json:
    """The layer with its sizes filled in; `shapes` has the outputs of the layers before it as far as they are known."""
    config, name = layer["config"], layer["name"]
    if layer["class_name"] == "InputLayer":
        shapes[name] = config.get("batch_shape")
        return layer
    calls = layer["inbound_nodes"]
    if len(calls) != 1 or not calls[0]["args"] or not is_tensor(calls[0]["args"][0]):
        return layer
    shape = shapes.get(history(calls[0]["args"][0])[0])
    if not isinstance(shape, list):
        return layer
    if layer["class_name"] == "EinsumDense":
        sizes = known_sizes(config.get("equation"), config.get("output_shape"), {"input_shape": shape})
        shapes[name] = [shape[0], *sizes] if isinstance(sizes, list) else None
        return {**layer, "config": {**config, "output_shape": sizes}}
    if layer["class_name"] == "SpectralNormalization":
        return layer
    if layer["class_name"] == "Dense":
        shapes[name] = [*shape[:-1], config.get("units")]
    elif layer["class_name"] == "Copy" or facts(layer["class_name"]).output_shape is same:
        shapes[name] = shape
    return layer
