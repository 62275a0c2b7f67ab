"""The line that a checkpoint walks, from path to proof."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tcn_migrate.budget import DEFAULT_BYTES, check_source
from tcn_migrate.containers import open_checkpoint
from tcn_migrate.errors import (
    ArchitectureNeeded,
    ContainerError,
    MigrationError,
    as_file,
    foreseen,
    quoted,
    shell_command,
)
from tcn_migrate.inputs import Inputs, check_output, inputs, modules_of, saved_model_of

if TYPE_CHECKING:
    from tcn_migrate.checkpoint import Checkpoint
    from tcn_migrate.moves import Plan
    from tcn_migrate.naming.entries import Address
    from tcn_migrate.outcome import Outcome
    from tcn_migrate.planning import Choices

PathLike = str | os.PathLike[str]

_LOG = logging.getLogger(__name__)


def migrate(
    path: PathLike,
    output: PathLike | None = None,
    *,
    architecture: PathLike | None = None,
    target: str = "layer",
    calibration: Any = None,
    reference: Any = None,
    reinitialize: bool = False,
    remeasure: Literal["suspect", "all"] | None = None,
    keep_suspect: bool = False,
    accept_error: float | None = None,
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    drop_optimizer: bool = False,
    verify: bool = True,
    overwrite: bool = False,
    max_bytes: int = DEFAULT_BYTES,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Migrates one checkpoint to a `.keras` file.

    Args:
        path: the old file or folder; it is opened for reading only.
        output: the new file, whose name ends in `.keras`; by default beside the old one, with that suffix.
        architecture: for a file that holds weights alone: the JSON that `model.to_json()` wrote, a model's file of
            which only the config is read, or `module:function` of your own that builds the model, which is run.
        target: "layer" for a model with `tcn_migrate.TCN`, "plain" for one of Keras's own layers only.
        calibration: inputs like the training data, to measure lost moving statistics from: a path or several (.npz,
            .npy, .csv, .parquet), an array, a list of arrays, or any iterable of batches.
        reference: recorded inputs and the old model's predictions: a path (.npz with `x` and `y`), or a pair (inputs,
            predictions). Lost norms are refitted to them; where none are lost, the new model is compared with them.
        reinitialize: start afresh with what nothing else brings back.
        remeasure: recover also norms that are in the file: "suspect" ones, or the statistics of "all".
        keep_suspect: take suspect norms as they are.
        accept_error: write the file although its predictions differ from those of `reference` by more than expected,
            up to this many standard deviations.
        last_step: files of which nothing tells whether keras-tcn 2.9.1 wrote them were written by it.
        custom_objects: classes of your own by name.
        drop_optimizer: leave out the optimizer, its state, the loss and the metrics, for a small file to serve.
        verify: load the new file and prove that it computes the same.
        overwrite: replace an existing output.
        max_bytes: the largest source, and how many bytes of arrays may be read out of it.
        progress: called with a phase and how much of it is done, of how much (0: nobody knows).

    Raises:
        MigrationError: what stopped, where, what was expected and found, and what to do next.
    """
    source = Path(path)
    new = Path(output) if output is not None else default_output(source)
    read = all_inputs(source, architecture, reference, calibration, custom_objects)
    check_target(new, source, read, overwrite=overwrite)
    said = progress or (lambda phase, done, total: None)
    recovery, evidence, model, agreed = None, None, None, None

    def choose() -> Choices:
        return _choices(target, last_step, custom_objects, drop_optimizer, max_bytes)

    with _checkpoint(source, architecture, choose, max_bytes) as checkpoint:
        from tcn_migrate.outcome import Outcome
        from tcn_migrate.planning import make_plan
        from tcn_migrate.recovery.decide import Means, examine, settle
        from tcn_migrate.write import new_file, write_keras

        means = Means(reference, calibration, reinitialize, remeasure, keep_suspect, accept_error)
        if reference is not None or calibration is not None:
            from tcn_migrate.recovery.files import refuse_absent

            refuse_absent(reference)
            refuse_absent(calibration)
        with _reading(path):
            decided = make_plan(checkpoint, choose())
            decided = replace(decided, reading=_options(architecture, last_step, custom_objects, max_bytes))
            decided, losses = settle(decided, examine(decided), means)
        _log_plan(decided)
        if losses:
            _LOG.info("recovering %d norms", len(losses))
            from tcn_migrate.recovery.recover import recover

            try:
                with foreseen():
                    decided, recovery = recover(decided, losses, means, custom_objects, said)
            except OSError as error:  # of the provisional model
                raise MigrationError(
                    f"a temporary file could not be written ({error.strerror or type(error).__name__})",
                    address=quoted(tempfile.gettempdir()),
                    hint="Set TMPDIR to a folder with room",
                ) from None
        elif calibration is not None:
            decided = replace(decided, warnings=(*decided.warnings, _NOT_MEASURED))
        with new_file(new, overwrite=overwrite) as temporary, foreseen():
            _LOG.info("writing %s", quoted(new, 200))
            started = time.perf_counter()
            odd = write_keras(decided, temporary, lambda count: said("writing", count, len(decided.moves)))
            _LOG.debug("writing took %.2f s", time.perf_counter() - started)
            if verify:
                from tcn_migrate.verify import verify as prove

                _LOG.info("verifying in Keras")
                started = time.perf_counter()
                said("verifying", 0, 1)
                evidence, model = prove(temporary, decided, custom_objects)
                said("verifying", 1, 1)
                _LOG.debug("verifying took %.2f s", time.perf_counter() - started)
            if reference is not None and not losses:
                from tcn_migrate.recovery.recover import compare_recorded
                from tcn_migrate.verify import load

                model = model or load(temporary, custom_objects, target=decided.target)
                agreed = compare_recorded(model, means)
    if odd:
        decided = replace(decided, warnings=(*decided.warnings, _not_finite(odd)))
    return Outcome(new, decided, evidence, recovery, agreed, dict(custom_objects or {}), model)


