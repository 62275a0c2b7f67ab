"""What an optimizer keeps for each variable, brought to the same variables of the new model.

Keras 3 reads `optimizer/vars/0`, `1`, ... by position alone, in the order of the new model's trainable variables. So
each slot is taken by the variable that it belongs to: by name in HDF5, by the old model's order in Keras's own store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Checkpoint, Json, StoredArray
from tcn_migrate.config import classes
from tcn_migrate.moves import Move, copied
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
from tcn_migrate.tcn.reading import TCNReading, expected_shapes
from tcn_migrate.training.compiling import Compiled
from tcn_migrate.training.tables import SLOT_NAMES, SLOTS, slots_of

_HDF5, _STORE = "optimizer_weights/", "optimizer/vars/"


class _Impossible(Exception):
    """Why the optimizer's state cannot be brought over."""


def carry_slots(
    compiled: Compiled,
    checkpoint: Checkpoint,
    old: Json,
    new: Json,
    readings: Mapping[Address, TCNReading],
    moves: Sequence[Move],
    places: Mapping[Address, Address],
) -> tuple[tuple[Move, ...], str | None]:
    """The moves of the optimizer's variables.

    Args:
        compiled: the training configuration.
        checkpoint: where the slots are.
        old: the stored config in normal form.
        new: the new config.
        readings: every TCN by its address.
        moves: of the model's variables.
        places: where variables of the old model lie in the new one, if not at their old address.

    Returns:
        The moves, none if there is no state; and why there is none although the file has one.
    """
    stored = [name for name in checkpoint.arrays if name.startswith((_HDF5, _STORE)) or ".OPTIMIZER_SLOT" in name]
    if compiled.optimizer is None or not stored:
        return (), None
    try:
        return tuple(_moves(compiled, checkpoint, old, new, readings, moves, places)), None
    except _Impossible as reason:
        return (), str(reason)


def _moves(
    compiled: Compiled,
    checkpoint: Checkpoint,
    old: Json,
    new: Json,
    readings: Mapping[Address, TCNReading],
    moves: Sequence[Move],
    places: Mapping[Address, Address],
) -> Iterator[Move]:
    if compiled.optimizer not in SLOTS:
        raise _Impossible(f"{compiled.optimizer} keeps more than Keras stores")
    if compiled.legacy and compiled.optimizer not in ("Adam", "SGD"):
        raise _Impossible(f"the {compiled.optimizer} of this release computes another step than Keras 3's")
    if compiled.settings.get("use_ema") or compiled.settings.get("gradient_accumulation_steps"):
        raise _Impossible("averaged weights and accumulated gradients are not brought over")
    if checkpoint.layout not in ("names", "store"):
        raise _Impossible("it is kept in a TensorFlow checkpoint")
    groups = slots_of(str(compiled.optimizer), compiled.settings)
    before = {place: address for address, place in places.items()}
    moved = {move.address: move for move in moves}
    wanted = [before.get(place, place) for place in trainable(new, readings)]
    for address in wanted:
        if address not in moved or moved[address].grade not in ("copied", "reordered"):
            raise _Impossible(f"{spoken(address)} is not a copy of one stored array")
    if any(name.startswith(_STORE) for name in checkpoint.arrays):
        state = _by_position(checkpoint, old, readings, groups, moved)
    else:
        state = _by_name(checkpoint, groups, [moved[address] for address in wanted])
    number = 0

    def target() -> str:
        nonlocal number
        number += 1
        return f"{_STORE}{number - 1}"

    iteration = state.get((), "iteration")
    if iteration is None:
        raise _Impossible("the count of its steps is not in the file")
    yield copied(("optimizer", "iteration"), target(), iteration)
    rate = compiled.settings.get("learning_rate")
    if not isinstance(rate, dict):
        held = state.get((), "learning_rate")
        if held is not None:
            yield copied(("optimizer", "learning_rate"), target(), held)
        else:
            yield _constant(("optimizer", "learning_rate"), target(), np.float32(0.001 if rate is None else rate))
    idle = {address for reading in readings.values() for address in idle_variables(reading)}
    for group in groups:
        for address in wanted:
            for slot in group:
                here, array = ("optimizer", slot, *address), state.get(address, slot)
                move = moved[address]
                shape = move.sources[0].shape
                if array is None and address in idle:
                    yield _constant(here, target(), np.zeros(move.shape, np.float32))  # it never had a gradient
                elif array is None:
                    raise _Impossible(f"it has no {slot} for {spoken(address)}, which is trainable")
                elif array.shape != shape:
                    raise _Impossible(f"the {slot} of {spoken(address)} has the shape {array.shape} and not {shape}")
                elif move.grade == "reordered":
                    yield replace(move, address=here, target=target(), sources=(array,))
                else:
                    yield copied(here, target(), array)


def _constant(address: Address, target: str, values: Any) -> Move:
    array = np.asarray(values)
    return Move(address, target, array.shape, (), "initialized", lambda: array)


