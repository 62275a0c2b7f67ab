"""Which norms of a TCN are lost, told from the arrays alone. NumPy only.

How norms get lost in the field, and what the file then shows (reproduced with keras-tcn 3.5.2 and Keras 3.8 to 3.15):

=====================  ========================================================  ==================================
state                  how it comes about                                        what the file shows
=====================  ========================================================  ==================================
missing                somebody stripped them; no release does it by itself      no array
reset                  a load failed, the error was swallowed (or                gamma 1, beta 0, mean 0, variance
                       `skip_mismatch=True`), and the model was saved again      1 exactly, in every channel
neighbour              the same, where the session had built exactly one norm    in every block one norm initial,
                       more or fewer than the writer's: within a block the       and the other holds its values
                       first norm found what the second was stored under
statistics reset       only `trainable_weights` were copied                      mean 0 and variance 1 in every
                                                                                 norm, gamma and beta trained
non-finite             a NaN seen once in training mode; casts                   NaN or infinity
negative variance      weights averaged with negative factors; casts             in single channels
=====================  ========================================================  ==================================

A model that was never trained has initial norms as well; its biases are initial too. In a healthy model single
channels can be exactly initial (a relu that never opened), so a norm is suspect only if all of its channels are.
A norm that is initial and rightly so (frozen from the start, or trained with `training=False`) cannot be told from a
lost one: hence these states are suspicions, and the user decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
State = Literal["complete", "missing", "reset", "neighbour", "statistics reset", "non-finite", "negative variance"]
Kind = Literal["batch", "layer"]

AFFINE = ("gamma", "beta")
STATISTICS = ("moving_mean", "moving_variance")
VARIABLES: Mapping[Kind, tuple[str, ...]] = {"batch": AFFINE + STATISTICS, "layer": AFFINE}
"""What a norm of each kind owns, in Keras's order."""

INITIAL = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


@dataclass(frozen=True)
class Loss:
    """A variable that is not there, or not to be believed.

    Attributes:
        address: of the variable; its last part is the variable's name, the parts before are the norm's address.
        channels: which channels are lost, as indices; None for all of them. The others are good.
    """

    address: tuple[str, ...]
    channels: tuple[int, ...] | None = None

    @property
    def norm(self) -> tuple[str, ...]:
        """The address of the norm."""
        return self.address[:-1]

    @property
    def variable(self) -> str:
        """The variable's name."""
        return self.address[-1]


@dataclass(frozen=True)
class NormState:
    """What became of one norm.

    Attributes:
        block, slot: which norm: slot 0 follows a block's first convolution, slot 1 its second.
        state: see the module.
        lost: its variables that are lost, in Keras's order; for a norm whose values lie under its neighbour, none.
        channels: of a lost variable, the channels that are lost if not all are.
        found_at: the slot of the same block under which this norm's values are stored, if that is the other one.
    """

    block: int
    slot: int
    state: State
    lost: tuple[str, ...] = ()
    channels: Mapping[str, tuple[int, ...]] | None = None
    found_at: int | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What became of the norms of one TCN.

    Attributes:
        norms: every norm, in the order of computation.
        untrained: all norms and all biases of the model are initial: nobody trained it, and nothing is lost.
    """

    norms: tuple[NormState, ...]
    untrained: bool = False

    @property
    def damaged(self) -> tuple[NormState, ...]:
        """The norms that are not complete where they should be."""
        return tuple(norm for norm in self.norms if norm.state != "complete")

    @property
    def missing(self) -> tuple[NormState, ...]:
        """The norms of which arrays are not in the file: surely lost, and not a suspicion."""
        return tuple(norm for norm in self.norms if norm.state == "missing")

    @property
    def suspect(self) -> tuple[NormState, ...]:
        """The norms whose arrays are there and do not look right."""
        return tuple(norm for norm in self.damaged if norm.state != "missing")

    @property
    def states(self) -> tuple[State, ...]:
        """Every state but complete that occurs, most frequent first."""
        found = [norm.state for norm in self.damaged]
        return tuple(sorted(set(found), key=lambda state: (-found.count(state), state)))

    def losses(self, address_of: Any) -> tuple[Loss, ...]:
        """The lost variables. `address_of(block, slot)` gives the address of a norm."""
        return tuple(
            Loss((*address_of(norm.block, norm.slot), variable), (norm.channels or {}).get(variable))
            for norm in self.norms
            for variable in norm.lost
        )

    def moves(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Where the values of misplaced norms are: (block, slot) of the norm to (block, slot) that holds its values."""
        return {
            (norm.block, norm.slot): (norm.block, norm.found_at) for norm in self.norms if norm.found_at is not None
        }


