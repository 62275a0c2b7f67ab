"""What is wrong with a file's norms, and what shall be done about it: the user's decision, never ours.

Without Keras. A plan goes in with what the user allows, and comes out with every intact array at its right place, and
a list of what has to be recovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tcn_migrate.errors import DecisionNeeded
from tcn_migrate.moves import Plan, copied
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.recovery.diagnose import STATISTICS, VARIABLES, Diagnosis, Loss, NormState, diagnose

MOST_REFITTED = 8192
"""Missing numbers that are refitted at once: the normal matrix takes their square in float64, half a gigabyte."""

_SHOWN = 12
"""Norms that a message names one by one."""

_MEANING = {
    "reset": "every norm variable is at its initial value beside trained weights, as after a failed load (or "
    "skip_mismatch=True) and a new save",
    "neighbour": "one norm of each block holds the values of its neighbour and the other is at its initial values, as "
    "after skip_mismatch=True in a session that had built one norm more or fewer",
    "statistics reset": "moving_mean is 0 and moving_variance 1 in every channel beside trained gamma and beta, as "
    "where only the trainable weights were copied",
    "non-finite": "NaN or infinity, as after one batch with a NaN in training mode",
    "negative variance": "a moving_variance below zero, as after averaging weights or a cast",
}


@dataclass(frozen=True)
class Means:
    """What the user allows for norms that are lost.

    Attributes:
        reference: recorded inputs and the old model's predictions; see `data.read_recorded`.
        calibration: inputs alone; see `data.batches`.
        reinitialize: start afresh with what nothing else brings back.
        remeasure: also recover norms that are there: "suspect" ones, or "all".
        keep_suspect: take suspect norms as they are.
        accept_error: the largest error of predictions held back from a refit, in standard deviations, with which the
            file is written although it should be smaller.
    """

    reference: Any = None
    calibration: Any = None
    reinitialize: bool = False
    remeasure: Literal["suspect", "all"] | None = None
    keep_suspect: bool = False
    accept_error: float | None = None


def examine(plan: Plan) -> dict[Address, Diagnosis]:
    """The state of every TCN's norms. Reads the norms and the model's biases, nothing else."""
    found: dict[Address, Diagnosis] = {}
    biases: list[Any] | None = None
    for address, reading in plan.tcns.items():
        if reading.norm is None:
            continue
        if biases is None:
            biases = [move.values() for move in plan.moves if move.address[-1] == "bias"]
        arrays = {
            (k, slot, variable): stored.read()
            if (stored := reading.found.get((f"residual_block_{k}", f"norm_{slot}", variable)))
            else None
            for k in range(reading.settings.blocks)
            for slot in (0, 1)
            for variable in VARIABLES[reading.norm]
        }
        found[address] = diagnose(arrays, reading.norm, biases)
    return found


def settle(plan: Plan, diagnoses: Mapping[Address, Diagnosis], means: Means) -> tuple[Plan, tuple[Loss, ...]]:
    """Decides what is recovered, and from what.

    Returns:
        The plan, with intact arrays that lay at a neighbour's address moved back and what is to be recovered missing;
        and the losses.

    Raises:
        DecisionNeeded: variables are missing or suspect and nothing that the user allows settles it.
    """
    losses: list[Loss] = []
    warnings: list[str] = []
    all_losses = [
        loss
        for address, diagnosis in diagnoses.items()
        if not diagnosis.untrained
        for loss in diagnosis.losses(_norm_of(address))
    ]
    complete = not any(diagnosis.missing for diagnosis in diagnoses.values())
    for address, diagnosis in diagnoses.items():
        if diagnosis.untrained:
            warnings.append(
                f"{spoken(address)}: every norm and every bias is at its initial value, so the model looks untrained; "
                "it is migrated as it is"
            )
            continue
        suspect = diagnosis.suspect
        if suspect and not means.keep_suspect and means.remeasure is None:
            hint = _ways(plan, all_losses, remeasure="suspect", keep=complete)
            raise DecisionNeeded(_told(address, suspect), address=spoken(address), hint=hint)
        if suspect and means.keep_suspect:
            warnings.append(f"{_told(address, suspect)}; taken as they are")
        taken = diagnosis if means.remeasure else replace(diagnosis, norms=diagnosis.missing)
        if means.remeasure:
            plan = _moved_back(plan, address, diagnosis)
        losses += taken.losses(_norm_of(address))
        if means.remeasure == "all":
            losses += _all_others(plan, address, losses)
    plan = replace(plan, warnings=(*plan.warnings, *warnings))
    if not losses:
        return plan, ()
    if means.reference is not None:
        _refuse_too_many(plan, losses, means)
    elif not means.reinitialize:
        _refuse_hopeless(plan, losses, means)
    return _without(plan, losses), tuple(losses)


def _norm_of(address: Address) -> Any:
    return lambda block, slot: (*address, f"residual_block_{block}", f"norm_{slot}")


def _all_others(plan: Plan, address: Address, losses: Sequence[Loss]) -> list[Loss]:
    """What `remeasure="all"` adds: the statistics of batch norms, and nothing of layer norms, which have none."""
    known = {loss.address for loss in losses}
    reading = plan.tcns[address]
    if reading.norm != "batch":
        return []
    places = [
        (*_norm_of(address)(k, slot), variable)
        for k in range(reading.settings.blocks)
        for slot in (0, 1)
        for variable in STATISTICS
    ]
    return [Loss(place) for place in places if place not in known]


def _moved_back(plan: Plan, address: Address, diagnosis: Diagnosis) -> Plan:
    """Intact norms under a neighbour's address go back to their own: copied, bit for bit."""
    reading = plan.tcns[address]
    if not diagnosis.moves() or reading.norm is None:
        return plan
    found, moved = dict(reading.found), {}
    for (block, slot), (_, held_at) in diagnosis.moves().items():
        for variable in VARIABLES[reading.norm]:
            own = (f"residual_block_{block}", f"norm_{slot}", variable)
            source = reading.found[f"residual_block_{block}", f"norm_{held_at}", variable]
            found[own] = moved[(*address, *own)] = source
    moves = tuple(
        copied(move.address, move.target, moved[move.address]) if move.address in moved else move for move in plan.moves
    )
    # The old model that the new one is compared with had them there, too.
    stored = plan.stored and replace(plan.stored, arrays={**plan.stored.arrays, **moved})
    return replace(plan, moves=moves, tcns={**plan.tcns, address: replace(reading, found=found)}, stored=stored)


