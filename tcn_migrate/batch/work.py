"""One checkpoint of many: plain values in, plain values out, so that it can be sent to another process or machine.

Whatever happens with a file becomes an outcome; nothing is raised past `work`.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tcn_migrate.architectures import architecture_of
from tcn_migrate.batch import storage
from tcn_migrate.batch.find import Kind
from tcn_migrate.budget import DEFAULT_BYTES
from tcn_migrate.containers import read_checkpoint
from tcn_migrate.containers.keras_zip import read_metadata
from tcn_migrate.errors import ArchitectureNeeded, MigrationError, NoRoomError, quoted
from tcn_migrate.moves import Plan
from tcn_migrate.write import exists

Verdict = Literal[
    "migrated",
    "can be migrated",
    "decision needed",
    "refused",
    "not verified",
    "crashed",
    "timed out",
    "out of memory",
    "no room",
]
_VERDICTS: dict[int, Verdict] = {0: "migrated", 1: "refused", 3: "decision needed", 4: "not verified"}
_FOR_INSPECT = ("architecture", "last_step", "custom_objects", "max_bytes")


@dataclass(frozen=True)
class Job:
    """What is to be done with one checkpoint.

    Attributes:
        source: its path or URL.
        kind: file, SavedModel or prefix.
        target: path or URL of the new file; None to inspect only.
        settings: further arguments of `migrate`.
        done: how an earlier run ended, if it went well: the journal's entry.
        again: an earlier try may have left the target behind, or a part of it.
    """

    source: str
    kind: Kind
    target: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    done: Mapping[str, Any] | None = None
    again: bool = False


@dataclass(frozen=True)
class BatchOutcome:
    """What came of one checkpoint of many.

    Attributes:
        source: path or URL.
        target: of the new file; None where only inspected, or where it can have none.
        verdict: in words, the same words for the same end.
        exit_code: what the single command would have ended with.
        error: the kind of error as in the single command's JSON, or how the worker was lost; None where all went well.
        message: the error in full.
        seconds: from start to end, without waiting.
        sha256: of the source, as far as it was read.
        mark: what a remote store knows the source's content by.
        container, keras_version, releases: what the source is; of each TCN the releases of keras-tcn.
        variables: how many are how exact.
        repairs, warnings: as of the single command.
        verified: whether the new file was loaded in Keras and compared; None where none was written, or nobody knows.
        skipped: done by an earlier run, and the source is still the same.
    """

    source: str
    target: str | None
    verdict: Verdict
    exit_code: int
    error: str | None = None
    message: str | None = None
    seconds: float = 0.0
    sha256: str | None = None
    mark: str | None = None
    container: str | None = None
    keras_version: str | None = None
    releases: tuple[str, ...] = ()
    variables: Mapping[str, int] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    verified: bool | None = None
    skipped: bool = False

    def as_json(self) -> dict[str, Any]:
        """The journal's line."""
        return asdict(self)


def failed(job: Job, error: MigrationError, verdict: Verdict | None = None) -> BatchOutcome:
    """The outcome of a job that ended in an error."""
    ended = verdict or ("no room" if isinstance(error, NoRoomError) else _VERDICTS.get(error.exit_code, "refused"))
    return BatchOutcome(
        job.source,
        job.target,
        ended,
        error.exit_code,
        error=error.kind if verdict is None else verdict,
        message=str(error),
    )


def work(job: Job) -> BatchOutcome:
    """Does a job."""
    started = time.perf_counter()
    try:
        with _scratch(job) as scratch:
            outcome = _inspected(job, scratch) if job.target is None else _migrated(job, job.target, scratch)
    except MigrationError as error:
        outcome = failed(job, error)
    except MemoryError:
        outcome = out_of_memory(job)
    except OSError as error:
        outcome = failed(job, unwritable(error))
    except Exception as error:
        outcome = failed(
            job,
            MigrationError(
                f"stopped at an error of its own ({type(error).__name__}: {quoted(error, 200)[1:-1]})",
                hint="This is a fault of tcn-migrate, or of the disk; if of the former, please report it",
            ),
        )
    return replace(outcome, seconds=round(time.perf_counter() - started, 3))