def _log_plan(decided: Plan) -> None:
    origin = decided.origin
    version = f", Keras {quoted(origin.keras_version, 20)[1:-1]}" if origin.keras_version else ""
    _LOG.info(
        "planned %d variables and %d repairs of a %s%s",
        len(decided.moves),
        len(decided.repairs),
        origin.container,
        version,
    )
    for repair in decided.repairs:
        _LOG.debug("repair of %s: %s", quoted(repair.layer), repair.sentence)
    for move in decided.moves:
        _LOG.debug("%s: %s to %s", quoted("/".join(move.address), 200), move.grade, quoted(move.target, 200))


_NOT_MEASURED = "no moving statistics are lost, so none were measured from the inputs given for calibration"


def _not_finite(addresses: list[Address]) -> str:
    from tcn_migrate.naming.entries import spoken

    named = ", ".join(spoken(address) for address in addresses[:6])
    more = f" and {len(addresses) - 6} more" if len(addresses) > 6 else ""
    return f"{len(addresses)} variables hold NaN or infinity in the source, and so in the new file: {named}{more}"


def plan(
    path: PathLike,
    *,
    architecture: PathLike | None = None,
    target: str = "layer",
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    drop_optimizer: bool = False,
    max_bytes: int = DEFAULT_BYTES,
) -> Plan:
    """What a migration would do; nothing is written, and neither Keras nor TensorFlow is imported.

    Arrays are read only where their headers do not tell whether they are whole.

    Raises:
        MigrationError: it would stop, and why.
    """

    def choose() -> Choices:
        return _choices(target, last_step, custom_objects, drop_optimizer, max_bytes)

    with _checkpoint(path, architecture, choose, max_bytes) as checkpoint, _reading(path):
        from tcn_migrate.planning import make_plan

        decided = make_plan(checkpoint, choose())
        decided = replace(decided, reading=_options(architecture, last_step, custom_objects, max_bytes))
        _log_plan(decided)
        for move in (*decided.moves, *decided.optimizer):
            for array in move.sources:
                if array.proved_by_reading:
                    array.read()
        return decided


@contextlib.contextmanager
def _checkpoint(
    path: PathLike, architecture: PathLike | None, choose: Callable[[], Choices], max_bytes: int
) -> Iterator[Checkpoint]:
    """The source, opened, with an architecture for weights alone.

    Args:
        choose: the choices of the migration, for which an architecture that is found unasked has to fit.
    """
    source = Path(path)
    with contextlib.ExitStack() as stack:
        with _reading(path):
            check_source(source, max_bytes)
            _LOG.info("reading %s", quoted(path, 200))
            if architecture is not None:
                from tcn_migrate.architectures import architecture_of, fitted

                given = architecture_of(architecture)
                opened = stack.enter_context(open_checkpoint(source, given, _load_the_rest))
                checkpoint = fitted(opened, choose().custom_classes)
            else:
                try:
                    checkpoint = stack.enter_context(open_checkpoint(source, None, _load_the_rest))
                except ArchitectureNeeded:
                    from tcn_migrate.architectures import beside

                    found = beside(source, choose())
                    if found is None:
                        raise
                    checkpoint = stack.enter_context(open_checkpoint(source, found.config))
                    said = {"architecture_beside": found.path.name, "architecture_proven": found.proven}
                    checkpoint = replace(checkpoint, hints={**checkpoint.hints, **said})
        yield checkpoint


def _load_the_rest() -> None:
    """Imports what follows the reading. Another process tries the file meanwhile, which takes as long."""
    for name in ("planning", "recovery.decide", "outcome", "write"):
        importlib.import_module(f"tcn_migrate.{name}")