def diagnose(arrays: Mapping[tuple[int, int, str], Array | None], kind: Kind, biases: Iterable[Array]) -> Diagnosis:
    """Says what became of the norms of one TCN.

    Args:
        arrays: the norms' arrays by (block, slot, variable), each of shape (channels,); None or absent where the file
            has none.
        kind: of the TCN's norms.
        biases: every bias of the whole model (convolutions, Dense, recurrent layers), which tell a model that was
            never trained from one whose norms were reset. They start at 0; a forget gate's at 1.

    Returns:
        The state of every norm that `arrays` names.
    """
    places = sorted({(block, slot) for block, slot, _ in arrays})
    norms = {place: {name: arrays.get((*place, name)) for name in VARIABLES[kind]} for place in places}
    states = {place: _state_alone(*place, norm) for place, norm in norms.items()}
    whole = {place: norm for place, norm in norms.items() if states[place].state == "complete"}
    initial = {place for place, norm in whole.items() if _is_initial(norm, VARIABLES[kind])}
    if initial and len(initial) == len(norms) and all(_is_initial_bias(bias) for bias in biases):
        return Diagnosis(tuple(states.values()), untrained=True)

    misplaced = _misplaced(places, whole, initial)
    for block, slot in misplaced:
        # The neighbour holds this norm's values, and its own were nowhere.
        states[block, slot] = NormState(block, slot, "neighbour", found_at=1 - slot)
        states[block, 1 - slot] = NormState(block, 1 - slot, "neighbour", lost=VARIABLES[kind])
    for block, slot in initial if not misplaced else ():
        states[block, slot] = NormState(block, slot, "reset", lost=VARIABLES[kind])
    if kind == "batch":
        for place, norm in whole.items():
            if place not in initial and _is_initial(norm, STATISTICS) and states[place].state == "complete":
                states[place] = NormState(*place, "statistics reset", lost=STATISTICS)
    return Diagnosis(tuple(states[place] for place in places))


def _state_alone(block: int, slot: int, norm: Mapping[str, Array | None]) -> NormState:
    """What a norm's own arrays say without a look at the others."""
    missing = tuple(name for name, array in norm.items() if array is None)
    lost: dict[str, tuple[int, ...] | None] = dict.fromkeys(missing)
    bad: set[State] = set()
    for name, array in norm.items():
        if array is None:
            continue
        values = np.asarray(array, dtype=np.float64).reshape(-1)
        wrong = ~np.isfinite(values)
        if wrong.any():
            bad.add("non-finite")
        if name == "moving_variance":
            negative = values < 0
            if negative.any() and not wrong.any():
                bad.add("negative variance")
            wrong = wrong | negative
        if wrong.any():
            lost[name] = None if wrong.all() else tuple(int(channel) for channel in np.flatnonzero(wrong))
    if not lost:
        return NormState(block, slot, "complete")
    state: State = "missing" if missing else "non-finite" if "non-finite" in bad else "negative variance"
    channels = {name: where for name, where in lost.items() if where is not None}
    return NormState(block, slot, state, tuple(name for name in norm if name in lost), channels or None)


def _is_initial(norm: Mapping[str, Array | None], variables: Iterable[str]) -> bool:
    return all(np.all(np.asarray(norm[name]) == INITIAL[name]) for name in variables)


def _is_initial_bias(bias: Array) -> bool:
    """All 0, or an LSTM's: 1 in the forget gate, the second quarter, where `unit_forget_bias` starts it."""
    values = np.asarray(bias)
    if not values.any():
        return True
    if values.ndim != 1 or values.size % 4:
        return False
    gates = values.reshape(4, -1)
    return bool(np.all(gates[1] == 1) and not gates[[0, 2, 3]].any())


def _misplaced(
    places: Iterable[tuple[int, int]],
    whole: Mapping[tuple[int, int], Mapping[str, Array | None]],
    initial: set[tuple[int, int]],
) -> list[tuple[int, int]]:
    """The norms whose values lie under their neighbour: in every block the same slot is initial and the other is not.

    Names are looked up inside a block, which has two norms, so a session that counts one norm more or fewer than the
    writer's finds exactly one name of two in every block; any other difference finds none.
    """
    blocks = sorted({block for block, _ in places})
    for slot in (0, 1):
        if blocks and all(
            (block, slot) in initial and (block, 1 - slot) in whole and (block, 1 - slot) not in initial
            for block in blocks
        ):
            return [(block, slot) for block in blocks]
    return []
