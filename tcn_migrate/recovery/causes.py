"""Why no fit explains a recording: the usual causes, each tried by a fit that allows for it.

- Shuffled: no function of the inputs predicts the outputs. Tried by a ridge regression on the Jacobian at the start,
  whose rows are a good set of features (Jacot, Gabriel and Hongler, "Neural Tangent Kernel", 2018).
- Scaled outputs: one factor and one offset an output are fitted beside the norms.
- Scaled inputs: one factor and one offset an input feature are fitted beside the norms.
- Noise: the error is small, and about the same on samples that were fitted to.

What none of these explains is of another model, or of several causes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.errors import quoted
from tcn_migrate.recovery.data import Batch
from tcn_migrate.recovery.fit import PRIORS
from tcn_migrate.recovery.least_squares import Descent, Problem, descend
from tcn_migrate.recovery.recorded import Recorded
from tcn_migrate.recovery.response import Response

Array = np.ndarray[Any, Any]

MOST = 800
"""Samples that a cause is tried on."""

STEPS = 25
"""Steps of a fit that allows for a cause."""

EXPLAINED = 0.5
"""Part of the error that is left at most where a cause explains a recording."""

UNRELATED = 0.1
"""Part of the outputs' variance that inputs predict at most if the outputs do not depend on them."""

FEWEST = 60
"""Samples below which nothing is said of whether outputs depend on inputs."""

FACTORS = (1.0, 0.5, 2.0, 0.2, 5.0, 0.05, 20.0, 1 / 255, 255.0)
"""Factors of the inputs from which the fit of a factor starts."""

FEATURES = 16
"""Input features up to which each has a factor of its own."""


def cause(
    recorded: Recorded,
    inputs: Batch,
    reached: tuple[float, float],
    restated: Callable[[Batch], None] | None,
) -> str | None:
    """The usual cause that explains why a fit failed, in words; None if none does.

    Args:
        recorded: what was fitted.
        inputs: the recorded inputs.
        reached: the fit's error on samples not fitted to, and on those that were.
        restated: measures the statistics of the norms from other inputs and puts them in place; None if it cannot.
    """
    error, fitted = reached
    strange = _no_probabilities(recorded)
    if strange is not None:
        return strange
    if _unrelated(recorded):
        return "the recorded predictions do not depend on the inputs they stand beside, as if shuffled"
    outputs = _scaled_outputs(recorded)
    changed = (np.inf, "") if restated is None else _scaled_inputs(recorded, inputs, restated)
    if min(outputs[0], changed[0]) < EXPLAINED * error:
        if outputs[0] < changed[0]:
            return f"the recorded predictions seem to be scaled: they are about {outputs[1]}"
        return f"the recorded inputs seem to be scaled: the model explains the predictions from about {changed[1]}"
    if error < 0.3 and fitted > error / 2:
        return "the recorded predictions seem to carry noise, or to be of a slightly different model"
    return "they seem to be of another model"


def _no_probabilities(recorded: Recorded) -> str | None:
    """Where the model puts out probabilities and something else was recorded."""
    for name, values, scale in zip(recorded.names, recorded.given, recorded.scales, strict=True):
        if scale == "linear":
            continue
        outside = np.min(values) < -1e-3 or np.max(values) > 1 + 1e-3
        if scale == "softmax":
            outside |= bool(np.abs(np.asarray(values, dtype=np.float64).sum(axis=-1) - 1).max() > 0.05)
        if outside:
            return f"output {quoted(name, 40)} is a {scale}, and what was recorded for it are no probabilities"
    return None


