"""The evaluator computes what the old library predicted, and rounding explains the rest."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tcn_migrate.containers import open_checkpoint
from tcn_migrate.containers.architecture import read_architecture
from tcn_migrate.evaluation.evaluate import MARGIN, Old, evaluate
from tcn_migrate.evaluation.preprocessing import fingerprint, keyed_fingerprint
from tcn_migrate.planning import Choices, major, make_plan
from tests.cases import Case, cases

FEW_DEVIATIONS = 1e-5
NOT_COMPUTED = {
    "calls/training-true": "a batch norm changes its statistics at each prediction, before another call uses them",
    "layers/tf215-add-to-center-crop": "HashedCrossing joins hashes in a way that is not computed here",
}
"""Fixtures that the evaluator openly does not compute, with the reason."""


def old_model(one: Case) -> Old:
    options = one.options
    given = options[options.index("--architecture") + 1] if "--architecture" in options else None
    config = None if given is None else read_architecture(pathlib.Path(given))
    with open_checkpoint(one.source, config, lambda: None) as checkpoint:
        plan = make_plan(checkpoint, Choices(last_step="--last-step" in options, drop_optimizer=True))
        stored = plan.stored
        assert stored is not None
        arrays = {address: array.read() for address, array in stored.arrays.items()}
    return Old(stored.config, arrays, stored.tcns, stored.keras_version, major(stored.keras_version) < 3)


def recorded(one: Case) -> tuple[list[Any], list[Any]]:
    golden = np.load(one.folder / "golden.npz")
    inputs, outputs = (
        [golden[key] for key in sorted((k for k in golden.files if k[0] == letter), key=lambda k: int(k[1:]))]
        for letter in "xy"
    )
    return inputs, outputs


def proven(one: Case) -> bool:
    own_classes = "--custom-objects" in one.options
    return one.facts["expect"] == "exact" and (one.folder / "golden.npz").exists() and not own_classes


@pytest.mark.parametrize("one", [pytest.param(one, id=one.name) for one in cases() if proven(one)])
def test_what_the_old_library_predicted_comes_out(one: Case) -> None:
    inputs, wanted = recorded(one)
    outputs, _ = evaluate(old_model(one), inputs)
    if one.name in NOT_COMPUTED:
        assert any(output.unproven for output in outputs)
        return
    for output, prediction in zip(outputs, wanted, strict=True):
        assert output.unproven is None, output.unproven
        assert output.values is not None
        difference = float(np.abs(output.values.astype(np.float64) - prediction.astype(np.float64)).max())
        few = max(FEW_DEVIATIONS, one.facts.get("tolerance", 0))  # of float16 a fixture says more
        # An output that hardly varies is compared with the steps of float32 at its size.
        steps = 2 * 2.0**-23 * float(np.abs(prediction).max())
        assert difference <= max(few * float(prediction.std()), steps, 1e-6 * few)
        assert difference <= MARGIN * output.explained + 2.0**-24 * float(np.abs(prediction).max())


def test_hashes_are_those_of_their_authors() -> None:
    """FarmHash's own unit test for short texts, and the example of the paper on SipHash (appendix A)."""
    assert fingerprint(b"") == 0x9AE16A3B2F90404F
    message = bytes(range(15))
    key = [int.from_bytes(bytes(range(8)), "little"), int.from_bytes(bytes(range(8, 16)), "little")]
    assert keyed_fingerprint(message, key) == 0xA129CA6149BE45E5
