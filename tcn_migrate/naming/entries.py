"""What an entry of a model's config is: a model, a TCN, an operation, or a layer of some class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.identity import FIXED_TRAINING
from tcn_migrate.config.graph.entries import Address

__all__ = ["Address"]


def class_of(entry: Mapping[str, Any]) -> str:
    """The class without the package under which a user registered it: `Custom>TCN` is `TCN`."""
    return str(entry.get("class_name")).rpartition(">")[2]


def name_of(entry: Mapping[str, Any]) -> str:
    """A layer's name; functional models keep it beside the config, others inside."""
    config = entry.get("config")
    inner = config.get("name") if isinstance(config, Mapping) else None
    return str(entry.get("name") or inner or "")


def is_model(entry: Mapping[str, Any]) -> bool:
    return class_of(entry) in ("Functional", "Sequential", "Model")


def is_tcn(entry: Mapping[str, Any]) -> bool:
    """A TCN of keras-tcn, or of this package. A user's subclass of another name is not one."""
    return class_of(entry) in ("TCN", "LegacyTCN")


def is_operation(entry: Mapping[str, Any]) -> bool:
    """An operation of Keras 3 on tensors, which is no layer: it has no arrays and no place in the weight store."""
    return str(entry.get("module")).startswith(("keras.src.ops", "keras.ops"))


def unwrapped(entry: Json) -> tuple[Json, bool]:
    """The layer that a `FixedTraining` calls, and whether it is one.

    Such a layer stands in files of this package alone and has no variables. So it is no part of an address: those of
    the layer inside are as they were before it was wrapped.
    """
    if class_of(entry) != FIXED_TRAINING:
        return entry, False
    inner: Json = entry["config"]["layer"]
    return inner, True


def layers_of(model: Mapping[str, Any]) -> list[Json]:
    """The entries of a model in normal form, in the config's order."""
    layers = model["config"]["layers"]
    return list(layers)


def spoken(address: Address) -> str:
    """An address as a user reads it, harmless in a terminal."""
    from tcn_migrate.errors import quoted

    return " / ".join(quoted(part)[1:-1] for part in address)
