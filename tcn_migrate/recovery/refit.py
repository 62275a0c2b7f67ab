"""Lost norms, refitted to recorded predictions of the old model: exactly, where enough is recorded.

At inference a batch norm is one scale and one shift a channel, so its four variables hold two numbers. Statistics are
measured from the recorded inputs first, dropout off; then gamma and beta alone are fitted by Levenberg-Marquardt with
dead channels woken, everything else frozen. Statistics lost beside a gamma and beta that are known are fitted the same
way, and the scale and shift turned back into mean and variance.

Whether it comes out exact is a matter of counting: numbers recorded that say something of the missing ones, against
those missing. On the trained models that were measured, from 2.15 up a fit without a prior was exact; between 1.4 and
that one whose prior (a weight of the distance from the start) is lowered to nothing; below 1 none was. Probabilities
are fitted as logarithms or logits: a saturated softmax of 10 classes came back to 5e-8 instead of 9e-3.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.recovery.causes import cause
from tcn_migrate.recovery.data import Batch
from tcn_migrate.recovery.decide import MOST_REFITTED, free_variables, missing_numbers
from tcn_migrate.recovery.diagnose import AFFINE, STATISTICS, Loss
from tcn_migrate.recovery.fit import HOPELESS_BELOW, Fit, fit
from tcn_migrate.recovery.measure import checked, statistics, unchanged
from tcn_migrate.recovery.recorded import Recorded, Scale, parts
from tcn_migrate.recovery.response import Response

Array = np.ndarray[Any, Any]
Address = tuple[str, ...]

EXACT_FROM = 1.5
"""Fitted numbers a missing number from which a refit came out exact, with a prior that is lowered to nothing."""

EXACTLY = 1e-5
"""The largest error, in standard deviations, of predictions that came back exactly."""

CLOSE = 0.25
"""The same where too little is recorded to bring them back exactly; 64 recordings for 400 missing numbers left 0.17."""

FEWEST = 3
"""Samples without which nothing can be judged: one to fit to, one that chooses, and one for the verdict."""

SEEN = 64
"""Samples of which it is counted how much their outputs say."""

SAYING = 1e-4
"""A direction of a sample's outputs says something if a change of 1 in the parameters moves it by this."""

SHOWN = 400
"""Predictions that are kept to be shown."""

PREDICTED = 128
"""Samples that the finished model predicts at once."""

SURE = 3.0
"""Standard errors of the estimated error that its bound adds; more where few samples judge, whose spread is unsure."""

LAST_BITS = 5.0
"""Times float32's resolution below which no error is told apart: a deep network loses more than the last bit."""

RARE = 3
"""Samples: a channel that acts on fewer of them is known from hardly anything."""


