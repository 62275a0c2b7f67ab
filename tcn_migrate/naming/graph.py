"""Naming by the edges of TensorFlow's object graph: SavedModels and object-based checkpoints.

A model has its layers at `layer-0`, `layer-1`, ..., a layer its variables at their attributes' names. Keys and variable
names tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from tcn_migrate.checkpoint import Json, Node, StoredArray
from tcn_migrate.config.catalogue.classes import Part, Variable
from tcn_migrate.containers.object_graph import GraphNode, model_children, models_below
from tcn_migrate.errors import NamingError, quoted
from tcn_migrate.naming.entries import class_of, layers_of, name_of

Place = Node | None


def model_root(root: Node) -> Node:
    """The model in a graph: the root itself, or what `tf.train.Checkpoint(net=model)` put below an edge.

    Raises:
        NamingError: no model, or several.
    """
    found = models_below(cast(GraphNode, root))
    if len(found) != 1:
        edges = ", ".join(quoted("/".join(path), 40) for path, _ in found[:5])
        raise NamingError(
            "the object graph should hold one model, a node with an edge layer-0",
            found=f"{len(found)}{': ' + edges if edges else ''}",
        )
    return found[0][1]


def layers(model: Json, place: Place, owns_arrays: Callable[[Json], bool]) -> Iterator[tuple[Json, Place]]:
    """Each layer of a model, and its node."""
    entries = layers_of(model)
    names = [name_of(entry) for entry in entries]
    held = (
        {}
        if place is None
        else model_children(cast(GraphNode, place), names, sequential=class_of(model) == "Sequential")
    )
    for entry, name in zip(entries, names, strict=True):
        yield entry, held.get(name)


def part(place: Place, wanted: Part) -> Place:
    """The node of a layer inside a layer."""
    if place is None:
        return None
    return next((found for name in (wanted.role, *wanted.store_names) if (found := place.child(name))), None)


def variables(place: Place, wanted: Sequence[Variable]) -> list[StoredArray | None]:
    """A layer's own arrays, by the attributes' names."""
    arrays = {} if place is None else place.arrays()
    return [next((arrays[name] for name in (v.name, *v.aliases, f"_{v.name}") if name in arrays), None) for v in wanted]
