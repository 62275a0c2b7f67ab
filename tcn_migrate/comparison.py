"""A migrated file held against the old one's arrays, or against recorded predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tcn_migrate.budget import DEFAULT_BYTES, check_source
from tcn_migrate.checkpoint import Checkpoint
from tcn_migrate.config.changes import Change, changes
from tcn_migrate.containers import keras_zip, open_checkpoint
from tcn_migrate.containers.h5 import STORE_ROOTS
from tcn_migrate.errors import MigrationError, foreseen, quoted
from tcn_migrate.migration import plan as plan_of
from tcn_migrate.moves import Plan, copied
from tcn_migrate.naming.entries import spoken
from tcn_migrate.recovery.agreement import Difference, difference, predictions_compared
from tcn_migrate.recovery.files import read_recorded


def compare_variables(
    new: Path,
    old: Path,
    *,
    architecture: Path | None = None,
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> Iterator[Difference]:
    """Holds every variable of a migrated file against what the old file holds; without Keras.

    Args:
        new: a file that `tcn_migrate.migrate` wrote.
        old: the file that it was made of, or another one of the same model.
        architecture, last_step, custom_objects, max_bytes: as for `migrate`, of the old file.

    Returns:
        A difference for each variable. One that the old file does not hold (a recovered norm) has a note and counts
        as equal; one that the new file does not hold, or that only it holds, does not.

    Raises:
        MigrationError: a file cannot be read, or the new one was not written by this package.
    """
    with foreseen():
        check_source(new, max_bytes)
        target = _target_of(new)
        with open_checkpoint(new) as checkpoint:
            arrays = dict(checkpoint.arrays)
    plan = plan_of(
        old,
        architecture=architecture,
        target=target,
        last_step=last_step,
        custom_objects=custom_objects,
        max_bytes=max_bytes,
    )
    return _compared(plan, arrays)


def compare_files(
    old: Path, new: Path, *, custom_objects: Mapping[str, Any] | None = None, max_bytes: int = DEFAULT_BYTES
) -> tuple[list[Change], list[Difference]]:
    """Holds two checkpoints against each other; without Keras.

    Both are planned, so that two forms of one config are one config, and variables are compared by their addresses.

    Args:
        old, new: any checkpoints that can be migrated.
        custom_objects, max_bytes: as for `migrate`.

    Returns:
        The settings that differ, and a difference for each variable of either file.

    Raises:
        MigrationError: a file cannot be migrated, and so not be read.
    """
    made = keras_zip.read_metadata(new).get("tcn_migrate") if keras_zip.matches(new) else None
    # A plain file has no TCN any more, and is the same model as the old one only when that is lowered, too.
    target = "plain" if isinstance(made, dict) and made.get("target") == "plain" else "layer"
    one, other = (
        plan_of(path, target=target, custom_objects=custom_objects, max_bytes=max_bytes) for path in (old, new)
    )
    with foreseen():
        # Where a TCN is lowered, its variables are compared by their place in the layers that take its.
        before, after = (
            {plan.places.get(move.address, move.address): move for move in plan.moves} for plan in (one, other)
        )
        found = []
        for address in {**before, **after, **one.missing, **other.missing}:
            name = spoken(address)
            if address not in before and address not in after:
                found.append(Difference(name, np.nan, np.nan, True, "is in neither file"))
            elif address not in before or address not in after:
                which = "new" if address in before else "old"
                found.append(Difference(name, np.nan, np.nan, False, f"is not in the {which} file"))
            else:
                found.append(difference(name, after[address].values(), before[address].values()))
        return changes(one.config, other.config), found


def _compared(plan: Plan, arrays: dict[str, Any]) -> Iterator[Difference]:
    """Each variable, by its path in the new file; what is left of the new file's arrays at the end is nobody's."""
    with foreseen():
        for move in plan.moves:
            name, held = spoken(move.address), arrays.pop(move.target, None)
            if held is None:
                yield Difference(name, np.nan, np.nan, False, "is not in the new file")
            else:
                yield difference(name, held.read(), move.values())
        for address, (target, _) in plan.missing.items():
            held = arrays.pop(target, None)
            note = "is not in the old file" if held is not None else "is in neither file"
            yield Difference(spoken(address), np.nan, np.nan, held is not None, note)
        for name in arrays:
            if name.partition("/")[0] in STORE_ROOTS:
                yield Difference(quoted(name)[1:-1], np.nan, np.nan, False, "is only in the new file")


def compare_predictions(
    new: Path, golden: Path, *, custom_objects: Mapping[str, Any] | None = None, max_bytes: int = DEFAULT_BYTES
) -> list[Difference]:
    """Holds a migrated model's predictions against recorded ones.

    Args:
        new: a file that `tcn_migrate.migrate` wrote. It is planned first, so that a file that would be refused is
            never opened in Keras.
        golden: an .npz of inputs `x` and predictions `y` (or `x0`, `x1`, ... and `y0`, `y1`, ...).
        custom_objects: your own classes by name.
        max_bytes: as for `migrate`.

    Returns:
        A difference for each output.

    Raises:
        MigrationError: a file cannot be read, or the recordings do not fit the model.
    """
    from tcn_migrate.verify import check_size, load
    from tcn_migrate.write import write_keras

    check_source(new, max_bytes)
    with foreseen():
        target = _target_of(new)
    planned = replace(plan_of(new, custom_objects=custom_objects, max_bytes=max_bytes), target=target)
    with foreseen():
        # Keras is never given the file itself: it would unpack assets and let HDF5 unpack the arrays.
        with tempfile.TemporaryDirectory(prefix="tcn-migrate-") as folder, open_checkpoint(new) as checkpoint:
            own = Path(folder) / "model.keras"
            write_keras(_as_it_is(checkpoint, planned), own)
            check_size(planned, custom_objects)
            model = load(own, custom_objects, target=target)
        names = [tensor.name for tensor in model.inputs]
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        inputs, wanted = read_recorded(golden, names, shapes, len(model.outputs))
        return predictions_compared(model, inputs, wanted)


def _as_it_is(checkpoint: Checkpoint, planned: Plan) -> Plan:
    """The plan of a file with the same config and the same arrays at the same paths, and nothing else."""
    config = {key: value for key, value in checkpoint.config.items() if key != "compile_config"}
    arrays = {name: array for name, array in checkpoint.arrays.items() if not name.startswith("optimizer/")}
    moves = tuple(copied(tuple(name.split("/")), name, array) for name, array in arrays.items())
    return replace(planned, config=config, moves=moves, optimizer=(), compile_config=None)


def _target_of(new: Path) -> str:
    """The target of the migration that wrote a file.

    Raises:
        MigrationError: it was not written by this package, or is damaged.
    """
    written = None
    if keras_zip.matches(new):
        written = keras_zip.read_metadata(new).get("tcn_migrate")
    elif not new.exists():
        raise MigrationError("there is no such file", address=quoted(new))
    if not isinstance(written, dict) or written.get("target") not in ("layer", "plain"):
        raise MigrationError(
            "was not written by tcn-migrate",
            address=quoted(new),
            hint="Name the migrated file first; the old one goes behind --against",
        )
    return str(written["target"])
