"""Naming by variable names: HDF5 of Keras 2 and 3, and the checkpoints of TensorFlow 1's Saver.

HDF5 has a group for each layer of the outer model. Below it, and in a Saver's checkpoint from the start, lie the names
of variables: scopes, then the variable. Names are trusted and positions are not: a frozen layer moves its arrays to the
end of the list. Keras numbers some scopes through the session (`lstm_cell_7`), TensorFlow 1 makes names unique
(`gamma_1:0`), TimeDistributed of Keras 2 leaves the inner layer's name out, and a nested model adds none (a Sequential
of Keras 3 does).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json, Node, StoredArray
from tcn_migrate.config.catalogue.classes import Part, Variable
from tcn_migrate.errors import NamingError, quoted
from tcn_migrate.naming.entries import is_model, layers_of, name_of


@dataclass(frozen=True)
class Named:
    """An array by its variable name: the scopes, and the variable without `:0`."""

    scopes: tuple[str, ...]
    variable: str
    array: StoredArray


Place = tuple[Named, ...]


def everything(node: Node | None, scopes: tuple[str, ...] = ()) -> Place:
    """All arrays below a node."""
    if node is None:
        return ()
    here = [Named(scopes, re.sub(r":\d+$", "", name), array) for name, array in node.arrays().items()]
    for name in node.names():
        here += everything(node.child(name), (*scopes, name))
    return tuple(here)


def _within(place: Place, name: str) -> Place:
    """The arrays whose name begins with a layer's name, without it; a "/" in the name divides scopes, too."""
    scopes = tuple(name.split("/"))
    return tuple(
        Named(n.scopes[len(scopes) :], n.variable, n.array) for n in place if n.scopes[: len(scopes)] == scopes
    )


def top_layers(model: Json, root: Node, owns_arrays: Callable[[Json], bool]) -> Iterator[tuple[Json, Place]]:
    """Each layer of the outer model: its group, without the layer's own name in front of its variables."""
    for entry in layers_of(model):
        name = name_of(entry)
        place = everything(root.child(name))
        if not is_model(entry):
            inside = _within(place, name)
            # Parts that Keras builds without the layer's scope (Normalization's `mean:0`) have no name in front.
            named = {n.array.name for n in inside}
            place = inside + tuple(n for n in place if n.array.name not in named)
        yield entry, place


def layers(model: Json, place: Place, owns_arrays: Callable[[Json], bool]) -> Iterator[tuple[Json, Place]]:
    """Each layer of a nested model (or of a Saver's checkpoint), by the name in front of its variables."""
    own = name_of(model)
    if own and not any(name_of(entry) == own for entry in layers_of(model)):
        place = _within(place, own) or place  # a Sequential of Keras 3 puts its name in front of everything
    for entry in layers_of(model):
        yield entry, place if is_model(entry) else _within(place, name_of(entry))


def part(place: Place, wanted: Part) -> Place:
    """The arrays of a layer inside a layer, by the scopes that it may have."""
    for scope in wanted.scopes:
        if not scope:
            return place
        exact = _below_scope(place, lambda name, scope=scope: name == scope)  # type: ignore[misc]
        found = exact or _below_scope(
            place,
            lambda name, scope=scope: re.fullmatch(re.escape(scope) + r"(_\d+)?", name) is not None,  # type: ignore[misc]
        )
        if found:
            return found
    return () if wanted.scopes else place


def _below_scope(place: Place, fits: Callable[[str], bool]) -> Place:
    found = []
    for named in place:
        for depth, name in enumerate(named.scopes):
            if fits(name):
                found.append(Named(named.scopes[depth + 1 :], named.variable, named.array))
                break
    return tuple(found)


def variables(place: Place, wanted: Sequence[Variable]) -> list[StoredArray | None]:
    """A layer's own arrays, by the variables' names.

    Raises:
        NamingError: two arrays of one name.
    """
    found: list[StoredArray | None] = []
    for variable in wanted:
        names = (variable.name, *variable.aliases)
        held = [n for n in place if n.variable in names]
        held = held or [n for n in place if re.sub(r"_\d+$", "", n.variable) in names]
        shallow = [n for n in held if len(n.scopes) == min(len(m.scopes) for m in held)]
        if len(shallow) > 1:
            raise NamingError(
                f"two arrays could be {variable.name}: {' and '.join(quoted(n.array.name) for n in shallow[:3])}"
            )
        found.append(shallow[0].array if shallow else None)
    return found
