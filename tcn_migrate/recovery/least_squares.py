"""Levenberg-Marquardt for networks: float64 steps on float32 Jacobians, judged by a part that is held back. NumPy only.

Levenberg, "A Method for the Solution of Certain Non-Linear Problems in Least Squares" (1944); Marquardt, "An Algorithm
for Least-Squares Estimation of Nonlinear Parameters" (1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

EXACT = 5e-7
"""Root mean square of residuals, in standard deviations of what is fitted, at which float32 can give no more."""

PATIENCE = 6
"""Steps without a better held-back error after which a descent ends."""

LARGEST_DAMPING = 1e6
"""Damping at which a step has become so short that refusing it means there is no way down."""


@dataclass(frozen=True)
class Problem:
    """What is fitted. Residuals are in standard deviations of the recorded values.

    Attributes:
        residuals: of the parameters: residuals of the fitted part and of the held-back part, flat, float64.
        normal: of the parameters: the Jacobian's J'J and J'r over the fitted part, float64.
        score: of the residuals of both parts: what is to become small. By default the root mean square of the held-back
            part.
    """

    residuals: Callable[[Array], tuple[Array, Array]]
    normal: Callable[[Array], tuple[Array, Array]]
    score: Callable[[Array, Array], float] = lambda fitted, held_back: root_mean_square(held_back)


@dataclass(frozen=True)
class Descent:
    """Where a descent ended.

    Attributes:
        parameters: those with the best score that were met.
        score: theirs.
        held_back: their root mean square error on the held-back part.
        fitted: the same on the fitted part.
        curve: the held-back error after every accepted step, the start first.
    """

    parameters: Array
    score: float
    held_back: float
    fitted: float
    curve: tuple[float, ...]


def descend(
    problem: Problem,
    start: Array,
    *,
    prior: float = 0.0,
    centre: Array | None = None,
    steps: int = 60,
    patience: int = PATIENCE,
    stop: Callable[[float], bool] = lambda held_back: False,
) -> Descent:
    """Minimises the squared residuals, and returns the point with the best score on the way.

    lambda starts at 1e-2, /5 after an accepted step, x4 after a refused one; damped is the diagonal of J'J plus 1e-6
    of its mean, so that a parameter without any effect stays where it is and the matrix stays regular.

    Args:
        problem: what is fitted.
        start: parameters to start from.
        prior: weight of the squared distance from the centre, beside the sum of squared residuals.
        centre: parameters to stay near to if there is a prior; by default the start.
        steps: accepted steps at most.
        patience: steps without a better score after which it ends.
        stop: called with the held-back error after each accepted step; True ends it.
    """
    here = np.array(start, dtype=np.float64)
    middle = np.array(here if centre is None else centre, dtype=np.float64)
    fitted, held = problem.residuals(here)
    cost = _cost(fitted, here - middle, prior)
    best = _met(problem, here, fitted, held, ())
    curve, damping, stale = [best.held_back], 1e-2, 0
    while len(curve) <= steps and best.score > EXACT and stale < patience:
        matrix, slope = problem.normal(here)
        matrix[np.diag_indices_from(matrix)] += prior
        slope = slope + prior * (here - middle)
        scale = np.diagonal(matrix) + 1e-6 * max(float(np.mean(np.diagonal(matrix))), 1e-30)
        new = np.inf
        while damping < LARGEST_DAMPING:
            step = _solve(matrix, damping * scale, -slope)
            if step is not None:
                fitted, held = problem.residuals(here + step)
                new = _cost(fitted, here + step - middle, prior)
                if np.isfinite(new) and new < cost:
                    break
            damping *= 4
        else:
            break
        here, cost, damping = here + step, new, max(damping / 5, 1e-12)
        met = _met(problem, here, fitted, held, ())
        curve.append(met.held_back)
        stale = 0 if met.score < 0.99 * best.score else stale + 1
        best = min(best, met, key=lambda descent: descent.score)
        if stop(met.held_back):
            break
    return replace(best, curve=tuple(curve))


def _met(problem: Problem, parameters: Array, fitted: Array, held: Array, curve: tuple[float, ...]) -> Descent:
    score = problem.score(fitted, held)
    return Descent(parameters, score, root_mean_square(held), root_mean_square(fitted), curve)


def _cost(residuals: Array, moved: Array, prior: float) -> float:
    return float(residuals @ residuals + prior * (moved @ moved))


def root_mean_square(residuals: Array) -> float:
    """The root of the mean of the squares; 0 for nothing."""
    return float(np.sqrt(np.mean(residuals**2))) if residuals.size else 0.0


def _solve(matrix: Array, damping: Array, slope: Array) -> Array | None:
    """The damped step, or None where the matrix is singular in spite of the damping."""
    damped = matrix.copy()
    damped[np.diag_indices_from(damped)] += damping
    try:
        step = np.linalg.solve(damped, slope)
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() else None