@dataclass(frozen=True)
class Expectation:
    """What a refit can be expected to bring back, from what the recordings say of the missing numbers.

    Attributes:
        recorded: numbers recorded that say something of the missing ones, those not fitted to left out.
        missing: numbers to find: a scale and a shift for each lost channel.
        exact: True, False, or None where it may go either way.
        more: further recordings (samples) that would make it exact; 0 if it is.
        error: the largest error, in standard deviations, that agrees with this expectation.
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


def expect(samples: int, outputs: float, missing: int, rounding: float = 0.0) -> Expectation:
    """Says before anything is fitted whether a refit will be exact.

    Args:
        samples: recorded samples.
        outputs: numbers of one sample's outputs that say something of the missing ones, see `saying`.
        missing: numbers to find, see `missing_numbers`.
        rounding: of the recorded predictions, in standard deviations, see `rounding.rounding_of`.
    """
    share = parts(samples)[0] / samples
    fitted = int(share * samples * outputs)
    ratio = fitted / max(missing, 1)
    exact = True if ratio >= EXACT_FROM else False if ratio < HOPELESS_BELOW else None
    wanted = int(np.ceil(EXACT_FROM * missing / max(outputs, 1e-3) / share))
    error = min(max(EXACTLY, 3 * rounding), CLOSE) if exact else CLOSE
    return Expectation(fitted, missing, exact, 0 if exact else max(wanted - samples, 1), error, rounding)


def saying(recorded: Recorded, parameters: Array) -> float:
    """How many numbers of a sample's outputs say something of the parameters, on average.

    The rank of the Jacobian of a sample's outputs: less than their number where a softmax or sigmoid is saturated, and
    one less for a softmax, whose outputs add up to 1.
    """
    count = recorded.response.outputs
    drawn = min(count, SEEN)
    samples = recorded.fitted[:: max(1, len(recorded.fitted) // SEEN)][:SEEN]
    numbers = np.linspace(0, count - 1, drawn).astype(int)
    rows = recorded.rows(parameters, np.repeat(samples, drawn), np.tile(numbers, len(samples)))
    ranks = [
        int((np.linalg.svd(each, compute_uv=False) > SAYING).sum())
        for each in rows.reshape(len(samples), drawn, len(parameters))
    ]
    return float(np.mean(ranks)) * count / drawn


@dataclass(frozen=True)
class Judged:
    """How well one output came back, on recordings that neither the fit nor the choice saw. In standard deviations.

    Attributes:
        name: of the output, and the feature's number if it has several.
        error: the root mean square error.
        bound: what the error of other inputs of this kind should not exceed: the error and some standard errors of its
            estimate, and float32's rounding at least.
        resolution: what float32 cannot tell apart: the root mean square of what the last bit of the norms' variables
            and of the output does to it.
        limit: the largest bound that agrees with the expectation.
    """

    name: str
    error: float
    bound: float
    resolution: float
    limit: float

    @property
    def missed(self) -> bool:
        """Whether it did not come back as expected. A NaN is no error that is small enough."""
        return not self.bound <= self.limit


@dataclass(frozen=True)
class Refit:
    """Recovered variables and what is known of their worth. Errors in standard deviations of the recorded outputs.

    Attributes:
        values: the lost variables by address, float32; with statistics that are lost alone, see `also_changed`.
        outputs: how well each output came back, the worst first.
        verdict: how many samples that rests on.
        astray: how many samples that were fitted to are further off than these outputs are on others, and than they
            may be.
        fitted: how many samples were fitted to.
        furthest: the error of the one that is furthest off.
        expected: what was to be expected.
        curve: the error on the samples that chose the best point, step by step, in the unit of the fit.
        woken: dead channels that were opened.
        rare: lost channels that have an effect on fewer than three of the fitted samples, of `channels`.
        channels: lost channels.
        cause: why the recordings are not explained, if they are not and a usual cause was found.
        also_changed: gammas and betas that were known but had to be changed, since no mean and variance give the
            fitted scale and shift with them: a variance would be negative. They are in `values` too.
        predictions: some of the recorded numbers of the verdict, each with the one that the refitted model predicts.
    """

    values: Mapping[Address, Array]
    outputs: tuple[Judged, ...]
    verdict: int
    astray: int
    fitted: int
    furthest: float
    expected: Expectation
    curve: tuple[float, ...]
    woken: int
    rare: int
    channels: int
    cause: str | None = None
    also_changed: tuple[Address, ...] = ()
    predictions: tuple[tuple[float, float], ...] = ()

    @property
    def held_back(self) -> float:
        """The error of the output that came back worst, on recordings that neither the fit nor the choice saw."""
        return self.outputs[0].error

    @property
    def bound(self) -> float:
        """What its error on other inputs of this kind should not exceed."""
        return self.outputs[0].bound

    @property
    def missed(self) -> bool:
        """Whether an output did not come back as expected."""
        return any(output.missed for output in self.outputs)


def refit(
    model: Any,
    norms: Mapping[Address, Any],
    losses: Sequence[Loss],
    inputs: Batch,
    outputs: Batch,
    *,
    further_inputs: Any = None,
    accept_error: float = 0.0,
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
        accept_error: an error, in standard deviations, for which no cause is looked for.
        seed: of the parts that the samples are split into, and of the rows of the Jacobian that are drawn.
        progress: called with the error on samples that are not fitted to, after each step.

    Returns:
        The variables, to be put where they were lost.

    Raises:
        MigrationError: recordings that do not fit the model, are not finite or do not vary, inputs for which the model
            computes NaN or infinity, or more missing numbers than `MOST_REFITTED`.
    """
    lost = {loss.norm: norms[loss.norm] for loss in losses}
    _refuse(model, inputs, outputs)
    free = {
        address: np.arange(lost[address[:-1]].gamma.shape[0]) if channels is None else np.array(channels)
        for address, channels in free_variables(losses).items()
    }
    missing = missing_numbers(losses, {address: norm.gamma.shape[0] for address, norm in lost.items()})
    if missing > MOST_REFITTED:
        raise MigrationError(
            "too many numbers are lost to refit them at once",
            expected=f"at most {MOST_REFITTED}",
            found=missing,
        )
    with unchanged(model):
        data = inputs if further_inputs is None else further_inputs
        measured = dict(statistics(model, norms, losses, data, dropout=False).values)
        for address, values in measured.items():
            getattr(norms[address[:-1]], address[-1]).assign(values)
        response = Response(model, lost, free, inputs)
        _refuse_infinite(response, response.start)
        recorded = Recorded(response, outputs, model.output_names, _scales(model), seed=seed)
        rounding = max(output.rounding for output in recorded.outputs)
        expected = expect(len(inputs[0]), saying(recorded, response.start), missing, rounding)
        found = fit(recorded, ratio=expected.recorded / missing, progress=progress)
        _refuse_infinite(response, found.parameters)
        fitted_errors = recorded.errors(response.predict(found.parameters, recorded.fitted), recorded.fitted)
        counts = _acting(response, found.parameters, recorded.fitted)
        recovered, changed = _values(response, norms, losses, measured, found)
        before = {a: ops.convert_to_numpy(getattr(norms[a[:-1]], a[-1])).copy() for a in recovered}
        for address, values in recovered.items():
            getattr(norms[address[:-1]], address[-1]).assign(values)
        judged = recorded.verdict
        predicted = _predicted(model, [array[judged] for array in inputs])
        blurred = _predicted_blurred(model, norms, list(recovered), [array[judged] for array in inputs], seed)
        outcome = _judged(recorded, expected, predicted, blurred)
        reason = None
        refused = any(output.missed and not output.bound <= accept_error for output in outcome)
        if refused and expected.exact is not False:

            def restated(batch: Batch) -> None:
                for address, values in statistics(model, norms, losses, batch, dropout=False).values.items():
                    getattr(norms[address[:-1]], address[-1]).assign(values)

            for address in recovered:  # the fits that look for a cause start where this one did
                getattr(norms[address[:-1]], address[-1]).assign(before[address])
            reason = cause(
                recorded, inputs, (found.choosing, found.fitted), restated if further_inputs is None else None
            )
    astray = np.zeros(len(recorded.fitted), dtype=bool)
    for output in outcome:
        astray |= fitted_errors[output.name] > max(output.limit, 10 * output.bound)
    furthest = max(float(fitted_errors[output.name].max()) for output in outcome)
    pairs = zip(recorded.values[judged][:SHOWN].ravel(), predicted[:SHOWN].ravel(), strict=True)
    return Refit(
        recovered,
        outcome,
        len(judged),
        int(astray.sum()),
        len(recorded.fitted),
        furthest,
        expected,
        found.curve,
        found.woken,
        int((counts < RARE).sum()),
        len(counts),
        reason,
        changed,
        tuple((float(old), float(new)) for old, new in itertools.islice(pairs, SHOWN)),
    )


