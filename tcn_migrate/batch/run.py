"""A batch: what is to be done, done on this machine or on a cluster, noted as it is decided.

The worker processes are pebble's: it knows which file a worker died of, ends those that take too long, and replaces
both. What is left to do here: how much is handed out at a time, and what each end means.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pebble

from tcn_migrate.batch import journal as journals
from tcn_migrate.batch import storage
from tcn_migrate.batch.find import Source, find
from tcn_migrate.batch.names import is_name_for, targets, twice
from tcn_migrate.batch.work import BatchOutcome, Job, Verdict, failed, remove_unfinished, work
from tcn_migrate.containers import h5, keras_zip, probe
from tcn_migrate.errors import LibraryMissing, MigrationError, NoRoomError, quoted
from tcn_migrate.inputs import Inputs, check_apart, check_output, inputs, modules_of

PathLike = str | os.PathLike[str]
Work = Callable[[Job], BatchOutcome]

TIME_LIMIT = 600.0
"""Seconds that one file may take. A gigabyte takes a tenth of it, verified."""
FILES_A_WORKER = 1000
"""After so many a worker is replaced: Keras keeps a little of every model that it loads."""
_SINGLE_THREADED = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass(frozen=True)
class Limits:
    """How much of the machine the workers may take.

    Attributes:
        workers: how many processes.
        seconds: for one file; None for any time.
        memory: bytes of each worker; None for all that its machine has. Kept by Linux alone (RLIMIT_DATA).
    """

    workers: int
    seconds: float | None = TIME_LIMIT
    memory: int | None = None


class Workers:
    """Worker processes that outlive whatever file they meet; as a context.

    Args:
        work: what is done with a job, there.
        scratch: where temporary files go.
    """

    def __init__(self, limits: Limits, work: Work = work, *, scratch: str | None = None) -> None:
        self._limits, self._work, self._scratch = limits, work, scratch
        self._started: list[tuple[pebble.ProcessPool, str]] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool, folder in self._started:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
            shutil.rmtree(folder, ignore_errors=True)

    def submit(self, job: Job) -> concurrent.futures.Future[BatchOutcome]:
        """Hands out a job; the first one starts the workers."""
        # A pool whose worker was killed with the pool's lock in its hand takes nothing more.
        if not self._started or not self._started[-1][0].active:
            self._start()
        return self._started[-1][0].schedule(self._work, [job], timeout=self._limits.seconds)

    def _start(self) -> None:
        with _without_interrupts():  # which the pool's threads inherit, and from them the workers
            folder = tempfile.mkdtemp(prefix="tcn-migrate-", dir=self._scratch)
            pool = pebble.ProcessPool(
                self._limits.workers,
                max_tasks=FILES_A_WORKER,
                initializer=_begin,
                initargs=(self._limits, folder),
                context=multiprocessing.get_context("spawn"),
            )
            self._started.append((pool, folder))
            pool.schedule(os.getpid)

    def outcome(self, job: Job, future: concurrent.futures.Future[BatchOutcome]) -> BatchOutcome:
        """What came of a job, also if its worker did not live to tell."""
        verdict: Verdict
        try:
            return future.result()
        except concurrent.futures.TimeoutError:
            error, verdict = _too_slow(self._limits.seconds), "timed out"
        except (pebble.ProcessExpired, concurrent.futures.BrokenExecutor) as ended:
            error, verdict = _died(getattr(ended, "exitcode", None)), "crashed"
        remove_unfinished(job.target or "")
        flaw = _flaw(job)
        return failed(job, error, verdict) if flaw is None else failed(job, flaw)


def _flaw(job: Job) -> MigrationError | None:
    """What the single command would have said of a file that a worker died of, if that is HDF5's doing."""
    path = Path(job.source)
    if storage.is_remote(job.source) or not (h5.matches(path) or keras_zip.matches(path)):
        return None
    try:
        probe.withstands(path)
    except (MigrationError, OSError) as error:
        return error if isinstance(error, MigrationError) else None
    return None


