"""Every array of a checkpoint, claimed by exactly one address or listed as ignored with the reason.

The config is walked, never the file: each layer that it names, and each variable that the layer's class owns, has one
place in the layout at hand. What is not there is reported missing by its address; what nobody claims stops the
migration, unless it is known to be of no use. That accounting is what makes a migration exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Checkpoint, Json, StoredArray, is_floating
from tcn_migrate.config.catalogue import classes
from tcn_migrate.errors import NamingError, quoted
from tcn_migrate.naming import graph, names, store
from tcn_migrate.naming.entries import (
    Address,
    class_of,
    is_model,
    is_operation,
    is_tcn,
    layers_of,
    name_of,
    spoken,
    unwrapped,
)

_WHOLE_NUMBERS = frozenset({"count"})
"""Variables of built-in layers that are counters."""

AROUND: dict[str, Any] = {"store": store, "names": names, "saver": names, "graph": graph}
"""For each layout the module that finds the layers around a TCN in it: `layers`, `part` and `variables`."""

TCNAt = Callable[[Address, Json, Any], Mapping[Address, StoredArray]]
"""Reads one TCN: its address, its entry and its place give its arrays by address below the layer."""


@dataclass(frozen=True)
class Located:
    """The accounting.

    Attributes:
        arrays: by address; what a file stores once has two addresses where a layer holds it twice, or two models the
            layer.
        missing: variables of ordinary layers that are not there.
        order: all addresses, found or missing, in the order of the config.
    """

    arrays: Mapping[Address, StoredArray]
    missing: tuple[Address, ...]
    order: tuple[Address, ...]


def locate(
    model: Json,
    checkpoint: Checkpoint,
    read_tcn_at: TCNAt,
    custom_classes: frozenset[str] = frozenset(),
    derived: Callable[[Json], bool] = lambda entry: False,
) -> Located:
    """Finds every variable that a config in normal form asks for.

    Args:
        model: the stored config in normal form, before repairs.
        checkpoint: where to look.
        read_tcn_at: reads a TCN where one stands.
        custom_classes: classes of the user's own; all arrays below such a layer are its own, in the file's order.
        derived: whether an entry is of a class of the user's that is derived from TCN, and read as one.

    Raises:
        NamingError: an array of the wrong shape, or one that could be two things.
        UnsafeError: an array that is needed and cannot be trusted.
    """
    walk = _Walk(checkpoint.layout, read_tcn_at, custom_classes, derived)
    if checkpoint.layout == "names":
        for entry, place in names.top_layers(model, checkpoint.root, owns_arrays):
            walk.layer((name_of(entry),), entry, place)
    elif checkpoint.layout == "saver":
        walk.model((), model, names.everything(checkpoint.root))
    elif checkpoint.layout == "graph":
        walk.model((), model, graph.model_root(checkpoint.root))
    else:
        walk.model((), model, checkpoint.root)
    return Located(walk.arrays, tuple(walk.missing), tuple(walk.order))


def owns_arrays(entry: Json) -> bool:
    """Whether a layer of this entry has variables, as far as its config tells."""
    entry, _ = unwrapped(entry)
    if is_operation(entry):
        return False
    if is_tcn(entry):
        return True
    if is_model(entry):
        return any(owns_arrays(inner) for inner in layers_of(entry))
    name, config = class_of(entry), entry.get("config") or {}
    if not classes.is_known(name) and name != classes.LIST:
        return True
    return bool(classes.variables(name, config)) or any(owns_arrays(part.entry) for part in classes.parts(name, config))


class _Walk:
    """One walk through a config, side by side with the places of one layout."""

    def __init__(
        self, layout: str, read_tcn_at: TCNAt, custom_classes: frozenset[str], derived: Callable[[Json], bool]
    ) -> None:
        self.layout: Any = AROUND[layout]
        self.read_tcn_at, self.custom_classes, self.derived = read_tcn_at, custom_classes, derived
        self.arrays: dict[Address, StoredArray] = {}
        self.missing: list[Address] = []
        self.order: list[Address] = []
        self.claims: dict[str, Address] = {}
        self.sharing: dict[Address, Address] = {}
        self.layers: dict[str, tuple[Address, Any]] = {}

    def model(self, address: Address, model: Json, place: Any) -> None:
        held = list(self.layout.layers(model, place, owns_arrays))
        for entry, below in sorted(held, key=lambda pair: pair[1] is None):  # what shares comes after what it shares
            self.shared((*address, name_of(entry)), entry, below)

    def shared(self, address: Address, entry: Json, place: Any) -> None:
        """A layer of a model, which may be in another model too: a store holds it once, a graph leads to it twice."""
        if is_model(entry) or not owns_arrays(entry):
            self.layer(address, entry, place)
            return
        settings = {key: value for key, value in (entry.get("config") or {}).items() if key != "dtype"}
        told = json.dumps([class_of(entry), name_of(entry), settings], sort_keys=True, default=str)
        identity = re.sub(r', "shared_object_id": \d+', "", told)
        first, there = self.layers.setdefault(identity, (address, place))
        if first != address and self.layout in (store, graph) and place in (None, there):
            self.sharing[address] = first
            place = there
        self.layer(address, entry, place)

    def layer(self, address: Address, entry: Json, place: Any) -> None:
        entry, fixed = unwrapped(entry)
        if fixed:
            place = self.layout.part(place, classes.Part("layer", entry, scopes=("",)))
        if is_operation(entry):
            return
        if is_model(entry):
            self.model(address, entry, place)
        elif is_tcn(entry) or self.derived(entry):
            for below, array in self.read_tcn_at(address, entry, place).items():
                self.claim((*address, *below), array)
        elif class_of(entry) in self.custom_classes:
            for path, array in everything_below(self.layout, place):
                self.claim((*address, *path), array)
        else:
            self.builtin(address, class_of(entry), entry.get("config") or {}, place)

    def builtin(self, address: Address, class_name: str, config: Json, place: Any) -> None:
        wanted = classes.variables(class_name, config)
        parts = classes.parts(class_name, config)
        for variable, array in zip(wanted, self.layout.variables(place, wanted), strict=True):
            if variable.copy_of is not None and (array is None or self.layout is not store):
                continue  # filled below, from the array that it is a copy of; only a store holds both
            self.put((*address, variable.name), variable, array)
        for part in parts:
            self.layer((*address, part.role), part.entry, self.layout.part(place, part))
        for variable in wanted:
            twin = (*address, *(variable.copy_of or ()))
            if variable.copy_of is not None and (*address, variable.name) not in self.arrays and twin in self.arrays:
                self.arrays[*address, variable.name] = self.arrays[twin]
                self.order.append((*address, variable.name))

    def put(self, address: Address, variable: classes.Variable, array: StoredArray | None) -> None:
        if array is None:
            self.missing.append(address)
            self.order.append(address)
            return
        if array.flaw is None and variable.name not in _WHOLE_NUMBERS and not is_floating(array):
            raise NamingError(
                "holds no floating-point numbers",
                address=f"{spoken(address)} ({quoted(array.name)})",
                found=array.dtype,
            )
        check_shape(address, variable.shape if array.flaw is None else None, array)
        self.claim(address, array)

    def claim(self, address: Address, array: StoredArray) -> None:
        before = self.claims.get(array.name)
        if before is not None and not self._same_layer(address, before):
            raise NamingError(
                f"one array is claimed twice, by {spoken(before)} too: {quoted(array.name)}", address=spoken(address)
            )
        if array.flaw:
            raise NamingError(array.flaw, address=f"{spoken(address)} ({quoted(array.name)})")
        self.claims.setdefault(array.name, address)
        self.arrays[address] = array
        self.order.append(address)

    def _same_layer(self, address: Address, before: Address) -> bool:
        return any(
            address[: len(one)] == one and before[: len(other)] == other and address[len(one) :] == before[len(other) :]
            for one, other in self.sharing.items()
        )


def check_shape(address: Address, shape: Sequence[int | None] | None, array: StoredArray) -> None:
    """Holds an array's declared shape against what the config implies; a size of None is any size."""
    if shape is None:
        return
    fits = len(shape) == len(array.shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise NamingError(
            "has another shape than the config asks for",
            address=f"{spoken(address)} ({quoted(array.name)})",
            expected=f"({sizes})",
            found=array.shape,
        )


def everything_below(layout: Any, place: Any) -> Iterator[tuple[Address, StoredArray]]:
    """All arrays of a layer whose class only the user knows, by their path in Keras 3's store.

    A store keeps its own paths. Elsewhere the order of the file is the layer's order of variables, which go to
    `vars/0`, `vars/1`, ... of the layer itself.
    """
    if layout is store:
        yield from _store_paths(place, ())
        return
    listed = place if isinstance(place, tuple) else ()
    for number, named in enumerate(listed):
        yield ("vars", str(number)), named.array


def _store_paths(node: Any, path: Address) -> Iterator[tuple[Address, StoredArray]]:
    if node is None:
        return
    for name, array in sorted(node.arrays().items(), key=lambda item: [int(t) for t in re.findall(r"\d+", item[0])]):
        yield (*path, name), array
    for name in node.names():
        yield from _store_paths(node.child(name), (*path, name))
