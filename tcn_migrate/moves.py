"""Every move, fold and repair of one migration, decided once.

`tcn-migrate plan` prints this object, the writer executes it, and the report quotes it: no later step decides again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tcn_migrate.checkpoint import Array, Box, Json, Origin, StoredArray
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import NamingError
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.tcn.reading import TCNReading

PIECE = 1 << 21
"""How many values of a large array are held at a time."""
Grade = Literal["copied", "folded", "rescaled", "reordered", "refitted", "measured", "initialized"]


@dataclass(frozen=True)
class Move:
    """How one variable of the new file gets its values.

    Attributes:
        address: the variable, as a user names it.
        target: its path in the new file's weight store.
        shape: of the variable.
        sources: the stored arrays it is made of: one that is copied, or weight norm's g and v; none where the values
            were recovered.
        grade: how exact it is. "copied": bit for bit. "folded": weight norm's product. "rescaled": a repair multiplies
            columns. "reordered": the stored values in another order. The others: recovered, and how.
        make: the values out of the sources' values.
    """

    address: Address
    target: str
    shape: tuple[int, ...]
    sources: tuple[StoredArray, ...]
    grade: Grade
    make: Callable[..., Array] = field(repr=False, compare=False)

    def values(self) -> Array:
        """The variable's values, read now.

        Raises:
            NamingError: the values have another shape than their header promised.
        """
        made = self.make(*(source.read() for source in self.sources))
        if made.shape != self.shape:
            raise NamingError(
                "has another shape than its header", address=spoken(self.address), expected=self.shape, found=made.shape
            )
        return made

    def pieces(self) -> Iterator[tuple[Box, Array]]:
        """The variable's values, read now and piece by piece where they are a copy, so that none is ever held whole.

        Returns:
            Where each piece begins, and its values; in C order.

        Raises:
            NamingError: as `values`.
        """
        part = self.sources[0].part if self.grade == "copied" and self.sources else None
        if part is None or self.sources[0].shape != self.shape or math.prod(self.shape) <= PIECE:
            yield (0,) * len(self.shape), self.values()
            return
        for start, shape in _boxes(self.shape, PIECE):
            yield start, part(start, shape)


def _boxes(shape: Box, most: int) -> Iterator[tuple[Box, Box]]:
    """An array cut into boxes of at most so many values, each in one piece: where it begins, and its shape."""
    axis = 0  # the first one of which a single index has few enough values
    while math.prod(shape[axis + 1 :]) > most:
        axis += 1
    below = shape[axis + 1 :]
    height = most // math.prod(below)
    for above in np.ndindex(shape[:axis]):
        for first in range(0, shape[axis], height):
            yield (*above, first, *(0 for _ in below)), (*(1 for _ in above), min(height, shape[axis] - first), *below)


@dataclass(frozen=True)
class Stored:
    """The old model as it is stored, before anything was done for a migration.

    Attributes:
        config: in normal form.
        arrays: every array that a layer claims, by address.
        tcns: every TCN, by its address, as read from the source.
        keras_version: of the release that wrote it, or the major version alone.
    """

    config: Json
    arrays: Mapping[Address, StoredArray]
    tcns: Mapping[Address, TCNReading]
    keras_version: str


@dataclass(frozen=True)
class Plan:
    """One migration.

    Attributes:
        origin: the file.
        target: "layer" or "plain".
        config: the new file's config.
        moves: how each variable gets its values, in the order of the new file.
        missing: the variables that have no values yet, with their shapes.
        ignored: stored arrays that are not used, with the reason.
        repairs: what was changed in the config.
        tcns: every TCN, by its address.
        states: what the norms look like, a sentence for each norm that is not complete and sound.
        warnings: what the user should know.
        compile_config: the carried training configuration, or None.
        tcn_paths: the path, in the new file's weight store, of the layer or model that computes each TCN.
        places: where a variable of a TCN lies in the new model, by its address, if not there (target "plain").
        optimizer: how each variable of the optimizer gets its values, none if training starts anew.
        loads_already: an unmodified keras-tcn 3.5.5 or later (or Keras alone, without a TCN) loads the source itself.
        reading: the options of a command that reads the source as it was read for this plan.
        stored: the old model as it is stored.
    """

    origin: Origin
    target: str
    config: Json
    moves: tuple[Move, ...]
    missing: Mapping[Address, tuple[str, tuple[int, ...]]]
    ignored: Mapping[str, str]
    repairs: tuple[Repair, ...]
    tcns: Mapping[Address, TCNReading]
    warnings: tuple[str, ...]
    tcn_paths: Mapping[Address, str] = field(default_factory=dict)
    compile_config: Json | None = None
    places: Mapping[Address, Address] = field(default_factory=dict)
    optimizer: tuple[Move, ...] = ()
    loads_already: bool = False
    reading: tuple[str, ...] = ()
    stored: Stored | None = None

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def grades(self) -> dict[str, int]:
        """How many variables are how exact."""
        return dict(Counter(move.grade for move in self.moves))

    @property
    def bytes(self) -> int:
        """Bytes of the new file's arrays, about."""
        return sum(4 * int(np.prod(move.shape, dtype=np.int64)) for move in (*self.moves, *self.optimizer))

    def _repr_html_(self) -> str:
        """The page of the plan, in a notebook."""
        from tcn_migrate.report.page import planned

        return planned(self)._repr_html_()

    def filled(self, values: Mapping[Address, Array], grade: Grade) -> Plan:
        """The plan with recovered values for variables that were missing, or that are replaced."""
        moves = []
        for move in self.moves:
            new = values.get(move.address)
            moves.append(move if new is None else _filled(move.address, move.target, new, grade))
        known = {move.address for move in self.moves}
        for address, (target, _) in self.missing.items():
            if address in values and address not in known:
                moves.append(_filled(address, target, values[address], grade))
        missing = {address: place for address, place in self.missing.items() if address not in values}
        return replace(self, moves=tuple(moves), missing=missing)


def _filled(address: Address, target: str, values: Array, grade: Grade) -> Move:
    return Move(address, target, values.shape, (), grade, lambda: values)


def copied(address: Address, target: str, source: StoredArray) -> Move:
    """A variable that is copied bit for bit."""
    return Move(address, target, source.shape, (source,), "copied", lambda values: values)
