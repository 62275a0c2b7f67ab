"""What a repair of a layer hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.entries import Address

Sizes = tuple[int, ...]


def _unchanged(shape: Sizes) -> Sizes:
    return shape


@dataclass(frozen=True)
class Transform:
    """What is done to an array on its way.

    Attributes:
        name: in words, for the plan.
        apply: from the stored values to those to write, of the same dtype.
        shape: of what is written, from that of what is stored.
        reorders: the values are the stored ones in another order.
    """

    name: str
    apply: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = field(repr=False)
    shape: Callable[[Sizes], Sizes] = field(default=_unchanged, repr=False)
    reorders: bool = False

    def after(self, first: Transform) -> Transform:
        """Both of them, `first` first."""
        return Transform(
            f"{first.name}, {self.name}",
            lambda values: self.apply(first.apply(values)),
            lambda shape: self.shape(first.shape(shape)),
            first.reorders and self.reorders,
        )


@dataclass(frozen=True)
class Change:
    """One repair of one layer.

    Attributes:
        entry: the layer's new entry.
        sentence: what was changed and why. Safe to print.
        before: entries of layers to put in front of it, in order. Whoever puts them there makes their names
            unique.
        transforms: for the layer's arrays, by the rest of their address below the layer.
    """

    entry: Json
    sentence: str
    before: tuple[Json, ...] = ()
    transforms: Mapping[Address, Transform] = field(default_factory=dict)


LayerRepair = Callable[[Json], Change | None]
"""Looks at one layer's entry in normal form (without `name` and `inbound_nodes` inside a wrapper) and returns None if
there is nothing to repair. It never changes what it is given."""


def with_config(entry: Json, *without: str, **settings: Any) -> Json:
    """The entry with settings taken away and others set."""
    kept = {key: value for key, value in entry["config"].items() if key not in without}
    return {**entry, "config": {**kept, **settings}}


def new_layer(class_name: str, name: str, **settings: Any) -> Json:
    """The entry of a layer that no file holds."""
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, "trainable": True, **settings},
        "registered_name": None,
    }
