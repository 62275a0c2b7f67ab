"""What differs between two configs of a model, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STORAGE = frozenset(
    {"module", "registered_name", "build_config", "inbound_nodes", "keras_version", "backend", "input_layers"}
    | {"output_layers", "compile_config"}
)
"""Keys that say where a class lies, how a config is stored and how layers are connected, but set nothing of a layer."""


@dataclass(frozen=True)
class Change:
    """One setting that differs.

    Attributes:
        layer: the names of the layer and of the models around it; () for the model itself.
        setting: its name, with a dot for each level, or "class_name".
        was, now: its value as JSON; None where it is not set.
    """

    layer: tuple[str, ...]
    setting: str
    was: str | None
    now: str | None


def changes(was: Mapping[str, Any], now: Mapping[str, Any], *, without: Collection[str] = ()) -> list[Change]:
    """The settings that differ between two configs.

    Args:
        was, now: configs of models, `{"class_name": ..., "config": ...}`.
        without: keys that are left out at every level.

    Returns:
        A change for each setting that differs, layer by layer in the order of `was`, then what only `now` has.
    """
    old, new = dict(_layers(was, (), without)), dict(_layers(now, (), without))
    found = []
    for layer in {**old, **new}:
        before, after = old.get(layer, {}), new.get(layer, {})
        for setting in {**before, **after}:
            if before.get(setting) != after.get(setting):
                found.append(Change(layer, setting, before.get(setting), after.get(setting)))
    return found


def _layers(
    entry: Mapping[str, Any], address: tuple[str, ...], without: Collection[str]
) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Each layer and model with its settings as JSON."""
    config = entry.get("config")
    # A Sequential of old releases of Keras 2 stores its layers alone.
    settings = config if isinstance(config, Mapping) else {"layers": config if isinstance(config, list) else []}
    below = [layer for layer in settings.get("layers") or () if isinstance(layer, Mapping)]
    own = {key: value for key, value in settings.items() if key != "layers"}
    beside = {key: value for key, value in entry.items() if key not in ("class_name", "config", "name")}
    flat = {"class_name": _text(entry.get("class_name"))}
    flat.update(_flat({**beside, **own}, "", without))
    yield address, flat
    for layer in below:
        inner = layer.get("config")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        yield from _layers(layer, (*address, str(name or layer.get("name"))), without)


def _flat(settings: Mapping[str, Any], prefix: str, without: Collection[str]) -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if key in without:
            continue
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.", without)
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, default=str)