def _without(plan: Plan, losses: Sequence[Loss]) -> Plan:
    """The plan with what is to be recovered missing. A variable of which only channels are lost stays."""
    whole = {loss.address for loss in losses if loss.channels is None}
    missing = {**plan.missing, **{m.address: (m.target, m.shape) for m in plan.moves if m.address in whole}}
    return replace(plan, moves=tuple(m for m in plan.moves if m.address not in whole), missing=missing)


def _refuse_hopeless(plan: Plan, losses: Sequence[Loss], means: Means) -> None:
    """Inputs alone bring back statistics, and neither gamma nor beta."""
    affine = [loss for loss in losses if loss.variable not in STATISTICS]
    if means.calibration is not None and not affine:
        return
    norms: dict[Address, list[str]] = {}
    for loss in losses:
        norms.setdefault(loss.norm, []).append(loss.variable)
    listed = "; ".join(f"{spoken(norm)}: {', '.join(names)}" for norm, names in list(norms.items())[:_SHOWN])
    more = f" and {len(norms) - _SHOWN} more" if len(norms) > _SHOWN else ""
    if means.calibration is not None:
        raise DecisionNeeded(
            f"inputs alone bring back moving statistics, but gamma and beta of {len(norms)} norms are lost: "
            f"{listed}{more}",
            hint=_ways(plan, losses, remeasure=means.remeasure),
        )
    raise DecisionNeeded(
        f"{len(losses)} variables of {len(norms)} norms are not in the file or not to be believed: {listed}{more}",
        hint=_ways(plan, losses, remeasure=means.remeasure),
    )