@contextlib.contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    """A folder for what is fetched and sent; none is made where everything is on this machine."""
    places = (job.source, job.target or "", str(job.settings.get("architecture")))
    if not any(map(storage.is_remote, places)):
        yield Path()
        return
    with tempfile.TemporaryDirectory(prefix="tcn-migrate-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def unwritable(error: OSError) -> MigrationError:
    """What an error of the disk is, where no file was to blame."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoomError(f"there is no room ({error.strerror})", hint="Make room; --resume then goes on")
    return MigrationError(f"the disk failed ({error.strerror or type(error).__name__})", hint="--resume tries it again")


def out_of_memory(job: Job) -> BatchOutcome:
    error = MigrationError(
        "needs more memory than a worker may take", hint="Run it alone, or with a larger --memory-limit and --resume"
    )
    return failed(job, error, "out of memory")


def _inspected(job: Job, scratch: Path) -> BatchOutcome:
    from tcn_migrate.inspection import inspect

    def seen(source: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        return inspect(source, **{name: settings[name] for name in _FOR_INSPECT if name in settings})

    mark, found = _with_source(job, scratch, seen)
    decision = found["exit_code"] != 0
    return BatchOutcome(
        job.source,
        None,
        "decision needed" if decision else "can be migrated",
        found["exit_code"],
        error="decision" if decision else None,
        message=found["verdict"] if decision else None,
        sha256=found["sha256"],
        mark=mark,
        container=found["container"],
        keras_version=_short(found["keras_version"]),
        releases=tuple(tcn["releases"] for tcn in found["tcns"]),
        variables=found["variables"],
        repairs=tuple(repair["sentence"] for repair in found["repairs"]),
        warnings=tuple(found["warnings"]),
    )


def _migrated(job: Job, target: str, scratch: Path) -> BatchOutcome:
    from tcn_migrate.migration import migrate

    if job.done is not None and _same_mark(job, target):
        return _skipped(job)
    made = Path(target)
    if storage.is_remote(target):
        (scratch / "new").mkdir()
        made = scratch / "new" / "model.keras"
    else:
        made.parent.mkdir(parents=True, exist_ok=True)
        if job.again:
            remove_unfinished(target)

    def migrated(source: Path, settings: Mapping[str, Any]) -> Plan | None:
        overwrite = bool(settings.get("overwrite"))
        there = storage.exists(target) if storage.is_remote(target) else made.exists()
        if there and (job.again or job.done is not None):
            sha256 = _hash_of(source, settings)
            own = storage.fetch(target, "file", scratch) if storage.is_remote(target) else made
            known = job.done.get("sha256") if job.done is not None else None
            if known == sha256 and _made_from(own, sha256) and _is_as_made_now(own, source, settings, made.parent):
                return None
            overwrite = overwrite or any(_made_from(own, hash) for hash in (sha256, known))
        if there and storage.is_remote(target) and not overwrite:
            raise exists(Path(storage.name_of(target)))
        return migrate(source, made, **{**settings, "overwrite": overwrite}).plan

    mark, plan = _with_source(job, scratch, migrated)
    if plan is None:
        return _skipped(job)
    if storage.is_remote(target):
        storage.put(made, target)
    return BatchOutcome(
        job.source,
        target,
        "migrated",
        0,
        sha256=plan.origin.sha256,
        mark=mark,
        container=plan.origin.container,
        keras_version=_short(plan.origin.keras_version),
        releases=tuple(f"keras-tcn {reading.generation.releases}" for reading in plan.tcns.values()),
        variables=plan.grades,
        repairs=tuple(repair.sentence for repair in plan.repairs),
        warnings=plan.warnings,
        verified=bool(job.settings.get("verify", True)),
    )


def _with_source(job: Job, scratch: Path, use: Any) -> tuple[str | None, Any]:
    """Calls `use` with the local path of the source and the settings."""
    settings = dict(job.settings)
    architecture = settings.get("architecture")
    if architecture is not None and storage.is_remote(str(architecture)):
        (scratch / "architecture").mkdir()
        settings["architecture"] = storage.fetch(str(architecture), "file", scratch / "architecture")
    if not storage.is_remote(job.source):
        return None, use(Path(job.source), settings)
    folder = scratch / "old"
    folder.mkdir()
    mark = storage.mark_of(job.source) if job.kind == "file" else None
    source = storage.fetch(job.source, job.kind, folder, settings.get("max_bytes", DEFAULT_BYTES))
    try:
        return mark, use(source, settings)
    except ArchitectureNeeded:
        storage.fetch_architectures(job.source, folder)
        return mark, use(source, settings)


def _same_mark(job: Job, target: str) -> bool:
    """Whether the store says that the source is what it was, so that it need not be fetched to be hashed."""
    if job.done is None or job.done.get("mark") is None or not storage.is_remote(job.source):
        return False
    there = storage.exists(target) if storage.is_remote(target) else Path(target).exists()
    return there and storage.mark_of(job.source) == job.done["mark"]


def _skipped(job: Job) -> BatchOutcome:
    entry = dict(job.done or {})
    known: dict[str, Any] = {
        name: entry[name] for name in ("sha256", "mark", "container", "keras_version") if name in entry
    }
    if isinstance(entry.get("verified"), bool):
        known["verified"] = entry["verified"]
    return BatchOutcome(job.source, job.target, "migrated", 0, **known, skipped=True)


def _hash_of(source: Path, settings: Mapping[str, Any]) -> str:
    given = settings.get("architecture")
    try:
        return read_checkpoint(source, None if given is None else architecture_of(given)).origin.sha256
    except ArchitectureNeeded:  # which lies beside it
        from tcn_migrate.migration import plan

        return plan(source, custom_objects=settings.get("custom_objects")).origin.sha256


def _made_from(new: Path, sha256: Any) -> bool:
    """Whether a file is what a migration wrote from the source of this hash."""
    try:
        return sha256 is not None and bool(read_metadata(new)["tcn_migrate"]["source"]["sha256"] == sha256)
    except Exception:  # whatever else it is
        return False


def _is_as_made_now(own: Path, source: Path, settings: Mapping[str, Any], folder: Path) -> bool:
    """Whether a file has every byte that a migration writes now, which are the same each time.

    Neither a journal nor a file's own metadata proves that: both may be anybody's.

    Args:
        folder: where there is room for another one.
    """
    with tempfile.TemporaryDirectory(prefix=f".{own.name[:100]}.", suffix=".part", dir=folder) as scratch:
        from tcn_migrate.migration import migrate

        again = Path(scratch) / "model.keras"
        migrate(source, again, **{**settings, "verify": False, "overwrite": False})
        return filecmp.cmp(own, again, shallow=False)


def remove_unfinished(target: str) -> None:
    """Removes what a killed migration to this target left beside it."""
    if storage.is_remote(target):
        return
    path = Path(target)
    name = re.compile(rf"\.{re.escape(path.name[:100])}\.[A-Za-z0-9_]{{8}}\.part")
    with contextlib.suppress(OSError):
        for folder in path.parent.iterdir():
            if name.fullmatch(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def _short(version: str | None) -> str | None:
    return None if version is None else quoted(version, 20)[1:-1]