@contextlib.contextmanager
def _reading(path: PathLike) -> Iterator[None]:
    """Whatever goes wrong in here is the source's doing, and is said as a MigrationError."""
    try:
        with foreseen():
            yield
    except OSError as error:  # it vanished, or the disk or the network under it failed
        reason = error.strerror or type(error).__name__
        raise ContainerError(f"cannot be read ({reason})", address=quoted(path)) from None


def _choices(
    target: str, last_step: bool, custom_objects: Mapping[str, Any] | None, drop_optimizer: bool, max_bytes: int
) -> Choices:
    from tcn_migrate.planning import Choices

    own = custom_objects or {}
    derived = frozenset(name for name, thing in own.items() if _is_derived_from_tcn(thing))
    return Choices(target, last_step, frozenset(own), derived, drop_optimizer, max_bytes)


def _options(
    architecture: PathLike | None, last_step: bool, custom_objects: Mapping[str, Any] | None, max_bytes: int
) -> tuple[str, ...]:
    """The options of a command that reads a source with these arguments."""
    words: list[str] = []
    if architecture is not None:
        words += ["--architecture", os.fspath(architecture)]
    if last_step:
        words += ["--last-step"]
    modules = {getattr(thing, "__module__", "") for thing in (custom_objects or {}).values()}
    if len(modules) == 1 and "__main__" not in modules:  # a command takes one, by its name
        words += ["--custom-objects", *modules]
    if max_bytes != DEFAULT_BYTES:
        words += ["--max-bytes", str(max_bytes)]
    return tuple(words)


def _is_derived_from_tcn(thing: Any) -> bool:
    return isinstance(thing, type) and any(base.__name__ in ("TCN", "LegacyTCN") for base in thing.__mro__[1:])


def all_inputs(
    source: Path,
    architecture: PathLike | None = None,
    reference: Any = None,
    calibration: Any = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Inputs:
    """The files that a migration with these arguments reads."""
    others = [] if architecture is None else [Path(architecture)]
    for data in (reference, calibration):
        named = [data] if isinstance(data, str | os.PathLike) else data if isinstance(data, list | tuple) else []
        others += [Path(item) for item in named if isinstance(item, str | os.PathLike)]
    return inputs([source], (*others, *modules_of(custom_objects)))


def default_output(source: Path) -> Path:
    """Where the new file goes if nobody says: beside the old one, never over it or inside a folder that is read."""
    folder = saved_model_of(source)
    whole = source if folder is None else folder
    if not whole.name:  # "." has a name of its own
        whole = whole.resolve()
    stem = whole.name if folder is not None else whole.stem
    new = whole.with_name(f"{stem.removesuffix('.weights')}{SUFFIX}")
    return whole.with_name(f"{stem}.migrated{SUFFIX}") if new == whole else new


SUFFIX = ".keras"
"""What the name of every new file ends in. `keras.saving.load_model` compares the case of the letters, too."""

_REPLACED = (".weights.h5", ".h5", ".hdf5", ".keras", ".ckpt")
"""Suffixes that `.keras` takes the place of. Any other one belongs to the name: `model-v1.5`."""


def without_suffix(name: str) -> str:
    """The name of a file without the suffix that `.keras` takes the place of."""
    lower = name.lower()
    suffix = next((suffix for suffix in _REPLACED if lower.endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def check_target(new: Path, source: Path, read: Inputs, *, overwrite: bool) -> None:
    """Stops early where the new file cannot be.

    Args:
        new: the new file.
        source: the old one.
        read: what the migration reads.
        overwrite: whether a file that exists may be replaced.

    Raises:
        MigrationError: it is read, has a name that Keras does not open, or exists; or its folder does not exist.
    """
    check_output(new, read)
    if not new.name.endswith(SUFFIX):
        typed = shell_command("tcn-migrate", as_file(source), as_file(_renamed(new, source)))
        raise MigrationError(
            "is no name for the new file",
            address=quoted(new),
            expected=f"a name that ends in {SUFFIX}, since Keras opens no other",
            hint=f"Give it another one: {typed}",
        )
    if not new.parent.is_dir():
        raise MigrationError("there is no such folder", address=quoted(new.parent), hint="Make it first")
    if os.path.lexists(new) and not overwrite:
        from tcn_migrate.write import exists

        raise exists(new)
    if new.is_dir():
        raise MigrationError("is a folder", address=quoted(new))


def _renamed(new: Path, source: Path) -> Path:
    """A name that Keras opens, in the place of one that it does not."""
    if new.is_dir():
        return new / default_output(source).name
    if new.name in ("", "-", ".."):
        return default_output(source)
    return new.with_name(f"{without_suffix(new.name)}{SUFFIX}")
