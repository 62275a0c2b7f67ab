"""What an optimizer keeps for each variable, brought to the same variables of the new model.

Keras 3 reads `optimizer/vars/0`, `1`, ... by position alone, in the order of the new model's trainable variables. So
each slot is taken by the variable that it belongs to: by name in HDF5, by the old model's order in Keras's own store,
and in TensorFlow's object graph by the variable's key (up to 2.10) or by the old model's order (from 2.11 on).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Checkpoint, Json, Node, StoredArray
from tcn_migrate.config.catalogue import classes
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
from tcn_migrate.training.tables import DEFAULT_RATES, SLOT_NAMES, SLOTS, slots_of

_HDF5, _STORE, _VALUE = "optimizer_weights/", "optimizer/vars/", "/.ATTRIBUTES/VARIABLE_VALUE"
_STANDALONE = re.compile(r"(Variable|m|v|vhat|moment)(?:_(\d+))?(?:_\d+)?")
"""Names of Keras 2.0 to 2.2 (`Variable_3`) and 2.3 (`m_3`, or `m_3_1` where the session had an `m_3` before)."""


_RACED = (
    "Keras 2.0 to 2.3 reads the count of its steps mostly after and sometimes before it counts the step itself, so its "
    "next step varies by about a percent; the new model takes the one where the count is read after"
)
"""Source: keras/optimizers.py of 2.2.4 and 2.3.1, `get_updates`, in TensorFlow 1: the count is read and incremented in
one graph without an order. Read after in 105 of 108 steps of Adam, and in 52 of 72 of SGD with a decay."""


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
        The moves, none if there is no state; and what the user should know of them, a sentence or None.
    """
    if compiled.optimizer is None:
        return (), None
    if _tracked(checkpoint) is None and not any(name.startswith((_HDF5, _STORE)) for name in checkpoint.arrays):
        # keras/saving/saving_lib.py of 2.12 to 2.15 passes over optimizers of `keras.optimizers.legacy`.
        unsaved = compiled.legacy and checkpoint.layout == "store" and _has_state(compiled)
        return (), _left_out("Keras 2 stores no state of a legacy optimizer in a .keras file") if unsaved else None
    try:
        found = tuple(_moves(compiled, checkpoint, old, new, readings, moves, places))
    except _Impossible as reason:
        return (), _left_out(str(reason))
    raced = found[0].grade != "copied" and (compiled.optimizer != "SGD" or _is_scheduled(compiled))
    return found, _RACED if raced else None


def _left_out(reason: str) -> str:
    return f"the optimizer's state is left out, and training goes on with a new one: {reason}"


def _has_state(compiled: Compiled) -> bool:
    """Whether the next step depends on the steps before it."""
    return _is_scheduled(compiled) or bool(slots_of(str(compiled.optimizer), compiled.settings))


def _is_scheduled(compiled: Compiled) -> bool:
    return isinstance(compiled.settings.get("learning_rate"), dict)


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
    groups = slots_of(str(compiled.optimizer), compiled.settings)
    before = {place: address for address, place in places.items()}
    moved = {move.address: move for move in moves}
    wanted = [before.get(place, place) for place in trainable(new, readings)]
    for address in wanted:
        if address not in moved or moved[address].grade not in ("copied", "reordered"):
            raise _Impossible(f"{spoken(address)} is not a copy of one stored array")
    numbered = _numbered(checkpoint)
    if numbered is not None:
        state = _by_position(numbered, old, readings, groups, moved)
    elif _tracked(checkpoint) is not None:
        state = _by_key(checkpoint, groups, [moved[address] for address in wanted])
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
    if numbered is not None and numbered.slot_by_slot:
        counted = ("optimizer", "iteration")
        yield Move(counted, target(), iteration.shape, (iteration,), "rescaled", lambda count: count + 1)
    else:
        yield copied(("optimizer", "iteration"), target(), iteration)
    rate = compiled.settings.get("learning_rate")
    if not isinstance(rate, dict):
        held = state.get((), "learning_rate")
        if held is not None:
            yield copied(("optimizer", "learning_rate"), target(), held)
        else:
            rate = DEFAULT_RATES.get(str(compiled.optimizer), 0.001) if rate is None else rate
            yield _constant(("optimizer", "learning_rate"), target(), np.float32(rate))
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
            held.setdefault(_own_name(name), []).append(array)

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


@dataclass(frozen=True)
class _Numbered:
    """An optimizer's variables whose order alone tells what they are: the count of the steps, then the slots.

    Attributes:
        arrays: in this order.
        slot_by_slot: all variables' first slot comes before all variables' second one, and not variable by variable.
    """

    arrays: tuple[StoredArray, ...]
    slot_by_slot: bool


def _tracked(checkpoint: Checkpoint) -> Node | None:
    """The optimizer's place in TensorFlow's object graph, if the checkpoint has such a graph and it holds one."""
    return checkpoint.root.child("optimizer") if checkpoint.layout == "graph" else None