class _State:
    """Slots by variable and name; the iteration and the learning rate belong to no variable."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[Address, str], StoredArray] = {}

    def get(self, address: Address, slot: str) -> StoredArray | None:
        return self.arrays.get((address, slot))


def _by_name(checkpoint: Checkpoint, groups: Sequence[Sequence[str]], moves: Iterable[Move]) -> _State:
    """Slots in HDF5, in the three ways in which their names were made.

    TensorFlow 1.15 to 2.10 `Adam/dense/kernel/m:0` (1.15 with `training/` in front), 2.11 to 2.15
    `Adam/m/dense/kernel:0`, Keras 3 `adam/dense_kernel_momentum`.
    """
    state = _State()
    held: dict[str, list[StoredArray]] = {}
    for name, array in checkpoint.arrays.items():
        if name.startswith(_HDF5):
            own = re.sub(r"^training(_\d+)?/", "", name.removeprefix(_HDF5).removesuffix(":0"))
            held.setdefault(own.split("/", 1)[-1], []).append(array)  # without the optimizer's name

    def found_as(candidates: Iterable[str]) -> StoredArray | None:
        found = {array.name: array for candidate in candidates for array in held.get(candidate, ())}
        if len(found) > 1:
            raise _Impossible(f"two arrays could be {' or '.join(sorted(found)[:2])}")
        return next(iter(found.values()), None)

    for counter, names in (("iteration", ("iteration", "iter", "iterations")), ("learning_rate", ("learning_rate",))):
        counted = found_as(names)
        if counted is not None:
            state.arrays[(), counter] = counted
    for move in moves:
        variable = move.sources[0].name.removesuffix(":0").split("/", 1)[-1]  # behind the layer's group
        for slot in (slot for group in groups for slot in group):
            spelled = SLOT_NAMES.get(slot, (slot,))
            candidates = [f"{variable}/{s}" for s in spelled] + [f"{s}/{variable}" for s in spelled]
            kept = found_as([*candidates, f"{variable.replace('/', '_')}_{slot}"])
            if kept is not None:
                state.arrays[move.address, slot] = kept
    return state


def _by_position(
    checkpoint: Checkpoint,
    old: Json,
    readings: Mapping[Address, TCNReading],
    groups: Sequence[Sequence[str]],
    moved: Mapping[Address, Move],
) -> _State:
    """Slots in Keras's own store, which numbers them in the order of the old model's trainable variables.

    Within a block of keras-tcn the norms stand behind their convolutions, but before both from 3.5.3 on in Keras 2. The
    shapes tell which.
    """
    held: dict[int, StoredArray] = {}
    for name, array in checkpoint.arrays.items():
        number = name.removeprefix(_STORE)
        if name.startswith(_STORE) and number.isdecimal():
            held[int(number)] = array
    if sorted(held) != list(range(len(held))):
        raise _Impossible("its variables are not numbered from 0 on")
    shapes = {address: move.sources[0].shape for address, move in moved.items() if len(move.sources) == 1}
    for address, r in readings.items():  # also those that have no place in the new model
        below = expected_shapes(r.settings, r.generation, r.norm, r.input_width, folded=True)
        shapes |= {(*address, *variable): shape for variable, shape in below.items()}
    fitting = []
    for norms_first in (False, True):
        order = trainable(old, readings, norms_first=norms_first)
        slots = [((a, slot)) for group in groups for a in order for slot in group]
        scalars = len(held) - len(slots)
        if scalars not in (1, 2) or any(held[n].shape != () for n in range(scalars)):
            continue
        if all(held[scalars + n].shape == shapes.get(a) for n, (a, _) in enumerate(slots)) and slots not in fitting:
            fitting.append(slots)
    if len(fitting) != 1:
        raise _Impossible("which of its variables belongs to which of the model cannot be told")
    state = _State()
    scalars = len(held) - len(fitting[0])
    state.arrays[(), "iteration"] = held[0]
    if scalars == 2:
        state.arrays[(), "learning_rate"] = held[1]
    for place, key in enumerate(fitting[0]):
        state.arrays[key] = held[scalars + place]
    return state


def trainable(model: Json, readings: Mapping[Address, TCNReading], *, norms_first: bool = False) -> list[Address]:
    """The trainable variables of a model in Keras's order: layer by layer, each layer's own before its parts'.

    Args:
        model: in normal form, its layers in Keras's order.
        readings: every TCN by its address.
        norms_first: the norms of a TCN's block stand before its convolutions.
    """
    return list(dict.fromkeys(_of_model((), model, readings, norms_first)))


def _of_model(
    address: Address, model: Json, readings: Mapping[Address, TCNReading], norms_first: bool
) -> Iterator[Address]:
    for entry in layers_of(model) if model["config"].get("trainable", True) is not False else ():
        yield from _of_layer((*address, name_of(entry)), entry, readings, norms_first)


def _of_layer(
    address: Address, entry: Json, readings: Mapping[Address, TCNReading], norms_first: bool
) -> Iterator[Address]:
    entry, _ = unwrapped(entry)
    config = entry.get("config") or {}
    if is_operation(entry) or config.get("trainable", True) is False:
        return
    if is_model(entry):
        yield from _of_model(address, entry, readings, norms_first)
    elif is_tcn(entry) and address in readings:
        for below in _of_tcn(readings[address], norms_first):
            yield (*address, *below)
    elif not classes.is_known(class_of(entry)) and class_of(entry) != classes.LIST:
        raise _Impossible(f"the order of the variables of {spoken(address)} is not known")
    else:
        for variable in classes.variables(class_of(entry), config):
            if variable.trainable:
                yield (*address, variable.name)
        for part in classes.parts(class_of(entry), config):
            yield from _of_layer((*address, part.role), part.entry, readings, norms_first)


def _of_tcn(reading: TCNReading, norms_first: bool) -> list[Address]:
    shapes = expected_shapes(reading.settings, reading.generation, reading.norm, reading.input_width, folded=True)
    found = [below for below in shapes if not below[-1].startswith("moving_")]
    if norms_first:
        blocks = list(dict.fromkeys(below[0] for below in found))
        found.sort(key=lambda below: (blocks.index(below[0]), not below[1].startswith("norm_")))
    return found


def idle_variables(reading: TCNReading) -> Iterator[Address]:
    """Variables on which no output depends: the last block's shortcut, where the output is the sum of the branches."""
    if reading.settings.use_skip_connections:
        last = f"residual_block_{reading.settings.blocks - 1}"
        yield from ((*reading.address, last, "matching_conv1D", variable) for variable in ("kernel", "bias"))
