"""The same work on a Dask cluster. Dask hands jobs out, and again where a machine is lost; it comes with `[dask]`.

Each Dask worker passes its jobs to worker processes of its own, as `run` has them here: Dask has no time limit for a
task, and of a file that kills its process it would lose whole workers, with the other jobs that they had.
"""

from __future__ import annotations

import multiprocessing
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from tcn_migrate.batch.run import Limits, Work, Workers
from tcn_migrate.batch.work import BatchOutcome, Job, failed, work
from tcn_migrate.errors import MigrationError, quoted

IN_FLIGHT = 1000
"""Jobs that the scheduler knows of at a time: enough for any cluster, and little for its memory."""

_lock = threading.Lock()
_workers: dict[str, Workers] = {}
"""Of this process, if it is a Dask worker, by the run that they are for."""


def run_on_dask(jobs: Iterable[Job], address: str, limits: Limits, work: Work = work) -> Iterator[BatchOutcome]:
    """The outcomes of jobs as they finish, done by the workers of a Dask scheduler.

    Args:
        address: of the scheduler, such as "tcp://10.0.0.1:8786".
        limits: for each file; how many run at a time is up to the cluster.

    Raises:
        MigrationError: Dask is not installed, or no scheduler answers.
    """
    client, as_completed = _connected(address)
    rest, run = iter(jobs), uuid.uuid4().hex
    waiting: dict[str, Job] = {}
    with client:

        def submitted(job: Job) -> Any:
            future = client.submit(guarded, job, limits, work, run, pure=False)
            waiting[future.key] = job
            return future

        running = as_completed(loop=client.loop, raise_errors=False)
        try:
            for job in islice(rest, IN_FLIGHT):
                running.add(submitted(job))
            for future in running:
                job = waiting.pop(future.key)
                for following in islice(rest, 1):
                    running.add(submitted(following))
                yield _outcome(job, future)
        finally:
            client.cancel(list(running.futures))
            client.run(close, run, on_error="ignore")


def _connected(address: str) -> tuple[Any, Any]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise MigrationError(
            "a scheduler needs the package distributed",
            hint="pip install 'tcn-migrate[dask]', here and where the workers run",
        ) from None
    try:
        return Client(address, set_as_default=False), as_completed
    except (OSError, ValueError) as error:
        raise MigrationError(
            f"no scheduler answers ({quoted(error, 200)[1:-1]})",
            address=quoted(address),
            hint="Start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
        ) from None


def _outcome(job: Job, future: Any) -> BatchOutcome:
    try:
        outcome: BatchOutcome = future.result()
    except Exception as error:  # the machines were lost, one after the other, or have no tcn-migrate
        lost = MigrationError(
            f"the cluster gave it up ({type(error).__name__}: {quoted(error, 200)[1:-1]})",
            hint="--resume tries it again",
        )
        return failed(job, lost, "crashed")
    return outcome


def guarded(job: Job, limits: Limits, work: Work, run: str) -> BatchOutcome:
    """Does a job in a worker process of this Dask worker."""
    with _lock:
        workers = _own_workers(limits, work, run)
        future = workers.submit(job)
    return workers.outcome(job, future)


def close(run: str) -> None:
    """Ends the worker processes that this Dask worker has for a run."""
    with _lock:
        workers = _workers.pop(run, None)
    if workers is not None:
        workers.__exit__()


def _own_workers(limits: Limits, work: Work, run: str) -> Workers:
    from distributed import get_worker

    if run not in _workers:
        dask = get_worker()
        # Dask's workers are daemons, which may have no processes of their own, lest they be left over. Ours end when
        # the pipe to this process does.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        _workers[run] = Workers(replace(limits, workers=dask.state.nthreads), work, scratch=dask.local_directory)
    return _workers[run]
