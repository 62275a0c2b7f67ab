"""Arrays and predictions compared: how far a model is from what was recorded of the old one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcn_migrate.errors import MigrationError, VerificationError, quoted
from tcn_migrate.recovery.data import Batch
from tcn_migrate.recovery.rounding import rounding_of
from tcn_migrate.verify import HALF_TOLERANCE, SINGLE_TOLERANCE, quiet, scale_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """One variable or output, compared.

    Attributes:
        name: of it, safe to print.
        largest: the largest absolute difference; NaN if a value is finite on one side alone, or a shape differs.
        scaled: the same in standard deviations of what was expected.
        equal: every bit is the same.
        note: why nothing could be compared, if so.
    """

    name: str
    largest: float
    scaled: float
    equal: bool
    note: str | None = None


def difference(name: str, got: Array, wanted: Array) -> Difference:
    """How far two arrays are apart."""
    if got.shape != wanted.shape:
        note = f"has shape {got.shape} instead of {wanted.shape}"
        return Difference(name, np.nan, np.nan, False, note)
    equal = got.dtype == wanted.dtype and got.tobytes() == wanted.tobytes()
    if equal or not got.size:
        return Difference(name, 0.0, 0.0, equal or got.dtype == wanted.dtype)
    wide, expected = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(wide)):
        return Difference(name, np.nan, np.nan, False, "is not finite in the same places")
    if not finite.any():
        return Difference(name, 0.0, 0.0, bool(np.array_equal(wide, expected, equal_nan=True)))
    largest = float(np.abs(wide - expected)[finite].max())
    return Difference(name, largest, largest / scale_of(expected[finite], 1e-12), False)


def predictions_compared(model: Any, inputs: Batch, recorded: Batch) -> list[Difference]:
    """Compares a model's predictions with recorded ones.

    Args:
        model: a Keras model.
        inputs: recorded inputs, one array a model input.
        recorded: recorded predictions, one array a model output.

    Returns:
        A difference for each output.

    Raises:
        MigrationError: the inputs do not fit the model.
    """
    try:
        with quiet():
            got = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    except Exception as error:
        raise MigrationError(
            f"the recorded inputs do not fit the model ({type(error).__name__})",
            expected=", ".join(str(tuple(tensor.shape)) for tensor in model.inputs),
            found=", ".join(str(array.shape) for array in inputs),
        ) from None
    outputs = _in_order(got, model.output_names)
    return [
        difference(quoted(name, 60)[1:-1], np.asarray(output), expected)
        for name, output, expected in zip(model.output_names, outputs, recorded, strict=True)
    ]


def _in_order(got: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(got, Mapping):
        return [got[name] for name in names] if all(name in got for name in names) else list(got.values())
    return list(got) if isinstance(got, list | tuple) else [got]


def agreement(model: Any, inputs: Batch, recorded: Batch, accept_error: float | None = None) -> str:
    """Says that a model predicts what was recorded.

    Args:
        model, inputs, recorded: see `predictions_compared`.
        accept_error: the largest difference that passes, in standard deviations, if it is more than rounding.

    Returns:
        How far they agree, in words.

    Raises:
        VerificationError: they do not.
        MigrationError: the inputs do not fit the model.
    """
    found = predictions_compared(model, inputs, recorded)
    half = any("16" in str(layer.compute_dtype) for layer in model._flatten_layers())
    least = max(HALF_TOLERANCE if half else SINGLE_TOLERANCE, accept_error or 0.0)
    for one, values in zip(found, recorded, strict=True):
        # Rounded values are off by up to 1.7 times their root mean square error.
        allowed = max(least, 2 * rounding_of(values) / scale_of(values.astype(np.float64), 1e-12))
        if one.equal or one.scaled <= allowed:
            continue
        what = one.note or f"differs from the recorded predictions by up to {one.scaled:.2g} standard deviations"
        hint = "The recording is of another model, or is damaged"
        if not math.isnan(one.scaled):
            hint += f"; --accept-error {above(one.scaled)} writes the file nevertheless"
        raise VerificationError(
            f"the new model's output {one.name!r} {what}", expected=f"at most {allowed:.1g}", hint=hint
        )
    worst = max(one.scaled for one in found)
    samples = f"{len(inputs[0])} recorded predictions"
    if all(one.equal for one in found):
        return f"{samples} agree bit for bit"
    return f"{samples} agree: they differ by at most {worst:.1g} standard deviations"


def above(error: float) -> str:
    """A round number just above an error, for the option that accepts it."""
    unit = 10.0 ** (math.floor(math.log10(error)) - 1)
    return f"{math.ceil(error / unit * (1 + 1e-9)) * unit:.2g}"