def _refuse_too_many(plan: Plan, losses: Sequence[Loss], means: Means) -> None:
    """Raises where more numbers are lost than are refitted at once."""
    missing = missing_numbers(losses, _widths(plan))
    if missing > MOST_REFITTED:
        raise DecisionNeeded(
            "too many numbers are lost to refit them to predictions",
            expected=f"at most {MOST_REFITTED}",
            found=missing,
            hint=_ways(plan, losses, remeasure=means.remeasure),
        )


def _ways(plan: Plan, losses: Sequence[Loss], *, remeasure: str | None, keep: bool = False) -> str:
    """What the user can do, each of which works for these losses.

    Args:
        plan: of the file.
        losses: everything that would be recovered.
        remeasure: what `--remeasure` has to be, if it is needed.
        keep: the file can be taken as it is.
    """
    also = "" if remeasure is None else f" --remeasure {remeasure}"
    ways = []
    if missing_numbers(losses, _widths(plan)) <= MOST_REFITTED:
        ways.append(
            f"--reference recorded.npz{also} (inputs and the old model's predictions: exact where enough is recorded)"
        )
    variables = {loss.variable for loss in losses}
    if variables <= set(STATISTICS):
        ways.append(f"--calibrate inputs.npz{also} (statistics from inputs: close)")
    elif variables & set(STATISTICS):
        ways.append(
            f"--calibrate inputs.npz --reinitialize{also} (statistics from inputs, gamma and beta afresh: a start to "
            "train on)"
        )
    ways.append(f"--reinitialize{also} (afresh: the model has to be trained again)")
    if keep:
        ways.append("--keep-suspect (the file as it is)")
    return f"Say how they come back: {', '.join(ways[:-1])}, or {ways[-1]}" if ways[1:] else f"Give {ways[0]}"


def _widths(plan: Plan) -> dict[Address, int]:
    """The channels of each norm by its address."""
    shapes = {move.address: move.shape for move in plan.moves}
    shapes |= {address: shape for address, (_, shape) in plan.missing.items()}
    return {address[:-1]: shape[0] for address, shape in shapes.items() if len(shape) == 1}


def free_variables(losses: Iterable[Loss]) -> dict[Address, tuple[int, ...] | None]:
    """Which gammas and betas have to be fitted, and which of their channels; None for all.

    A lost variance is a lost scale, so gamma stands in for it; a lost mean is a lost shift, so beta does.
    """
    stands_for = {"gamma": "gamma", "moving_variance": "gamma", "beta": "beta", "moving_mean": "beta"}
    free: dict[Address, tuple[int, ...] | None] = {}
    for loss in losses:
        address = (*loss.norm, stands_for[loss.variable])
        known = free.get(address, ())
        everything = loss.channels is None or known is None
        free[address] = None if everything else tuple(sorted({*(known or ()), *(loss.channels or ())}))
    return free


def missing_numbers(losses: Iterable[Loss], widths: Mapping[Address, int]) -> int:
    """How many numbers a refit has to find. `widths` gives the channels of each norm by its address."""
    return sum(
        widths[address[:-1]] if channels is None else len(channels)
        for address, channels in free_variables(losses).items()
    )


def _told(address: Address, norms: Sequence[NormState]) -> str:
    """Suspect norms in words, by state."""
    said = []
    for state in dict.fromkeys(norm.state for norm in norms):
        places = [f"residual_block_{n.block} / norm_{n.slot}" for n in norms if n.state == state]
        listed = ", ".join(places[:_SHOWN]) + (f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else "")
        said.append(f"{len(places)} norms look wrong ({state}: {_MEANING[state]}): {listed}")
    return "; ".join(said)