def _numbered(checkpoint: Checkpoint) -> _Numbered | None:
    """The optimizer's variables in their order, where the file has no better names for them.

    That none is missing shows in their number, which `_by_position` compares.
    """
    tracked = _tracked(checkpoint)
    if tracked is not None:
        # keras/optimizers/optimizer.py of 2.11 to 2.15 tracks a list that begins with the count of the steps.
        listed = tracked.child("_variables")
        arrays = {} if listed is None else listed.arrays()
    else:
        arrays = {n.removeprefix(_STORE): a for n, a in checkpoint.arrays.items() if n.startswith(_STORE)}
    numbers = sorted(int(name) for name in arrays if name.isdecimal())
    if numbers:
        return _Numbered(tuple(arrays[str(number)] for number in numbers), slot_by_slot=False)
    own = {_own_name(name): array for name, array in checkpoint.arrays.items() if name.startswith(_HDF5)}
    slots = sorted((_slot_number(found), found[0]) for found in map(_STANDALONE.fullmatch, own) if found)
    if not slots or "iterations" not in own:
        return None
    return _Numbered((own["iterations"], *(own[name] for _, name in slots)), slot_by_slot=True)


def _slot_number(name: re.Match[str]) -> tuple[int, int]:
    return ("Variable", "m", "moment", "v", "vhat").index(name[1]), int(name[2] or 0)


def _own_name(name: str) -> str:
    """The name of an optimizer's variable in HDF5, without `training/` and the optimizer's name in front."""
    own = re.sub(r"^training(_\d+)?/", "", name.removeprefix(_HDF5).removesuffix(":0"))
    return own.split("/", 1)[-1]


def _by_key(checkpoint: Checkpoint, groups: Sequence[Sequence[str]], moves: Iterable[Move]) -> _State:
    """Slots in TensorFlow's object graph up to 2.10, whose keys begin with the key of their variable.

    Source: tensorflow/python/training/tracking/graph_view.py, `_serialize_slot_variables`:
    `VARIABLE/.OPTIMIZER_SLOT/OPTIMIZER/SLOT/.ATTRIBUTES/VARIABLE_VALUE`.
    """
    state = _State()
    tracked = _tracked(checkpoint)
    own = {} if tracked is None else tracked.arrays()
    for counter, name in (("iteration", "iter"), ("learning_rate", "learning_rate")):
        if name in own:
            state.arrays[(), counter] = own[name]
    slots: dict[tuple[str, str], list[StoredArray]] = {}
    for name, array in checkpoint.arrays.items():
        variable, mark, rest = name.partition("/.OPTIMIZER_SLOT/")
        if mark:
            slots.setdefault((variable, rest.removesuffix(_VALUE).rpartition("/")[2]), []).append(array)
    for move in moves:
        variable = move.sources[0].name.removesuffix(_VALUE)
        for slot in (slot for group in groups for slot in group):
            found = [array for s in SLOT_NAMES.get(slot, (slot,)) for array in slots.get((variable, s), ())]
            if len(found) > 1:
                raise _Impossible(f"several optimizers have a {slot} for {spoken(move.address)}")
            if found:
                state.arrays[move.address, slot] = found[0]
    return state


def _by_position(
    numbered: _Numbered,
    old: Json,
    readings: Mapping[Address, TCNReading],
    groups: tuple[tuple[str, ...], ...],
    moved: Mapping[Address, Move],
) -> _State:
    """Slots that are numbered in the order of the old model's trainable variables.

    Within a block of keras-tcn the norms stand behind their convolutions, but before both from 3.5.3 on in Keras 2. The
    shapes tell which. SGD without momentum has no slots in Keras 3, and one that stays zero in Keras 2; Adam without
    amsgrad has in Keras 2.0 to 2.3 (keras/optimizers.py) a `vhat` of shape (1,) for each variable, which is not used.
    """
    held = numbered.arrays
    shapes = {address: move.sources[0].shape for address, move in moved.items() if len(move.sources) == 1}
    for address, r in readings.items():  # also those that have no place in the new model
        below = expected_shapes(r.settings, r.generation, r.norm, r.input_width, folded=True, steps=r.steps)
        shapes |= {(*address, *variable): shape for variable, shape in below.items()}
    if numbered.slot_by_slot and not any("velocity_hat" in group for group in groups):
        unused = len(held) - len(trainable(old, readings))
        held = held[:unused] if unused > 0 and all(array.shape == (1,) for array in held[unused:]) else held
    fitting = []
    for norms_first, kept in itertools.product((False, True), (groups,) if groups else ((), (("momentum",),))):
        order = trainable(old, readings, norms_first=norms_first)
        if numbered.slot_by_slot:
            slots = [(a, slot) for group in kept for slot in group for a in order]
        else:
            slots = [(a, slot) for group in kept for a in order for slot in group]
        scalars = len(held) - len(slots)
        if scalars not in (1, 2) or any(array.shape != () for array in held[:scalars]):
            continue
        fits = all(array.shape == shapes.get(a) for array, (a, _) in zip(held[scalars:], slots, strict=True))
        if fits and slots not in fitting:
            fitting.append(slots)
    if len(fitting) != 1:
        raise _Impossible("which of its variables belongs to which of the model cannot be told")
    state = _State()
    scalars = len(held) - len(fitting[0])
    state.arrays[(), "iteration"] = held[0]
    if scalars == 2:
        state.arrays[(), "learning_rate"] = held[1]
    state.arrays |= dict(zip(fitting[0], held[scalars:], strict=True))
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
    shapes = expected_shapes(
        reading.settings, reading.generation, reading.norm, reading.input_width, folded=True, steps=reading.steps
    )
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