def _acting(response: Response, parameters: Array, samples: Array) -> Array:
    """On how many of the samples each lost channel has an effect, (channels,)."""
    effects = response.effect(parameters, samples)
    found: dict[tuple[Address, int], int] = {}
    for each in response.free:
        for channel, count in zip(each.channels, effects[each.part], strict=True):
            place = each.address[:-1], int(channel)
            found[place] = max(found.get(place, 0), int(count))
    return np.array(list(found.values()))


def _judged(recorded: Recorded, expected: Expectation, predicted: Array, blurred: Array) -> tuple[Judged, ...]:
    """How well each output came back, the worst first."""
    errors = recorded.errors(predicted, recorded.verdict)
    found = []
    for output in recorded.outputs:
        if output.constant:
            continue
        squares = errors[output.name] ** 2
        spread = float(np.std(squares, ddof=1)) if len(squares) > 1 else float(squares[0])
        error = float(np.mean(squares))
        bound = error + SURE * (1 + 16 / len(squares)) * spread / np.sqrt(len(squares))
        blur = float(np.sqrt(np.mean((blurred - predicted)[:, output.numbers] ** 2))) / output.deviation
        resolution = max(output.resolution, blur)
        exactly = max(EXACTLY, 3 * output.rounding, 2 * LAST_BITS * resolution)
        limit = min(exactly, CLOSE) if expected.exact else CLOSE
        bound = max(float(np.sqrt(bound)), LAST_BITS * resolution)
        found.append(Judged(output.name, float(np.sqrt(error)), bound, resolution, limit))
    # Those that missed their limit first; NaN before numbers.
    return tuple(sorted(found, key=lambda one: (not one.missed, -one.bound if one.bound == one.bound else -np.inf)))


def _scales(model: Any) -> list[Scale]:
    """What each output of a model is the result of."""
    found: list[Scale] = []
    for tensor in model.outputs:
        layer = tensor._keras_history.operation
        while isinstance(layer, keras.Model):
            layer = layer.outputs[0]._keras_history.operation if len(layer.outputs) == 1 else None
        while isinstance(layer, keras.layers.TimeDistributed):
            layer = layer.layer
        activation = keras.activations.softmax if isinstance(layer, keras.layers.Softmax) else None
        activation = getattr(layer, "activation", activation)
        found.append(
            "softmax"
            if activation is keras.activations.softmax
            else "sigmoid"
            if activation is keras.activations.sigmoid
            else "linear"
        )
    return found


def _predicted_blurred(
    model: Any, norms: Mapping[Address, Any], addresses: Sequence[Address], inputs: Batch, seed: int
) -> Array:
    """Predictions with every recovered variable off by half of its last bit, up or down."""
    random = np.random.default_rng(seed)
    for address in addresses:
        variable = getattr(norms[address[:-1]], address[-1])
        values = ops.convert_to_numpy(variable)
        signs = random.choice(np.array([-1.0, 1.0], dtype=values.dtype), size=values.shape)
        variable.assign(values * (1 + signs * np.finfo(np.float32).eps))
    return _predicted(model, inputs)


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
        if not np.isfinite(array).all() or np.abs(array).max() > np.finfo(np.float32).max:
            raise MigrationError("the recorded predictions are not finite", address=f"output {quoted(tensor.name)}")
    if len(inputs[0]) < FEWEST:
        raise MigrationError("too little is recorded", expected=f"{FEWEST} samples at least", found=len(inputs[0]))
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
