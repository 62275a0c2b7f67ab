"""The fit of free gammas and betas to recorded outputs: descents, and the waking of channels between them.

A channel whose relu opens nowhere where it matters has no derivative, and Levenberg-Marquardt stalls at a thousandth
with it. Such a dead channel shows as parameters without any effect on the outputs. (Its activity over all steps says
nothing: without `return_sequences` only the last step of the last block counts.) The other way to be stuck is a
channel that is always open, with hardly any gamma, so that it passes a constant on, where the old one opened now and
then; it shows by a gamma far below its norm's others.

Both kinds get a small gamma and a beta that opens them for as few values as are needed for an effect to show: 2 %,
else 10, 40, 80 % of the channel's values. Small, so that waking changes the outputs little; whether the channel grows
is left to the next descent, which counts if it ends better. All channels are tried at once first, then one by one.
Everything lost, 1024 recordings: batch norm 8e-4 -> 4e-7; layer norm with 2 outputs 3e-3 -> 3e-4, of which a third by
the weak ones; layer norm with classes 0.13 -> 3e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tcn_migrate.recovery.least_squares import EXACT, Descent, Problem, descend
from tcn_migrate.recovery.response import Response

Array = np.ndarray[Any, Any]
Channel = tuple[tuple[str, ...], int]

HELD_BACK = 0.15
"""Part of the recorded samples that is not fitted to."""

ROWS = 12
"""Rows of the Jacobian a parameter, drawn anew in each step: where a sample has many outputs, some of them will do."""

OPENINGS = (0.02, 0.1, 0.4, 0.8)
"""Parts of a channel's values for which a waking channel is opened, the first at which an effect shows."""

AWAKE = 0.05
"""The gamma that a channel is woken with."""

WAKING_STEPS = 30
"""Steps and attempts to wake channels, all together, after which no better fit is looked for."""

NO_WAKING_BELOW = 4 * EXACT
"""Error below which no channel is woken any more: what is left is rounding, and channels that hardly matter."""

WEAK = 0.35
"""A channel is weak if its gamma is below this part of its norm's median; trained gammas stay near 1."""


@dataclass(frozen=True)
class Fit:
    """A fit, and how good it is. Errors are root mean squares in standard deviations of the recorded outputs.

    Attributes:
        parameters: of the response.
        held_back: the error on samples that were not fitted to.
        fitted: the error on those that were.
        curve: the held-back error step by step.
        woken: how many dead channels were opened with success.
    """

    parameters: Array
    held_back: float
    fitted: float
    curve: tuple[float, ...]
    woken: int = 0