def _begin(limits: Limits, scratch: str) -> None:
    """Prepares a worker before anything heavy is imported."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    probe.be_expendable()
    with open(os.devnull, "wb") as nowhere:  # backends greet, and libraries complain, in the middle of a progress bar
        os.dup2(nowhere.fileno(), 2)
    tempfile.tempdir = scratch
    # Every worker is one of several; and a GPU would be taken whole by the first of them.
    for name in _SINGLE_THREADED if limits.workers > 1 else ():
        os.environ.setdefault(name, "1")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    memory = limits.memory or _all_memory()
    if memory is not None and sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: nobody is left to stop it if its file hangs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; only the first is to act on it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _too_slow(seconds: float | None) -> MigrationError:
    return MigrationError(
        f"took longer than {seconds:g} seconds and was stopped",
        hint="If the file is large or the disk slow: --time-limit SECONDS --resume",
    )


def _died(exit_code: int | None) -> MigrationError:
    how = ""
    if exit_code is not None:
        how = f" (signal {-exit_code})" if exit_code < 0 else f" (exit code {exit_code})"
    return MigrationError(
        f"its worker process died{how}",
        hint="The file is damaged in a way that ends a library, or memory ran out; --resume tries it again",
    )


def run_here(jobs: Iterable[Job], limits: Limits, work: Work = work) -> Iterator[BatchOutcome]:
    """The outcomes of jobs as they finish, done in worker processes of this machine.

    Args:
        jobs: taken as workers get free, so that their number costs no memory.
        work: what is done in a worker.

    Raises:
        MigrationError: no worker can be started.
    """
    _try_process()
    rest = iter(jobs)
    waiting: dict[concurrent.futures.Future[BatchOutcome], Job] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(_clean_up_after, waiting)
        workers = stack.enter_context(Workers(limits, work))
        for job in islice(rest, 2 * limits.workers):
            waiting[workers.submit(job)] = job
        while waiting:
            finished, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                job = waiting.pop(future)
                for following in islice(rest, 1):
                    waiting[workers.submit(following)] = following
                yield workers.outcome(job, future)


def _clean_up_after(waiting: Mapping[Any, Job]) -> None:
    """Removes what jobs left that were stopped with their workers."""
    for job in waiting.values():
        remove_unfinished(job.target or "")


def _try_process() -> None:
    """Starts one process and sees it end well, since a pool would try for ever."""
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    with _without_interrupts():
        process.start()
    process.join()
    if process.exitcode != 0:
        raise MigrationError(
            "worker processes cannot be started from here",
            hint="A script that starts them needs a file of its own, and `if __name__ == '__main__':` around the call",
        )


@dataclass(frozen=True)
class Batch:
    """Everything that is to be done.

    Attributes:
        jobs: one for each checkpoint.
        refused: checkpoints that no job can be made for.
        journal: where the outcomes are noted, or None.
        scheduler: address of a Dask scheduler, or None for this machine.
        work: what is done with a job in a worker.
    """

    jobs: Sequence[Job]
    refused: Sequence[BatchOutcome]
    limits: Limits
    journal: Path | None = None
    scheduler: str | None = None
    work: Work = work

    def __len__(self) -> int:
        return len(self.jobs) + len(self.refused)

    def outcomes(self) -> Iterator[BatchOutcome]:
        """Does the jobs; the outcomes as they come. Closing the iterator stops the workers."""
        folders = _missing_folders(self.jobs)
        try:
            with journals.appended(self.journal) as note:
                for outcome in self._undisturbed():
                    if not outcome.skipped:
                        note(outcome.as_json())
                    yield outcome
                    if outcome.error == NoRoomError.kind:
                        raise NoRoomError(
                            "there is no room for the new files; the batch was stopped",
                            hint="Make room; --resume then goes on",
                        )
                    if outcome.error == LibraryMissing.kind:
                        raise LibraryMissing(
                            "the batch was stopped, as every file would end so", hint="After it, --resume goes on"
                        )
        finally:
            for folder in folders:
                with contextlib.suppress(OSError):  # not empty, as it should be
                    folder.rmdir()

    def _undisturbed(self) -> Iterator[BatchOutcome]:
        yield from self.refused
        if not self.jobs:
            return
        if self.scheduler is None:
            yield from run_here(self.jobs, self.limits, self.work)
        else:
            from tcn_migrate.batch.cluster import run_on_dask

            yield from run_on_dask(self.jobs, self.scheduler, self.limits, self.work)


def _missing_folders(jobs: Sequence[Job]) -> list[Path]:
    """The folders that have to be made for the targets, deepest first."""
    missing: set[Path] = set()
    for folder in {Path(job.target).parent for job in jobs if job.target and not storage.is_remote(job.target)}:
        here = folder
        while here not in missing and not here.exists():
            missing.add(here)
            here = here.parent
    return sorted(missing, key=lambda folder: len(folder.parts), reverse=True)


def prepare(
    sources: PathLike | Iterable[PathLike],
    to: PathLike | None,
    *,
    resume: bool = False,
    journal: PathLike | None = None,
    workers: int | None = None,
    time_limit: float | None = TIME_LIMIT,
    memory_limit: int | None = None,
    scheduler: str | None = None,
    report: PathLike | None = None,
    **settings: Any,
) -> Batch:
    """Finds the checkpoints and decides what becomes of each; the arguments are those of `migrate_many`.

    Args:
        to: None to inspect only.
        report: a page that the caller will write.

    Raises:
        MigrationError: as `migrate_many`; or journal or report are files that are read, or lie inside a source.
    """
    asked = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    folder = None if to is None else _folder(os.fspath(to))
    leave_out = None if folder is None or storage.is_remote(folder) else folder
    if any(_is_folder(path, folder) for path in asked):
        raise MigrationError(
            "the new files would lie among the old ones",
            address=quoted(folder),
            hint="Name another folder, which may lie in this one",
        )
    found = find([os.fspath(path) for path in asked], leave_out=leave_out)
    if found and all(_is_absent(source) for source in found):
        raise MigrationError(
            "there is no such file or folder",
            address=quoted(found[0].path, 200),
            hint="Nothing was begun; name the folder again",
        )
    _check_picklable(settings)
    log = _journal(journal, folder)
    read = _inputs(found, settings)
    written = [Path(place) for place in (log, report) if place is not None]
    for place in written:
        check_output(place, read)
    check_apart(written)
    done: Mapping[str, Mapping[str, Any]] = {}
    if log is not None and resume:
        done = journals.done(log, frozenset(source.path for source in found))
    elif log is not None and log.exists() and log.stat().st_size:  # an empty one is of a run that never began
        if not settings.get("overwrite"):
            next(journals.lines(log), None)  # which refuses what is no journal
            raise MigrationError(
                "there is the journal of an earlier run",
                address=quoted(log, 200),
                hint="--resume goes on with it; --overwrite begins anew; --journal FILE names another",
            )
        journals.begin_anew(log)
    jobs: list[Job] = []
    refused: list[BatchOutcome] = []
    new: Sequence[str | MigrationError | None] = [None] * len(found) if folder is None else targets(found, folder)
    for source, target in zip(found, new, strict=True):
        entry = done.get(source.path)
        if isinstance(target, str) and folder is not None:
            noted = None if entry is None else entry.get("target")
            # A run with other sources may have given this one another name.
            target = noted if isinstance(noted, str) and is_name_for(source, noted, folder) else target
            target = _refused(target, folder, read) or target
        if isinstance(target, MigrationError):
            refused.append(failed(Job(source.path, source.kind, None), target))
            continue
        jobs.append(Job(source.path, source.kind, target, settings, entry, again=resume or scheduler is not None))
    taken = Counter(job.target for job in jobs)
    for job in [job for job in jobs if job.target is not None and taken[job.target] > 1]:
        jobs.remove(job)
        refused.append(failed(replace(job, target=None), twice(str(job.target))))
    limits = Limits(workers or os.cpu_count() or 1, time_limit or None, memory_limit or None)
    return Batch(jobs, refused, limits, log, scheduler)


def _is_absent(source: Source) -> bool:
    return source.kind == "file" and not storage.is_remote(source.path) and not os.path.lexists(source.path)


def _inputs(found: Iterable[Source], settings: Mapping[str, Any]) -> Inputs:
    """Everything on this machine that the batch reads."""
    architecture = settings.get("architecture")
    beside = [] if architecture is None or storage.is_remote(str(architecture)) else [Path(architecture)]
    sources = (Path(source.path) for source in found if not storage.is_remote(source.path))
    return inputs(sources, (*beside, *modules_of(settings.get("custom_objects"))))


def _refused(target: str, folder: str, read: Inputs) -> MigrationError | None:
    """Why a new file cannot be at its place: it is a source, or a link leads out of the folder of the new files."""
    if storage.is_remote(target):
        return None
    try:
        check_output(Path(target), read)
    except MigrationError as error:
        return error
    if not Path(target).parent.resolve().is_relative_to(Path(folder).resolve()):
        return MigrationError(
            "a symbolic link leads out of the folder of the new files, and is not followed",
            address=quoted(target, 200),
            hint="Name the folder that it leads to as --to",
        )
    return None


def _folder(to: str) -> str:
    return to if storage.is_remote(to) else os.path.abspath(storage.local_path(to))


def _is_folder(path: PathLike, folder: str | None) -> bool:
    return folder is not None and _folder(os.fspath(path)).rstrip("/") == folder.rstrip("/")


def _journal(given: PathLike | None, folder: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    if folder is None:
        return None
    return Path(journals.NAME) if storage.is_remote(folder) else Path(folder, journals.NAME)


def _check_picklable(settings: Mapping[str, Any]) -> None:
    try:
        pickle.dumps(dict(settings))
    except Exception as error:
        raise MigrationError(
            f"the settings cannot be sent to worker processes ({quoted(error, 200)[1:-1]})",
            hint="Classes of yours must be in a module that the workers can import",
        ) from None


def _all_memory() -> int | None:
    """The memory of the machine or container: what no worker may pass."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return machine


