"""Entries of a config in normal form, and a walk over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.errors import quoted

Address: TypeAlias = tuple[str, ...]
"""A place in the model: layer names, then parts, then the variable, such as
`("tcn", "residual_block_0", "norm_1", "moving_mean")`."""


def is_entry(value: Any) -> bool:
    """Whether a setting is a layer in normal form, and not an object such as an initializer.

    A damaged config may hold a part of a model where no layer belongs; that is no layer either.
    """
    return (
        isinstance(value, dict)
        and isinstance(value.get("class_name"), str)
        and isinstance(value.get("config"), dict)
        and "registered_name" in value
        and "module" in value
        and value["module"] != "keras.initializers"
        and (not is_model(value) or isinstance(value["config"].get("layers"), list))
    )


def is_model(entry: Json) -> bool:
    return entry["class_name"] in {"Functional", "Sequential"}


def name_of(entry: Json) -> str:
    """A layer's name; functional models keep it beside the config, others inside."""
    return str(entry.get("name") or entry["config"].get("name") or "")


def free_name(base: str, taken: set[str]) -> str:
    """`base`, or the first of `base_1`, `base_2`, ... that is not taken; it is taken then."""
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name)
    return name


def spoken(entry: Json) -> str:
    """A layer as a message names it."""
    return f"layer {quoted(name_of(entry))}"


def every_entry(entry: Json) -> Iterator[Json]:
    """A model or layer, and every layer inside it. The settings of a TCN hold none."""
    yield entry
    if entry["class_name"] not in ("TCN", "LegacyTCN"):
        for setting in entry["config"].values():
            for value in setting if isinstance(setting, list) else [setting]:
                if is_entry(value):
                    yield from every_entry(value)


def map_entries(entry: Json, change: Callable[[Json], Json]) -> Json:
    """Every model and layer of a config changed, the innermost first.

    Args:
        entry: a model or layer; it is not changed.
        change: gets one entry, whose inner ones are changed already, and returns a new one.
    """

    if entry["class_name"] in ("TCN", "LegacyTCN"):  # its settings are as they were stored
        return change(entry)

    def inside(key: str, value: Any) -> Any:
        if is_entry(value):
            return map_entries(value, change)
        if key in {"layers", "cells"} and isinstance(value, list):
            return [map_entries(item, change) if is_entry(item) else item for item in value]
        return value

    return change({**entry, "config": {key: inside(key, value) for key, value in entry["config"].items()}})
