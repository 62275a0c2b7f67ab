"""Names that Keras 3 allows.

Keras 2 takes any name, and "block1/dense" is a common one; Keras 3 allows no "/". A layer's arrays lie by its class in
the new file, so its name may change there. This is the last thing that is done to a config: all before it goes by the
names of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.identity import FIXED_TRAINING
from tcn_migrate.config.graph.entries import Address, free_name, is_entry, is_model, name_of


def legal_names(config: Json) -> tuple[Json, dict[Address, Address]]:
    """The config with every "/" in a name replaced, and the new address of every layer that was renamed.

    Since: Keras 3.0.
    Issue: "Argument `name` must be a string and cannot contain character `/`".

    Args:
        config: a model in normal form; it is not changed.
    """
    renamed: dict[Address, Address] = {}
    config = {**config, "config": {**config["config"], "name": _without_slash(config["config"].get("name"), set())}}
    return _model(config, (), (), renamed), renamed


def moved(address: Address, renamed: Mapping[Address, Address]) -> Address:
    """Where something lies after the renaming.

    Args:
        address: of a layer or a variable, before.
        renamed: as `legal_names` returns it.
    """
    for length in range(len(address), 0, -1):
        if address[:length] in renamed:
            return (*renamed[address[:length]], *address[length:])
    return address


def _without_slash(name: Any, taken: set[str]) -> Any:
    if not isinstance(name, str) or "/" not in name:
        return name
    return free_name(name.replace("/", "_"), taken)


def _model(entry: Json, before: Address, after: Address, renamed: dict[Address, Address]) -> Json:
    config = entry["config"]
    names = [name_of(layer) for layer in config["layers"]]
    taken = set(names)
    new = {name: _without_slash(name, taken) for name in names}
    layers = []
    for layer, name in zip(config["layers"], names, strict=True):
        here, there = (*before, name), (*after, new[name])
        if here != there:
            renamed[here] = there
        layers.append(_layer(layer, new[name], new, here, there, renamed))
    ends = {key: _followed(config[key], new) for key in ("input_layers", "output_layers") if key in config}
    return {**entry, "config": {**config, "layers": layers, **ends}}


def _layer(
    layer: Json, name: str, new: dict[str, str], before: Address, after: Address, renamed: dict[Address, Address]
) -> Json:
    made = {**layer, "config": dict(layer["config"])}
    if "name" in made["config"]:
        made["config"]["name"] = name
    if "inbound_nodes" in made:
        made["name"] = name
        made["inbound_nodes"] = _followed(layer["inbound_nodes"], new)
    if is_model(made):
        return _model(made, before, after, renamed)
    made["config"] = {
        key: _held(value, (*before, *below), (*after, *below), renamed)
        for key, value in made["config"].items()
        for below in [() if made["class_name"] == FIXED_TRAINING else (key,)]
    }
    return made


def _held(value: Any, before: Address, after: Address, renamed: dict[Address, Address]) -> Any:
    """A layer inside a layer: its name is no part of an address, but its own layers' names are."""
    if isinstance(value, list) and any(is_entry(item) for item in value):
        return [_held(item, before, after, renamed) for item in value]
    if not is_entry(value):
        return value
    return _layer(value, _without_slash(value["config"].get("name"), set()), {}, before, after, renamed)


def _followed(value: Any, new: Mapping[str, str]) -> Any:
    """References to layers, by their new names."""
    if isinstance(value, dict):
        history = value.get("keras_history")
        made = {key: _followed(item, new) for key, item in value.items()}
        return {**made, "keras_history": [new.get(history[0], history[0]), *history[1:]]} if history else made
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and value[0] in new and isinstance(value[1], int):
            return [new[value[0]], *value[1:]]
        return [_followed(item, new) for item in value]
    return value
