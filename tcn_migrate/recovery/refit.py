"""Lost norms, refitted to recorded predictions of the old model: exactly, where enough is recorded.

At inference a batch norm is one scale and one shift a channel, so its four variables hold two numbers. Statistics are
measured from the recorded inputs first, dropout off; then gamma and beta alone are fitted by Levenberg-Marquardt with
dead channels woken, everything else frozen. Statistics lost beside a gamma and beta that are known are fitted the same
way, and the scale and shift turned back into mean and variance.

Whether it comes out exact is a matter of counting: numbers recorded (not held back) against numbers missing. On five
trained models every batch norm case was exact from 2.2 up, between 1 and 2 it went either way, below 1 none was. Below
2.2 a prior holds the parameters near their start; above it a prior does harm (3e-7 became 0.015).

What was tried on the same data, everything lost, 1024 recordings, relative RMSE on unseen inputs (`benchmarks/
compare_recovery.py` prints a comparison):

==========================================  ============  ============
method                                      batch norm    layer norm
==========================================  ============  ============
Levenberg-Marquardt, dead channels woken    4e-7          2e-7 to 1e-5
Levenberg-Marquardt alone                   8e-4          2e-4
L-BFGS, 40 s                                3e-3          3e-4
Adam with cosine decay, 40 s                0.02          5e-4
statistics measured, no refit               0.2           nothing to measure
==========================================  ============  ============

From statistics that are not measured (mean 0, variance 1) the fit ends at 0.14 to 0.19.

Weights are not identifiable, predictions are: a relu passes a factor of a block's first norm on to its second, which
undoes it, so the gammas found differ from the old ones by a factor a block. And an input that opens a channel which no
recorded input opened stays wrong.

The forward pass runs on any backend of Keras; the gradient is TensorFlow's, JAX's or PyTorch's, whichever Keras runs
on (see `response`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.recovery.data import Batch
from tcn_migrate.recovery.diagnose import AFFINE, STATISTICS, Loss
from tcn_migrate.recovery.fit import HELD_BACK, Fit, Recorded, fit
from tcn_migrate.recovery.measure import checked, statistics, unchanged
from tcn_migrate.recovery.response import Response
from tcn_migrate.recovery.rounding import rounding_of

Array = np.ndarray[Any, Any]
Address = tuple[str, ...]

EXACT_FROM = 2.15
"""Fitted numbers a missing number from which a refit came out exact: 2.2 in every case that was measured."""

HOPELESS_BELOW = 1.0
"""Fitted numbers a missing number below which none came out exact."""

PRIOR = 0.05
"""Weight of the squared distance from the start where recordings are few; 0.03 to 0.1 did equally well."""

EXACTLY = 1e-5
"""The largest held-back error, in standard deviations, of predictions that came back exactly."""

CLOSE = 0.25
"""The same where too little is recorded to bring them back exactly; 64 recordings for 400 missing numbers left 0.17."""

SHOWN = 400
"""Predictions that are kept to be shown."""

PREDICTED = 128
"""Samples that the finished model predicts at once."""

MOST_PARAMETERS = 8192
"""Missing numbers that are fitted at once: the normal matrix takes their square in float64, half a gigabyte."""


@dataclass(frozen=True)
class Expectation:
    """What a refit can be expected to bring back, by counting.

    Attributes:
        recorded: numbers recorded, those that are held back left out.
        missing: numbers to find: a scale and a shift for each lost channel.
        exact: True, False, or None where it may go either way.
        more: further recordings (samples) that would make it exact; 0 if it is.
        error: the largest held-back error, in standard deviations, that agrees with this expectation.
        rounding: what the rounding of the recorded predictions leaves open, in standard deviations.
    """

    recorded: int
    missing: int
    exact: bool | None
    more: int
    error: float
    rounding: float = 0.0

    @property
    def ratio(self) -> str:
        """The counts, in words."""
        return f"{self.recorded} recorded numbers for {self.missing} missing ones"

    def __str__(self) -> str:
        if self.exact:
            if self.error > EXACTLY:
                return (
                    f"{self.ratio}: predictions should come back to {self.error:.1g} standard deviations, since those "
                    f"recorded are rounded ({self.rounding:.1g} standard deviations)"
                )
            return f"{self.ratio}: predictions should come back exactly"
        doubt = "may not" if self.exact is None else "will not"
        return f"{self.ratio}: predictions {doubt} come back exactly; {self.more} more recorded samples should do"


def expect(samples: int, outputs: int, missing: int, rounding: float = 0.0) -> Expectation:
    """Says before anything is computed whether a refit will be exact.

    Args:
        samples: recorded samples.
        outputs: numbers that the model puts out for one sample, all outputs together.
        missing: numbers to find, see `missing_numbers`.
        rounding: of the recorded predictions, in standard deviations, see `rounding_of`.
    """
    fitted = (samples - round(HELD_BACK * samples)) * outputs
    ratio = fitted / max(missing, 1)
    exact = True if ratio >= EXACT_FROM else False if ratio < HOPELESS_BELOW else None
    wanted = int(np.ceil(EXACT_FROM * missing / outputs / (1 - HELD_BACK)))
    error = min(max(EXACTLY, 3 * rounding), CLOSE) if exact else CLOSE
    return Expectation(fitted, missing, exact, 0 if exact else max(wanted - samples, 1), error, rounding)


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


@dataclass(frozen=True)
class Refit:
    """Recovered variables and what is known of their worth. Errors in standard deviations of the recorded outputs.

    Attributes:
        values: the lost variables by address, float32; with statistics that are lost alone, see `also_changed`.
        held_back: error of the model with these variables, on the recorded samples that were not fitted to.
        fitted: error on those that were.
        expected: what was to be expected.
        curve: the held-back error step by step.
        woken: dead channels that were opened.
        also_changed: gammas and betas that were known but had to be changed, since no mean and variance give the
            fitted scale and shift with them: a variance would be negative. They are in `values` too.
        predictions: some of the recorded numbers, each with the one that the refitted model predicts; of the samples
            held back where there are any.
    """

    values: Mapping[Address, Array]
    held_back: float
    fitted: float
    expected: Expectation
    curve: tuple[float, ...]
    woken: int
    also_changed: tuple[Address, ...] = ()
    predictions: tuple[tuple[float, float], ...] = ()


def refit(
    model: Any,
    norms: Mapping[Address, Any],
    losses: Sequence[Loss],
    inputs: Batch,
    outputs: Batch,
    *,
    further_inputs: Any = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Refit:
    """Finds lost norm variables from recorded predictions of the undamaged model.

    Args:
        model: functional or sequential; everything that is not lost in place, lost gammas at 1 and betas at 0. It is
            left as it was.
        norms: the model's norm layers by address.
        losses: what is lost.
        inputs: recorded inputs, one array a model input, (samples, ...).
        outputs: what the old model predicted for them, one array a model output, (samples, ...).
        further_inputs: inputs without predictions (see `data.batches`) to measure statistics from instead; worth
            having where recordings are few.
        seed: of the samples held back and the rows of the Jacobian that are drawn.
        progress: called with the held-back error after each step.

    Returns:
        The variables, to be put where they were lost.

    Raises:
        MigrationError: recordings that do not fit the model, are not finite or do not vary, inputs for which the model
            computes NaN or infinity, or more missing numbers than `MOST_PARAMETERS`.
    """
    lost = {loss.norm: norms[loss.norm] for loss in losses}
    _refuse(model, inputs, outputs)
    free = {
        address: np.arange(lost[address[:-1]].gamma.shape[0]) if channels is None else np.array(channels)
        for address, channels in free_variables(losses).items()
    }
    missing = sum(len(channels) for channels in free.values())
    recorded = np.concatenate([np.asarray(y, dtype=np.float64).reshape(len(y), -1) for y in outputs], axis=1)
    scale = np.concatenate([np.full(y[0].size, _deviation(y)) for y in outputs])
    rounding = np.concatenate([np.full(y[0].size, rounding_of(y)) for y in outputs])
    expected = expect(len(recorded), recorded.shape[1], missing, float(np.sqrt(np.mean((rounding / scale) ** 2))))
    if missing > MOST_PARAMETERS:
        raise MigrationError(
            "too many numbers are lost to refit them at once",
            expected=f"at most {MOST_PARAMETERS}",
            found=missing,
            hint="Measure the statistics from inputs instead",
        )
    with unchanged(model):
        data = inputs if further_inputs is None else further_inputs
        measured = dict(statistics(model, norms, losses, data, dropout=False).values)
        for address, values in measured.items():
            getattr(norms[address[:-1]], address[-1]).assign(values)
        response = Response(model, lost, free, inputs)
        _refuse_infinite(response, response.start)
        plenty = bool(expected.exact)
        known = Recorded(response, recorded, scale, plenty=plenty, seed=seed)
        found = fit(known, prior=0.0 if plenty else PRIOR, progress=progress)
        _refuse_infinite(response, found.parameters)
        recovered, changed = _values(response, norms, losses, measured, found)
        for address, values in recovered.items():
            getattr(norms[address[:-1]], address[-1]).assign(values)
        judged = known.held if len(known.held) else known.fitted
        predicted = _predicted(model, [array[judged] for array in inputs])
    held_back = float(np.sqrt(np.mean(((predicted - recorded[judged]) / scale) ** 2)))
    pairs = zip(recorded[judged][:SHOWN].ravel(), predicted[:SHOWN].ravel(), strict=True)
    predictions = tuple((float(old), float(new)) for old, new in itertools.islice(pairs, SHOWN))
    return Refit(recovered, held_back, found.fitted, expected, found.curve, found.woken, changed, predictions)


def _predicted(model: Any, inputs: Batch) -> Array:
    """What the model itself predicts, all outputs side by side, (samples, outputs), float64."""
    made = []
    for start in range(0, len(inputs[0]), PREDICTED):
        chunk = [
            ops.convert_to_tensor(array[start : start + PREDICTED], dtype=tensor.dtype)
            for array, tensor in zip(inputs, model.inputs, strict=True)
        ]
        outputs = keras.tree.flatten(model(chunk[0] if len(chunk) == 1 else chunk, training=False))
        flat = [np.asarray(ops.convert_to_numpy(ops.cast(y, "float32"))).reshape(len(chunk[0]), -1) for y in outputs]
        made.append(np.concatenate(flat, axis=1).astype(np.float64))
    return np.concatenate(made)


def _deviation(values: Array) -> float:
    """What errors of an output are measured in: its standard deviation; its size if it is constant, else 1."""
    wide = np.asarray(values, dtype=np.float64)
    varies = float(np.std(wide)) if np.ptp(wide) > 0 else 0.0
    return varies or float(np.abs(wide).max()) or 1.0


def _refuse_infinite(response: Response, parameters: Array) -> None:
    """Raises where the model computes NaN or infinity for a recorded input."""
    made = response.predict(parameters, np.arange(response.samples))
    wrong = int((~np.isfinite(made)).any(axis=1).sum())
    if wrong:
        raise MigrationError(
            "the model's predictions for the recorded inputs are not finite",
            found=f"{wrong} of {len(made)} samples with NaN or infinity",
            hint="Give recorded inputs in the range that the model was trained on",
        )


def _refuse(model: Any, inputs: Batch, outputs: Batch) -> None:
    """Raises for recordings that do not fit the model."""
    checked(inputs, model)
    if len(outputs) != len(model.outputs):
        raise MigrationError(
            "the recording does not fit the model", expected=f"{len(model.outputs)} outputs", found=len(outputs)
        )
    for array, tensor in zip(outputs, model.outputs, strict=True):
        expected = tuple(tensor.shape[1:])
        fits = array.ndim == len(expected) + 1 and all(
            size == wanted for size, wanted in zip(array.shape[1:], expected, strict=True) if wanted is not None
        )
        if not fits or len(array) != len(inputs[0]):
            raise MigrationError(
                "the recorded predictions do not have the shape of the model's output",
                address=f"output {quoted(tensor.name)}",
                expected=(len(inputs[0]), *("any" if size is None else size for size in expected)),
                found=array.shape,
            )
        if not np.isfinite(array).all():
            raise MigrationError("the recorded predictions are not finite", address=f"output {quoted(tensor.name)}")
    if not any(np.ptp(array) > 0 for array in outputs):
        raise MigrationError(
            "the recorded predictions are all the same, so nothing can be fitted to them",
            hint="Give inputs for which the old model predicted different values",
        )


def _values(
    response: Response,
    norms: Mapping[Address, Any],
    losses: Sequence[Loss],
    measured: Mapping[Address, Array],
    found: Fit,
) -> tuple[dict[Address, Array], tuple[Address, ...]]:
    """The lost variables from the fitted gammas and betas, and the addresses of known ones that had to change.

    With gamma and beta known, scale = gamma / sqrt(variance + epsilon) and shift = beta - mean * scale give mean and
    variance, as long as the scale has gamma's sign and is not larger than with a variance of 0.
    """
    fitted = response.variables(found.parameters)
    lost = {loss.address: loss for loss in losses}
    values = {address: fitted[address] for address in lost if address[-1] in AFFINE}
    changed: list[Address] = []
    for address in dict.fromkeys(loss.norm for loss in losses):
        if not any((*address, name) in lost for name in STATISTICS):
            continue
        norm = norms[address]
        gamma, beta = (np.asarray(fitted[(*address, name)], dtype=np.float64) for name in AFFINE)
        mean, variance = (
            np.asarray(ops.convert_to_numpy(getattr(norm, name)), dtype=np.float64) for name in STATISTICS
        )
        old_gamma, old_beta = (response.known((*address, name)).astype(np.float64) for name in AFFINE)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta - mean * scale
        if (*address, "moving_variance") in lost and (*address, "gamma") not in lost:
            with np.errstate(divide="ignore", invalid="ignore"):
                turned = (old_gamma / scale) ** 2 - norm.epsilon
            good = (np.sign(scale) == np.sign(old_gamma)) & np.isfinite(turned) & (turned >= 0) & (scale != 0)
            variance = np.where(good, turned, variance)
            gamma = np.where(good, old_gamma, gamma)
        if (*address, "moving_mean") in lost and (*address, "beta") not in lost:
            with np.errstate(divide="ignore", invalid="ignore"):
                turned = (old_beta - shift) / scale
            good = np.isfinite(turned)
            mean = np.where(good, turned, mean)
            beta = np.where(good, old_beta, beta)
        for name, result, old in (("gamma", gamma, old_gamma), ("beta", beta, old_beta)):
            if (*address, name) not in lost and not np.array_equal(result, old):
                changed.append((*address, name))
                values[(*address, name)] = result.astype(np.float32)
        for name, result in (("moving_mean", mean), ("moving_variance", variance)):
            if (*address, name) in lost:
                values[(*address, name)] = result.astype(np.float32)
    return values, tuple(changed)
