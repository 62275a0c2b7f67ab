"""Layers of one model under the names of another: paired in their order, as Keras does it.

Keras pairs the layers that have weights by their position where they are not loaded by name
(keras/src/legacy/saving/legacy_h5_format.py, `load_weights_from_hdf5_group`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tcn_migrate.checkpoint import Json


def paired(own: Sequence[str], stored: Sequence[str]) -> dict[str, str]:
    """The stored names of a model's layers that have variables; none where the names fit, or the numbers do not."""
    if set(own) <= set(stored) or len(own) != len(stored):
        return {}
    return dict(zip(own, stored, strict=True))


def renamed(model: Json, names: Mapping[str, str]) -> Json:
    """A functional or sequential model's config with layers of other names; what is inside of its layers stays."""
    layers_of = model["config"] if isinstance(model["config"], list) else model["config"].get("layers")
    if not names or not isinstance(layers_of, list):
        return model
    taken = {**names}
    for layer in layers_of:
        name = layer["config"]["name"]
        if name not in names and name in names.values():  # a layer without variables has to make room
            taken[name] = f"{name}_without_variables"

    def reference(value: Any) -> Any:
        if isinstance(value, dict):
            history = value.get("keras_history")
            if isinstance(history, list):
                return {**value, "keras_history": [taken.get(history[0], history[0]), *history[1:]]}
            return {key: reference(item) for key, item in value.items()}
        if isinstance(value, list):
            numbered = len(value) in (3, 4) and all(isinstance(part, int) for part in value[1:3])
            if numbered and isinstance(value[0], str):
                return [taken.get(value[0], value[0]), *map(reference, value[1:])]
            return [reference(item) for item in value]
        return value

    layers = []
    for layer in layers_of:
        name = taken.get(layer["config"]["name"], layer["config"]["name"])
        changed = {**layer, "config": {**layer["config"], "name": name}}
        for key in ("name", "inbound_nodes"):
            if key in layer:
                changed[key] = name if key == "name" else reference(layer[key])
        layers.append(changed)
    if isinstance(model["config"], list):
        return {**model, "config": layers}
    ends = {key: reference(model["config"][key]) for key in ("input_layers", "output_layers") if key in model["config"]}
    return {**model, "config": {**model["config"], "layers": layers, **ends}}
