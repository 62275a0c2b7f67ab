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

from tcn_migrate.recovery.least_squares import EXACT, PATIENCE, Descent, Problem, descend, root_mean_square
from tcn_migrate.recovery.recorded import Recorded

Array = np.ndarray[Any, Any]
Channel = tuple[tuple[str, ...], int]

PLENTY = 2.15
"""Recorded numbers a missing number from which no prior is needed: every batch norm case from 2.2 up was exact."""

HOPELESS_BELOW = 1.0
"""Recorded numbers a missing number below which none came out exact."""

PRIORS = (0.05, 5e-3, 5e-4, 5e-6, 0.0)
"""Weights of the squared distance from the start where recordings are few, one after the other.

24 filters, 12 norms, everything lost, 1.5 recorded numbers a missing one: 1.2e-2, 2e-3, 2e-4, 3e-6, 5e-7.
"""

SHORT_PATIENCE = 2
"""Steps without a better error after which a prior is lowered: the rest is for the next descent to find."""

STUCK = 0.01
"""Error above which a descent without a prior is in another valley, and one with a prior is tried."""

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
    """A fit. Errors are root mean squares in the unit of the fit, see `recorded.Recorded`.

    Attributes:
        parameters: of the response.
        choosing: the error on samples that chose among the points, and were not fitted to before.
        fitted: the error on those that were.
        curve: the former error step by step.
        woken: how many dead channels were opened with success.
        prior: the weight of the distance from the start that did best.
    """

    parameters: Array
    choosing: float
    fitted: float
    curve: tuple[float, ...]
    woken: int = 0
    prior: float = 0.0


def fit(recorded: Recorded, *, ratio: float, progress: Callable[[float], None] | None = None) -> Fit:
    """Fits the parameters, from those that the response starts with.

    Steps, tolerance and patience end it, never the time that it took.

    Args:
        recorded: what to fit to.
        ratio: recorded numbers a missing number.
        progress: called with the error on samples that are not fitted to, after each step.
    """
    curve: list[float] = []

    def note(error: float) -> bool:
        if error:  # no sample is left out of the last steps
            curve.append(error)
            if progress:
                progress(error)
        return False

    plenty = ratio >= PLENTY
    problem = recorded.problem(recorded.fitted, recorded.choosing)
    if plenty:  # nothing is fitted by chance, so both errors count
        problem = replace(problem, score=recorded.trimmed)
    best, prior = _annealed(problem, recorded.response.start, PRIORS[-1:] if plenty else PRIORS, note)
    if plenty and best.score > STUCK:
        other, strength = _annealed(problem, recorded.response.start, PRIORS, note)
        if other.score < best.score:
            best, prior = other, strength
    if (prior and not plenty) or ratio < HOPELESS_BELOW:
        return Fit(best.parameters, best.held_back, best.fitted, tuple(curve), prior=prior)
    woken, budget = 0, _Budget(WAKING_STEPS, note)
    while best.score > NO_WAKING_BELOW and budget.left > 0:
        if best.fitted <= 2 * EXACT:
            break  # what is left is channels that no fitted sample opens
        better, count = _woken(recorded, problem, best, budget)
        if better is None:
            break
        best, woken = better, woken + count
    if best.score > EXACT:
        best = _with_choosing(recorded, best, note)
    return Fit(best.parameters, best.held_back, best.fitted, tuple(curve), woken)


def _annealed(
    problem: Problem, start: Array, priors: Sequence[float], note: Callable[[float], bool]
) -> tuple[Descent, float]:
    """The best of several descents, each with a weaker prior and from the end of the one before; and its prior."""
    best: Descent | None = None
    chosen = priors[0]
    for prior in priors:
        patience = SHORT_PATIENCE if prior else PATIENCE
        found = descend(
            problem,
            start if best is None else best.parameters,
            prior=prior,
            centre=start,
            patience=patience,
            stop=note,
        )
        if best is not None and found.score > best.score:
            break
        best, chosen = found, prior
        if best.score <= EXACT:
            break
    assert best is not None
    return best, chosen


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


def _with_choosing(recorded: Recorded, best: Descent, note: Callable[[float], bool]) -> Descent:
    """The last steps with the samples that chose as well: some may open a channel that no other does.

    Their error stays the one from before. Where they come out worse than that, the steps are not taken.
    """
    both = np.concatenate([recorded.fitted, recorded.choosing])
    none = both[:0]
    problem = replace(recorded.problem(both, none), score=lambda fitted, choosing: root_mean_square(fitted))
    last = descend(problem, best.parameters, stop=note)
    residuals, _ = problem.residuals(last.parameters)
    of_choosing = root_mean_square(residuals.reshape(len(both), -1)[len(recorded.fitted) :])
    if of_choosing > max(best.held_back, EXACT):
        return best
    return replace(last, held_back=best.held_back)


def dead_channels(recorded: Recorded, parameters: Array) -> list[Channel]:
    """The channels whose free parameters have no effect on any fitted output."""
    effect = recorded.response.effect(parameters, recorded.fitted)
    by_channel: dict[Channel, bool] = {}
    for free in recorded.response.free:
        for channel, size in zip(free.channels, effect[free.part], strict=True):
            place = free.address[:-1], int(channel)
            by_channel[place] = by_channel.get(place, False) or bool(size)
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
