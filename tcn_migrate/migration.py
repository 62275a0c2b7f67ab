"""The line that a checkpoint walks, from path to proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.containers import read_checkpoint
from tcn_migrate.containers.architecture import read_architecture
from tcn_migrate.errors import DecisionNeeded, MigrationError, quoted
from tcn_migrate.moves import Move, Plan
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.outcome import Outcome
from tcn_migrate.planning import Choices, make_plan
from tcn_migrate.write import exists, new_file, write_keras

PathLike = str | os.PathLike[str]


def migrate(
    path: PathLike,
    output: PathLike | None = None,
    *,
    architecture: PathLike | None = None,
    target: str = "layer",
    calibration: Any = None,
    reference: Any = None,
    reinitialize: bool = False,
    remeasure: str | None = None,
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    verify: bool = True,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Migrates one checkpoint to a `.keras` file.

    Args:
        path: the old file or folder; it is opened for reading only.
        output: the new file; by default beside the old one, with the suffix `.keras`.
        architecture: the JSON that `model.to_json()` wrote, for a file that holds weights alone.
        target: "layer" for a model with `tcn_migrate.TCN`, "plain" for one of Keras's own layers only.
        calibration, reference, reinitialize, remeasure: how norms that are lost come back.
        last_step: files of which nothing tells whether keras-tcn 2.9.1 wrote them were written by it.
        custom_objects: classes of your own by name.
        verify: load the new file and prove that it computes the same.
        overwrite: replace an existing output.
        progress: called with a phase and how much of it is done, of how much.

    Raises:
        MigrationError: what stopped, where, what was expected and found, and what to do next.
    """
    source = Path(path)
    new = Path(output) if output is not None else default_output(source)
    check_output(source, new, overwrite=overwrite)
    said = progress or (lambda phase, done, total: None)
    decided = plan(source, architecture=architecture, target=target, last_step=last_step, custom_objects=custom_objects)
    decide(decided)
    evidence, model = None, None
    with new_file(new, overwrite=overwrite) as temporary:
        count = 0

        def written(move: Move) -> None:
            nonlocal count
            count += 1
            said("writing", count, len(decided.moves))

        write_keras(decided, temporary, written)
        if verify:
            from tcn_migrate.verify import verify as prove

            said("verifying", 0, 1)
            evidence, model = prove(temporary, decided, custom_objects)
            said("verifying", 1, 1)
    return Outcome(new, decided, evidence, dict(custom_objects or {}), model)


def plan(
    path: PathLike,
    *,
    architecture: PathLike | None = None,
    target: str = "layer",
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
) -> Plan:
    """What a migration would do; nothing is written, and neither Keras nor TensorFlow is imported.

    Raises:
        MigrationError: it would stop, and why.
    """
    config = None if architecture is None else read_architecture(Path(architecture))
    checkpoint = read_checkpoint(Path(path), config)
    choices = Choices(target=target, last_step=last_step, custom_classes=frozenset(custom_objects or ()))
    return make_plan(checkpoint, choices)


def decide(decided: Plan) -> None:
    """Raises `DecisionNeeded` where the user has to say how lost variables come back."""
    if decided.complete:
        return
    norms: dict[Address, list[str]] = {}
    for address in decided.missing:
        norms.setdefault(address[:-1], []).append(address[-1])
    listed = "; ".join(f"{spoken(address)}: {', '.join(names)}" for address, names in list(norms.items())[:40])
    raise DecisionNeeded(
        f"{len(decided.missing)} variables of {len(norms)} norms are not in the file: {listed}",
        hint="Say how they come back: --reference recorded.npz (inputs and the old model's predictions; exact where "
        "there are enough), --calibrate inputs.npz (statistics from data), --reinitialize (afresh)",
    )


def default_output(source: Path) -> Path:
    """Where the new file goes if nobody says: beside the old one, never over it."""
    stem = source.name if source.is_dir() else source.stem
    new = source.with_name(f"{stem.removesuffix('.weights')}.keras")
    return source.with_name(f"{stem}.migrated.keras") if new == source else new


def check_output(source: Path, new: Path, *, overwrite: bool) -> None:
    """Stops early where the new file cannot be.

    Raises:
        MigrationError: it is the source, or exists, or its folder does not.
    """
    if not new.parent.is_dir():
        raise MigrationError("there is no such folder", address=quoted(new.parent), hint="Make it first")
    if new.exists() and source.exists() and os.path.samefile(source, new):
        raise MigrationError("is the source itself, which is never changed", address=quoted(new))
    if source.is_dir() and source.resolve() in new.resolve().parents:
        raise MigrationError("lies inside the source, which is never changed", address=quoted(new))
    if os.path.lexists(new) and not overwrite:
        raise exists(new)
    if new.is_dir():
        raise MigrationError("is a folder", address=quoted(new))