class Recorded:
    """Recorded outputs to fit to, some held back.

    Args:
        response: the outputs as a function of the parameters.
        outputs: what was recorded, (samples, outputs).
        scale: the standard deviation that each output is measured in, (outputs,).
        plenty: so much is recorded that nothing can be fitted by chance.
        seed: of what is held back, and of the rows drawn.
    """

    def __init__(self, response: Response, outputs: Array, scale: Array, *, plenty: bool, seed: int) -> None:
        self.response, self.outputs, self.scale, self.plenty = response, outputs, scale, plenty
        self.random = np.random.default_rng(seed)
        order = self.random.permutation(len(outputs))
        count = round(HELD_BACK * len(outputs))
        self.held, self.fitted = np.sort(order[:count]), np.sort(order[count:])

    def problem(self, fitted: Array, held: Array) -> Problem:
        """The least squares over some of the samples."""
        count = self.response.outputs
        wanted = -(-ROWS * len(self.response.start) // max(len(fitted), 1))
        drawn = min(max(wanted, 1), count)

        def residuals(parameters: Array) -> tuple[Array, Array]:
            both = np.concatenate([fitted, held])
            off = (self.response.predict(parameters, both) - self.outputs[both]) / self.scale
            return off[: len(fitted)].ravel(), off[len(fitted) :].ravel()

        def normal(parameters: Array) -> tuple[Array, Array]:
            chosen = np.argsort(self.random.random((len(fitted), count)), axis=1)[:, :drawn]
            values, rows = self.response.rows(parameters, fitted, chosen)
            scale = self.scale[chosen]
            off = ((values - np.take_along_axis(self.outputs[fitted], chosen, axis=1)) / scale).ravel()
            rows = (rows / scale[..., None]).reshape(-1, len(parameters))
            return rows.T @ rows * (count / drawn), rows.T @ off * (count / drawn)

        return Problem(residuals, normal, max if self.plenty else lambda fitted, held_back: held_back)


def fit(recorded: Recorded, *, prior: float, progress: Callable[[float], None] | None = None) -> Fit:
    """Fits the parameters, from those that the response starts with.

    Steps, tolerance and patience end it, never the time that it took.

    Args:
        recorded: what to fit to.
        prior: see `descend`; 0 where enough is recorded.
        progress: called with the held-back error after each step.
    """
    curve: list[float] = []

    def note(held_back: float) -> bool:
        if held_back:  # nothing is held back from the last steps
            curve.append(held_back)
        if progress and held_back:
            progress(held_back)
        return False

    problem = recorded.problem(recorded.fitted, recorded.held)
    best = descend(problem, recorded.response.start, prior=prior, stop=note)
    if prior:
        return Fit(best.parameters, best.held_back, best.fitted, tuple(curve))
    woken, budget = 0, _Budget(WAKING_STEPS, note)
    while best.score > NO_WAKING_BELOW and budget.left > 0:
        if best.fitted <= 2 * EXACT and recorded.plenty:
            break  # what is left is channels that no fitted sample opens
        better, count = _woken(recorded, problem, best, budget)
        if better is None:
            break
        best, woken = better, woken + count
    if best.score > EXACT and recorded.plenty:
        best = _with_all(recorded, best, note)
    return Fit(best.parameters, best.held_back, best.fitted, tuple(curve), woken)


@dataclass
class _Budget:
    """Steps that may still be taken: the same number on every machine, where a time would not be."""

    left: int
    note: Callable[[float], bool]

    def step(self, held_back: float) -> bool:
        """Counts a step; True if it was the last one."""
        self.left -= 1
        return self.note(held_back) or self.left <= 0


def _woken(recorded: Recorded, problem: Problem, best: Descent, budget: _Budget) -> tuple[Descent | None, int]:
    """A descent that ended better than `best` with channels woken, or None; and how many those were."""
    dead = dead_channels(recorded, best.parameters)
    every = dead + weak_channels(recorded, best.parameters, dead)
    attempts = [(every, 1, OPENINGS[first:]) for first in range(3)] + [(every, -1, OPENINGS)]
    attempts += [([channel], 1, OPENINGS) for channel in every]
    for channels, sign, openings in attempts:
        if not channels or budget.left <= 0:
            break
        budget.left -= 1  # an attempt may end before its first step
        start = wake(recorded, best.parameters, channels, sign, openings)
        tried = descend(problem, start, patience=4, stop=budget.step)
        if tried.score < 0.95 * best.score:
            return tried, len(channels)
    return None, 0


def _with_all(recorded: Recorded, best: Descent, note: Callable[[float], bool]) -> Descent:
    """The last steps with the held-back samples as well: some may open a channel that no other does.

    The held-back error stays the one from before.
    """
    everything = np.arange(len(recorded.outputs))
    problem = recorded.problem(everything, everything[:0])
    problem = replace(problem, score=lambda fitted, held_back: fitted)
    last = descend(problem, best.parameters, stop=note)
    return replace(last, held_back=best.held_back)


def dead_channels(recorded: Recorded, parameters: Array) -> list[Channel]:
    """The channels whose free parameters have no effect on any fitted output."""
    effect = recorded.response.effect(parameters, recorded.fitted)
    by_channel: dict[Channel, bool] = {}
    for free in recorded.response.free:
        for channel, size in zip(free.channels, effect[free.part], strict=True):
            place = free.address[:-1], int(channel)
            by_channel[place] = by_channel.get(place, False) or bool(size > 0)
    return [place for place, alive in by_channel.items() if not alive]


def weak_channels(recorded: Recorded, parameters: Array, dead: Sequence[Channel]) -> list[Channel]:
    """The channels, none of them dead, whose free gamma is far below their norm's others."""
    variables = recorded.response.variables(parameters)
    known = set(dead)
    weak: list[Channel] = []
    for free in recorded.response.free:
        if free.address[-1] == "gamma":
            sizes = np.abs(variables[free.address])
            low = [int(channel) for channel in free.channels if sizes[channel] < WEAK * np.median(sizes)]
            weak += [(free.address[:-1], channel) for channel in low if (free.address[:-1], channel) not in known]
    return weak


def wake(
    recorded: Recorded, parameters: Array, channels: Sequence[Channel], sign: int, openings: Sequence[float]
) -> Array:
    """Parameters with some channels opened just enough to have an effect.

    Args:
        recorded: what is fitted.
        parameters: where the channels are dead or weak.
        channels: those channels.
        sign: of their new gamma.
        openings: parts of a channel's values to open it for, one after the other.
    """
    parameters = parameters.copy()
    some = recorded.fitted[:: max(1, len(recorded.fitted) // 256)]
    normalised = recorded.response.normalised(parameters, some)
    places = {
        (free.address, int(channel)): free.start + number
        for free in recorded.response.free
        for number, channel in enumerate(free.channels)
    }
    asleep = list(channels)
    for opening in openings:
        for norm, channel in asleep:
            gamma, beta = places.get(((*norm, "gamma"), channel)), places.get(((*norm, "beta"), channel))
            slope = AWAKE * sign if gamma is not None else recorded.response.known((*norm, "gamma"))[channel]
            if gamma is not None:
                parameters[gamma] = slope
            if beta is not None:
                parameters[beta] = -np.quantile(slope * normalised[norm][:, channel], 1 - opening)
        still = set(dead_channels(recorded, parameters))
        asleep = [place for place in asleep if place in still]
        if not asleep:
            break
    return parameters