def _unrelated(recorded: Recorded) -> bool:
    """Whether the recorded outputs do not depend on the inputs."""
    others = np.concatenate([recorded.choosing, recorded.verdict])
    if len(recorded.fitted) < FEWEST or len(others) < FEWEST // 4:
        return False
    fitted = recorded.fitted[:MOST]
    count = recorded.values.shape[1]
    explained = []
    for number in np.unique(np.linspace(0, count - 1, 4).astype(int)):
        target = recorded.values[:, number]
        if np.ptp(target[fitted]) == 0:
            continue
        both = np.concatenate([fitted, others])
        rows = recorded.rows(recorded.response.start, both, np.full(len(both), number))
        rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-12 * np.abs(rows).max() + 1e-300)
        kernel = rows @ rows.T / rows.shape[1]
        inner, outer = kernel[: len(fitted), : len(fitted)], kernel[len(fitted) :, : len(fitted)]
        middle = target[fitted].mean()
        best = 0.0
        for ridge in (1e-3, 1e-2, 0.1, 1.0, 10.0):
            weights = np.linalg.solve(inner + ridge * np.eye(len(fitted)), target[fitted] - middle)
            off = target[others] - middle - outer @ weights
            best = max(best, 1 - float(np.sum(off**2) / np.sum((target[others] - middle) ** 2)))
        explained.append(best)
    return bool(explained) and max(explained) < UNRELATED


def _some(recorded: Recorded) -> tuple[Array, Array]:
    """Samples to fit to, and to choose by."""
    return recorded.fitted[:MOST], recorded.choosing


