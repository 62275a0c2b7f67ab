"""Naming in Keras's own weight store: `.keras` archives of Keras 2.12 and later, and `.weights.h5`.

A layer lies under its class in snake case, counted in the order of the model's config; names play no part. What counts
differs: Keras 3 counts each layer and no operation; Keras 2.12 and 2.13 visit a layer with weights twice, and count
visits (keras/saving/experimental/saving_lib.py of these releases); 2.14 and 2.15 count layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tcn_migrate.checkpoint import Json, Node, StoredArray
from tcn_migrate.config.catalogue.classes import Part, Variable, store_name
from tcn_migrate.containers.h5 import STORE_ROOTS
from tcn_migrate.naming.entries import class_of, is_operation, layers_of

Place = Node | None


def keys(entries: Sequence[Json], visits: Callable[[Json], int] = lambda entry: 1) -> list[str | None]:
    """The store's key of each entry; None for operations.

    Args:
        entries: a model's layers in the config's order.
        visits: how often the writer came by a layer.
    """
    counts: dict[str, int] = {}
    found: list[str | None] = []
    for entry in entries:
        if is_operation(entry):
            found.append(None)
            continue
        base = store_name(class_of(entry))
        number = counts.get(base, 0)
        found.append(f"{base}_{number}" if number else base)
        counts[base] = number + visits(entry)
    return found


def layers(model: Json, place: Place, owns_arrays: Callable[[Json], bool]) -> Iterator[tuple[Json, Place]]:
    """Each layer of a model, and where its arrays are."""
    entries = layers_of(model)
    container = next((c for name in STORE_ROOTS if place is not None and (c := place.child(name))), None)
    once = keys(entries)
    twice = keys(entries, lambda entry: 2 if owns_arrays(entry) else 1)
    held = set() if container is None else set(container.names())

    def fits(candidate: list[str | None]) -> int:
        return sum(key in held for key, entry in zip(candidate, entries, strict=True) if owns_arrays(entry))

    chosen = twice if fits(twice) > fits(once) else once
    for entry, key in zip(entries, chosen, strict=True):
        yield entry, None if container is None or key is None else container.child(key)


def part(place: Place, wanted: Part) -> Place:
    """Where a layer keeps a layer inside it."""
    if place is None:
        return None
    return next((found for name in (wanted.role, *wanted.store_names) if (found := place.child(name))), None)


def variables(place: Place, wanted: Sequence[Variable]) -> list[StoredArray | None]:
    """A layer's own arrays, in the order of `wanted`: the store numbers them."""
    held = None if place is None else place.child("vars")
    if held is None:
        return [None] * len(wanted)
    arrays = held.arrays()
    return [arrays.get(str(number)) for number in range(len(wanted))]
