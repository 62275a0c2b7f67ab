"""From a plan with lost norms to one without: a provisional model is built, and what is lost is found with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tcn_migrate.errors import MigrationError, VerificationError, quoted
from tcn_migrate.moves import Grade, Plan
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.recovery.agreement import above, agreement
from tcn_migrate.recovery.data import Batch, numeric
from tcn_migrate.recovery.decide import Means
from tcn_migrate.recovery.diagnose import INITIAL, STATISTICS, Loss
from tcn_migrate.recovery.files import is_files, read_inputs, read_recorded
from tcn_migrate.verify import check_size, layer_at, load, quiet
from tcn_migrate.write import write_keras

if TYPE_CHECKING:
    from tcn_migrate.recovery.refit import Refit

_SHOWN = 8
"""Outputs that a sentence names one by one."""

Said = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recovery:
    """What came of a recovery, for the report.

    Attributes:
        grade: the best grade that was used: "refitted", "measured" or "initialized".
        norms: the norms that were lost, by address.
        sentences: what was done and what it is worth, in words.
        held_back: for refitted norms, the error of the worst output on recordings that neither the fit nor the choice
            of the best point saw, in standard deviations.
        curve: for refitted norms, the error on recordings that chose the best point, step by step.
        disagreement: for measured norms, how far half of the data disagrees with all of it.
        predictions: for refitted norms, some recorded predictions and those of the new model for the same inputs.
    """

    grade: Grade
    norms: tuple[Address, ...]
    sentences: tuple[str, ...]
    held_back: float | None = None
    curve: tuple[float, ...] = ()
    disagreement: Mapping[Address, float] | None = None
    predictions: tuple[tuple[float, float], ...] = ()


def recover(
    plan: Plan,
    losses: Sequence[Loss],
    means: Means,
    custom_objects: Mapping[str, Any] | None = None,
    said: Said = lambda phase, done, total: None,
) -> tuple[Plan, Recovery]:
    """Finds what is lost.

    Args:
        plan: with everything that is to be recovered missing.
        losses: what that is.
        means: what the user gave for it.
        custom_objects: the user's classes by name.
        said: told of progress.

    Returns:
        The plan with nothing missing, and what the recovery is worth.

    Raises:
        MigrationError: the data do not fit the model.
        VerificationError: a refit missed what was expected of it, and that error is not accepted.
    """
    fresh = {address: np.full(shape, INITIAL[address[-1]], np.float32) for address, (_, shape) in plan.missing.items()}
    norms = tuple(dict.fromkeys(loss.norm for loss in losses))
    if means.reference is None and means.calibration is None:
        sentence = (
            f"{len(norms)} norms were started afresh: the model no longer predicts what it did and has to be "
            f"trained again ({_listed(norms)})"
        )
        return plan.filled(fresh, "initialized"), Recovery("initialized", norms, (sentence,))
    with tempfile.TemporaryDirectory(prefix="tcn-migrate-") as folder, quiet():
        path = Path(folder) / "provisional.keras"
        write_keras(plan.filled(fresh, "initialized"), path)
        check_size(plan, custom_objects)
        model = load(path, custom_objects, target=plan.target)
        live = {norm: layer_at(model, path) for norm, path in _norm_paths(plan).items()}
        names = [tensor.name for tensor in model.inputs]
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        if means.reference is not None:
            return _refitted(plan, losses, means, model, live, names, shapes, said)
        return _measured(plan, losses, means, fresh, model, live, names, shapes, said)


def _refitted(
    plan: Plan,
    losses: Sequence[Loss],
    means: Means,
    model: Any,
    live: Mapping[Address, Any],
    names: Sequence[str],
    shapes: Sequence[Any],
    said: Said,
) -> tuple[Plan, Recovery]:
    from tcn_migrate.recovery.refit import refit

    inputs, outputs = _recorded(means.reference, names, shapes, len(model.outputs))
    further = means.calibration
    if further is not None and is_files(further):
        further = _one_or_many(read_inputs(further, names, shapes))
    steps = 0

    def stepped(error: float) -> None:
        nonlocal steps
        steps += 1
        said(f"refitting, held-back error {error:.1e}", steps, 0)  # nobody knows how many it takes

    said("refitting", 0, 0)
    accepted = means.accept_error or 0.0
    found = refit(model, live, losses, inputs, outputs, further_inputs=further, accept_error=accepted, progress=stepped)
    _refuse_missed(found, means.accept_error)
    norms = tuple(dict.fromkeys(loss.norm for loss in losses))
    return plan.filled(found.values, "refitted"), Recovery(
        "refitted",
        norms,
        (
            f"{len(norms)} norms were refitted to {len(inputs[0])} recorded predictions ({_listed(norms)}). The "
            "weights need not be the old ones, since many give the same predictions",
            *_told(found),
        ),
        found.held_back,
        found.curve,
        predictions=found.predictions,
    )


def _told(found: Refit) -> list[str]:
    """What a refit is worth, in sentences."""
    worst = max(found.outputs, key=lambda output: output.bound)
    of = "" if len(found.outputs) == 1 else f" of {quoted(worst.name, 40)}, the worst of {len(found.outputs)} outputs,"
    sentences = [
        f"on {found.verdict} recordings that neither the fit nor the choice of it saw, the predictions{of} differ by "
        f"{worst.error:.1e} standard deviations, and should by at most {worst.bound:.1e} on others like them; "
        f"float32 resolves {worst.resolution:.1e}"
    ]
    if len(found.outputs) > 1:
        each = [
            f"{quoted(output.name, 40)} {output.error:.1e} (float32: {output.resolution:.1e})"
            for output in found.outputs
        ]
        more = f" and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
        sentences.append(f"by output: {', '.join(each[:_SHOWN])}{more}")
    if found.missed:
        sentences.append(f"{found.expected.ratio}: the error is larger than expected, and accepted")
    else:
        sentences.append(f"{found.expected}")
    if found.astray:
        sentences.append(
            f"{found.astray} of the {found.fitted} recordings that were fitted to differ by up to {found.furthest:.1e}"
            ", as other inputs may: most likely they open a channel that hardly any other opens"
        )
    if found.rare:
        sentences.append(
            f"{found.rare} of {found.channels} lost channels act on fewer than 3 of the recordings that were fitted "
            "to: inputs on which they act may be predicted worse"
        )
    return sentences


def _refuse_missed(found: Refit, accept_error: float | None) -> None:
    """Raises where an output did not come back as expected, unless the user accepts its error."""
    missed = [output for output in found.outputs if output.missed and not output.bound <= (accept_error or 0.0)]
    if not missed:
        return
    worst = max(missed, key=lambda output: output.bound)
    cause = "" if found.cause is None else f" ({found.cause})"
    raise VerificationError(
        f"the fit does not explain the recorded predictions{cause}: on {found.verdict} recordings that it did not see, "
        f"the new model's output {quoted(worst.name, 40)} differs by {worst.error:.1e} standard deviations, "
        f"with a margin for others like them {worst.bound:.1e}",
        expected=f"at most {worst.limit:.1g} with {found.expected.ratio}",
        hint="Check that inputs and predictions belong together, are not scaled, and are those of this model before "
        f"its norms were lost; or accept the error: --accept-error {above(worst.bound)}",
    )


def compare_recorded(model: Any, means: Means) -> str:
    """Compares a migrated model, of which nothing was lost, with the recording that was given for it.

    Args:
        model: as loaded from the new file.
        means: with a reference.

    Returns:
        How far they agree, in words.

    Raises:
        MigrationError: the recording cannot be read or does not fit the model.
        VerificationError: they do not agree.
    """
    names = [tensor.name for tensor in model.inputs]
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    inputs, outputs = _recorded(means.reference, names, shapes, len(model.outputs))
    return agreement(model, inputs, outputs, means.accept_error)


def _recorded(reference: Any, names: Sequence[str], shapes: Sequence[Any], outputs: int) -> tuple[Batch, Batch]:
    """Recorded inputs and predictions, out of files or as the library was given them.

    Raises:
        MigrationError: there are not as many arrays as the model has inputs and outputs, or they hold no numbers.
    """
    if is_files(reference):
        return read_recorded(reference, names, shapes, outputs)
    if not isinstance(reference, list | tuple) or len(reference) != 2:
        raise MigrationError("the reference is neither a path nor a pair (inputs, predictions)")
    found = []
    for what, given, count in zip(("inputs", "predictions"), reference, (len(names), outputs), strict=True):
        arrays = [numeric(np.asarray(array)) for array in (given if isinstance(given, list | tuple) else [given])]
        if len(arrays) != count:
            raise MigrationError(
                f"the recording does not hold the model's {what}", expected=f"{count} arrays", found=len(arrays)
            )
        if not all(array.size for array in arrays):
            raise MigrationError(f"the recorded {what} are empty")
        found.append(arrays)
    return found[0], found[1]


def _measured(
    plan: Plan,
    losses: Sequence[Loss],
    means: Means,
    fresh: Mapping[Address, Any],
    model: Any,
    live: Mapping[Address, Any],
    names: Sequence[str],
    shapes: Sequence[Any],
    said: Said,
) -> tuple[Plan, Recovery]:
    from tcn_migrate.recovery.measure import statistics

    inputs = means.calibration
    if is_files(inputs):
        inputs = _one_or_many(read_inputs(inputs, names, shapes))
    statistic = [loss for loss in losses if loss.variable in STATISTICS]
    found = statistics(model, live, statistic, inputs, progress=lambda done, total: said("measuring", done, total))
    affine = {address: values for address, values in fresh.items() if address[-1] not in STATISTICS}
    plan = plan.filled(found.values, "measured").filled(affine, "initialized")
    norms = tuple(dict.fromkeys(loss.norm for loss in losses))
    worst = max(found.disagreement.values(), default=0.0)
    sentences = [
        f"moving statistics of {len(norms)} norms were measured from {found.samples} inputs ({_listed(norms)}): close "
        f"to the old ones if the inputs are like the training data; half of them disagrees with all by {worst:.1g} "
        "deviations. Inputs unlike the training data change the model",
    ]
    if affine:
        sentences.append(
            "gamma and beta were started afresh: predictions are off by some tenths of a deviation until the model is "
            "trained on; --reference with recorded predictions brings them back"
        )
    return plan, Recovery("measured", norms, tuple(sentences), disagreement=found.disagreement)


def _norm_paths(plan: Plan) -> dict[Address, str]:
    """The path of every norm of a TCN in the new file's weight store."""
    targets = {move.address: move.target for move in plan.moves} | {a: path for a, (path, _) in plan.missing.items()}
    return {
        norm: targets[*norm, "gamma"].rpartition("/vars/")[0]
        for tcn, reading in plan.tcns.items()
        if reading.norm is not None
        for k in range(reading.settings.blocks)
        for slot in (0, 1)
        if (*(norm := (*tcn, f"residual_block_{k}", f"norm_{slot}")), "gamma") in targets
    }


def _listed(norms: Sequence[Address]) -> str:
    more = f" and {len(norms) - 6} more" if len(norms) > 6 else ""
    return ", ".join(spoken(norm) for norm in norms[:6]) + more


def _one_or_many(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else arrays
