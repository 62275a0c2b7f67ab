"""Settings that only younger releases of Keras 3 know, left out while they have their default.

Keras refuses a setting that it does not know, so a file of 3.14 does not load in 3.12 because of
`quantization_config: null`.
"""

from __future__ import annotations

import re
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.graph.entries import is_model, map_entries, name_of

_RENORM = ("renorm", "renorm_clipping", "renorm_momentum")
_LORA = ("lora_rank", "lora_alpha", "lora_enabled")


def neutral(config: Json) -> Json:
    """The config without settings that an older Keras 3 would refuse, where they say nothing.

    Args:
        config: a model in normal form; it is not changed.
    """
    return map_entries(config, _neutral)


def _neutral(entry: Json) -> Json:
    if is_model(entry):
        return _with_plain_operations(entry) if entry["class_name"] == "Functional" else entry
    row = facts(entry["class_name"])
    config = {
        key: value
        for key, value in entry["config"].items()
        if key not in row.without_effect and not (key in row.younger and _same(value, row.younger[key]))
    }
    if entry["class_name"] == "BatchNormalization" and not config.get("renorm"):
        config = {key: value for key, value in config.items() if key not in _RENORM}
    if entry["module"] == "keras.layers":  # what LoRA learned is in the stored kernel
        config = {key: value for key, value in config.items() if key not in _LORA}
    return {**entry, "config": config}


def _same(value: Any, default: Any) -> bool:
    """Equal, and of one kind: 0 is no False."""
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def _with_plain_operations(model: Json) -> Json:
    """Operations with settings of their own take no name before Keras 3.11; without one they go by their class.

    The name stays where another layer would have the one that Keras then chooses.
    """
    layers = model["config"]["layers"]

    def has_settings(layer: Json) -> bool:
        return is_operation(layer["module"], layer["class_name"]) and not set(layer["config"]) <= {"name"}

    others = {name_of(layer) for layer in layers if not has_settings(layer)}

    def plain(layer: Json) -> Json:
        if not has_settings(layer):
            return layer
        chosen = re.compile(rf"{re.escape(snake_case(layer['class_name']))}(_\d+)?")
        if any(chosen.fullmatch(name) for name in others):
            return layer
        return {**layer, "config": {key: value for key, value in layer["config"].items() if key != "name"}}

    return {**model, "config": {**model["config"], "layers": [plain(layer) for layer in layers]}}