def _extended(
    recorded: Recorded,
    extra: Array,
    predicted: Callable[[Array, Array, Array], Array],
    rows: Callable[[Array, Array, Array, Array], tuple[Array, Array]],
    steps: int = STEPS,
) -> Descent:
    """A descent over the parameters and some more.

    Args:
        recorded: what is fitted.
        extra: the additional parameters to start from.
        predicted: of parameters, additional ones and samples: predictions, (samples, numbers).
        rows: of parameters, additional ones, samples and numbers: residuals and their derivatives.
        steps: at most.
    """
    fitted, choosing = _some(recorded)
    both = np.concatenate([fitted, choosing])
    own = len(recorded.response.start)
    count = recorded.values.shape[1]
    drawn = min(count, max(1, -(-12 * own // len(fitted))))

    def residuals(point: Array) -> tuple[Array, Array]:
        off = recorded.residuals(predicted(point[:own], point[own:], both), both)
        return off[: len(fitted)].ravel(), off[len(fitted) :].ravel()

    def normal(point: Array) -> tuple[Array, Array]:
        chosen = np.argsort(recorded.random.random((len(fitted), count)), axis=1)[:, :drawn].ravel()
        off, jacobian = rows(point[:own], point[own:], np.repeat(fitted, drawn), chosen)
        return jacobian.T @ jacobian * (count / drawn), jacobian.T @ off * (count / drawn)

    problem = Problem(residuals, normal)
    start = np.concatenate([recorded.response.start, extra])
    near = descend(problem, start, prior=PRIORS[0], steps=steps)
    return near if steps < STEPS else min(near, descend(problem, near.parameters, steps=steps), key=lambda d: d.score)


def _scaled_outputs(recorded: Recorded) -> tuple[float, str]:
    """The error that is left if each output may be scaled and shifted, and how it then is."""
    linear = np.array([scale == "linear" for scale in recorded.scales])
    if not linear.all():
        return np.inf, ""
    owner = np.concatenate([np.full(y[0].size, number) for number, y in enumerate(recorded.given)])
    many = len(recorded.given)
    fitted, _ = _some(recorded)
    begin = recorded.response.predict(recorded.response.start, fitted)
    deviation = np.array([recorded.values[fitted][:, owner == n].std() or 1.0 for n in range(many)])
    gain = np.array([deviation[n] / (begin[:, owner == n].std() or 1.0) for n in range(many)])
    shift = np.array(
        [recorded.values[fitted][:, owner == n].mean() - gain[n] * begin[:, owner == n].mean() for n in range(many)]
    )

    def predicted(parameters: Array, extra: Array, samples: Array) -> Array:
        made: Array = recorded.response.predict(parameters, samples) * extra[:many][owner]
        made += (extra[many:] * deviation)[owner]
        return made

    def rows(parameters: Array, extra: Array, samples: Array, chosen: Array) -> tuple[Array, Array]:
        values = recorded.response.predict(parameters, samples)[np.arange(len(samples)), chosen]
        mine = owner[chosen]
        weight = recorded.weight[samples, chosen]
        plain = recorded.rows(parameters, samples, chosen) * extra[mine][:, None]
        more = np.zeros((len(samples), 2 * many))
        more[np.arange(len(samples)), mine] = values * weight
        more[np.arange(len(samples)), many + mine] = deviation[mine] * weight
        full = values * extra[mine] + (extra[many:] * deviation)[mine]
        return (full - recorded.values[samples, chosen]) * weight, np.concatenate([plain, more], axis=1)

    found = _extended(recorded, np.concatenate([gain, shift / deviation]), predicted, rows)
    gain, shift = found.parameters[-2 * many : -many], found.parameters[-many:] * deviation
    return found.held_back, ", ".join(
        f"{a:.2g} times the new model's and {b:+.2g}" for a, b in zip(gain[:4], shift[:4], strict=True)
    )


def _scaled_inputs(recorded: Recorded, inputs: Batch, restated: Callable[[Batch], None]) -> tuple[float, str]:
    """The error that is left if each input may be scaled and shifted, and how it then is."""
    numeric = [array.astype(np.float32) for array in inputs if array.dtype.kind == "f"]
    if len(numeric) != len(inputs):
        return np.inf, ""
    widths = [array.shape[-1] if array.shape[-1] <= FEATURES else 1 for array in numeric]
    units = [float(array.std()) or 1.0 for array in numeric]
    total = sum(widths)
    plain = recorded.response
    best: tuple[float, str] = np.inf, ""

    def changed(extra: Array, samples: Array) -> Response:
        made, place = [], 0
        for array, width, unit in zip(numeric, widths, units, strict=True):
            factor, offset = extra[place : place + width], extra[total + place : total + place + width] * unit
            made.append((array[samples] * factor + offset).astype(np.float32))
            place += width
        return plain.at(made)

    def predicted(parameters: Array, extra: Array, samples: Array) -> Array:
        made: Array = changed(extra, samples).predict(parameters, np.arange(len(samples)))
        return made

    def rows(parameters: Array, extra: Array, samples: Array, chosen: Array) -> tuple[Array, Array]:
        alone, back = np.unique(samples, return_inverse=True)
        response = changed(extra, alone)
        weight = recorded.weight[samples, chosen]
        values = response.predict(parameters, np.arange(len(alone)))
        own = np.concatenate([part for _, _, part in response.rows(parameters, back, chosen)])
        more = np.zeros((len(samples), 2 * total))
        for number in range(2 * total):
            moved = extra.copy()
            step = 1e-2 * (abs(extra[number]) if number < total else max(1.0, abs(extra[number])))
            moved[number] += step
            more[:, number] = ((predicted(parameters, moved, alone) - values) / step)[back, chosen]
        off = (values[back, chosen] - recorded.values[samples, chosen]) * weight
        return off, np.concatenate([own, more], axis=1) * weight[:, None]

    if any(scale != "linear" for scale in recorded.scales):
        return best
    tried = []
    for factor in FACTORS:
        restated([array * np.float32(factor) for array in numeric])
        extra = np.concatenate([np.full(total, factor), np.zeros(total)])
        tried.append((_extended(recorded, extra, predicted, rows, steps=4).held_back, factor))
    factor = min(tried)[1]
    restated([array * np.float32(factor) for array in numeric])
    found = _extended(recorded, np.concatenate([np.full(total, factor), np.zeros(total)]), predicted, rows)
    factors, offsets = found.parameters[-2 * total : -total], found.parameters[-total:]
    unit = np.concatenate([np.full(width, unit) for width, unit in zip(widths, units, strict=True)])
    said = [f"{a:.2g} times the input and {b:+.2g}" for a, b in zip(factors, offsets * unit, strict=True)]
    return found.held_back, ", ".join(said[:4]) + (f" and {len(said) - 4} more" if len(said) > 4 else "")