def migrate_many(
    sources: PathLike | Iterable[PathLike],
    to: PathLike,
    *,
    resume: bool = False,
    journal: PathLike | None = None,
    workers: int | None = None,
    time_limit: float | None = TIME_LIMIT,
    memory_limit: int | None = None,
    scheduler: str | None = None,
    **settings: Any,
) -> Iterator[BatchOutcome]:
    """Migrates many checkpoints in worker processes, and yields what came of each as it finishes.

    A script that calls this needs `if __name__ == "__main__":`, as everything that starts processes in Python.

    Args:
        sources: files, folders (which are searched), SavedModels, checkpoint prefixes, patterns and URLs.
        to: folder or URL for the new files, which lie in it as their sources lie in the folder that they have in
            common.
        resume: go on with an earlier run: a new file that has every byte which a migration writes now is skipped (it is
            written again beside it and compared, but not verified again), what failed is tried again.
        journal: a file that gets one JSON line for each checkpoint; by default `migration.jsonl` in `to`, or in the
            working directory where `to` is a URL.
        workers: how many processes; by default one for each core.
        time_limit: seconds for one checkpoint; None for any time.
        memory_limit: bytes that a worker may take; by default all that the machine has. Linux only.
        scheduler: address of a Dask scheduler, whose workers do it instead; they need tcn-migrate and the same paths.
        settings: of `migrate`, for every checkpoint.

    Raises:
        MigrationError: a source or target that cannot be looked at, or a journal of another run. What is wrong with a
            single checkpoint is its outcome.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)  # a worker that reads a script without the guard; its parent says so
    batch = prepare(
        sources,
        to,
        resume=resume,
        journal=journal,
        workers=workers,
        time_limit=time_limit,
        memory_limit=memory_limit,
        scheduler=scheduler,
        **settings,
    )
    return batch.outcomes()
