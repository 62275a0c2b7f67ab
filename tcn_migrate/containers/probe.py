"""Whether HDF5's own library withstands a file, tried in a process of its own before it is read in this one.

On a damaged file the library may divide by zero, read beyond its memory or follow a circle for ever (HDF5 1.14.6: a
flipped bit in the global heap or in a B-tree is enough). None of that is an exception; it ends or hangs the process. So
another process reads everything once, with bounded time and memory, and what kills it is not read here.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tcn_migrate.containers.bounds import ALWAYS_ALLOWED, LARGEST_EXPANSION, MIB
from tcn_migrate.errors import ContainerError, MigrationError

CPU_SECONDS = 4
"""What the smallest file may take; reading one takes a tenth of that."""
BYTES_A_SECOND = 50 * MIB
"""What the slowest disk and filter read."""
MEMORY = 256 * MIB
"""What reading may take besides the array that is read."""
TOO_MUCH = 75
"""The status of a process that found a part that cannot be read within its memory."""
WAIT = 10
"""How many times longer than its processor time a process may take on a busy machine."""


_expendable = False


def be_expendable() -> None:
    """Says that this process may be lost, and that whoever started it sees how it ends: no other one is needed then."""
    global _expendable
    _expendable = True


def nothing() -> None:
    """What is done meanwhile if nobody says."""


def withstands(path: Path, meanwhile: Callable[[], None] = nothing) -> None:
    """Returns if everything in an HDF5 file or `.keras` archive can be read, whether it makes sense or not.

    Args:
        meanwhile: called while the other process tries it, if that is a copy of this one.

    Raises:
        ContainerError: reading it crashes HDF5's library, takes too much memory, or never ends.
    """
    from tcn_migrate.containers import h5, keras_zip  # noqa: F401  (else the other process would load them for itself)

    if _expendable:
        # What can be known to be damaged does not reach the library: it need not crash on it, it may never end.
        if keras_zip.matches(path):
            keras_zip.compare_checksum(path)
        return
    seconds = CPU_SECONDS + path.stat().st_size // BYTES_A_SECOND
    refuse(_forked(path, seconds, meanwhile) if _may_fork() else _started(path, seconds))


def _may_fork() -> bool:
    """A copy of this process is had in a millisecond, but not of one that a framework has filled with threads."""
    return hasattr(os, "fork") and not {"tensorflow", "jax", "torch"} & set(sys.modules)


def _forked(path: Path, seconds: int, meanwhile: Callable[[], None] = nothing) -> int:
    """How a copy of this process ended that read everything; 0 if well."""
    alive, held = os.pipe()  # the copy alone holds the end that is written to, so that reading ends when it does
    child = os.fork()
    if child == 0:
        status = 0
        try:
            status = read_everything(path, seconds)
        finally:
            os._exit(status)  # whatever else was raised: only a crash counts
    os.close(held)
    end = select.poll()  # which takes any descriptor, as `select` does not
    end.register(alive)
    ended = False
    try:
        meanwhile()
        ended = bool(end.poll(1000 * WAIT * seconds))
    finally:
        if not ended:
            os.kill(child, signal.SIGKILL)
        os.close(alive)
        status = os.waitpid(child, 0)[1]
    return status


def _started(path: Path, seconds: int) -> int:
    """How another interpreter ended that read everything; 0 if well."""
    import subprocess

    command = [sys.executable, "-P", "-m", "tcn_migrate.containers.probe", os.path.abspath(path), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    nowhere = subprocess.DEVNULL
    try:
        status = subprocess.run(
            command,
            env=environment,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            timeout=WAIT * seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return -9  # as if killed; Windows has no SIGKILL
    except OSError:
        return 0  # no interpreter to start, as in a frozen program
    # A signal, or a status that Windows gives to a crash; any other is of an interpreter that could not start.
    return status if status < 0 or status >= 1 << 31 or status == TOO_MUCH else 0


def refuse(ended: int) -> None:
    """Says what it means that the other process ended so."""
    if ended:
        raise ContainerError(
            "is damaged: HDF5's library crashes on it, never ends, or takes more memory than the file can be worth",
            hint="Copy it again from where it came",
        )


def read_everything(path: Path, seconds: int) -> int:
    """Reads all headers and arrays, with bounded time and memory; what cannot be read in order is no matter here.

    Left out are a large array that lies in one piece, which is a copy of bytes, with which nothing can go wrong; one
    that is cut into chunks, whose index is read here, but which `chunks` unpacks within bounds; and one that nobody
    reads, since no file of this size holds it.

    Returns:
        0, or `TOO_MUCH` where something could not be read within the memory. Such a part may be tiny: a list of texts
        may be one text of many MiB over and over.
    """
    from tcn_migrate.containers import h5, keras_zip

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if not keras_zip.matches(path) and not h5.matches(path):
        return 0
    bound, peak = _memory_bound(), _peak()
    bound(0)
    try:
        nothing = {"class_name": "", "config": {}}
        checkpoint = keras_zip.unchecked(path) if keras_zip.matches(path) else h5.read(path, nothing)
    except (MigrationError, MemoryError) as error:
        return TOO_MUCH if _was_memory(error, peak) else 0
    largest = max(ALWAYS_ALLOWED, LARGEST_EXPANSION * path.stat().st_size)
    for array in checkpoint.arrays.values():
        size = 8 * math.prod(array.shape)
        copy = array.part and array.stored_bytes > MIB
        if array.flaw is None and size <= largest and not copy and not array.proved_by_reading:
            bound(4 * size)
            try:
                array.read()
            except (MigrationError, MemoryError) as error:
                if _was_memory(error, peak):
                    return TOO_MUCH
    return 0


def _memory_bound() -> Callable[[int], None]:
    """A function that lets this process take `MEMORY` from now on, and so many bytes more; without Linux none."""
    try:
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return lambda more: None
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]

    def bound(more: int) -> None:
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY + more, hard))

    return bound


def _peak() -> int:
    """The most memory that this process had so far, in bytes; 0 where nobody counts it."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _was_memory(error: BaseException, peak: int) -> bool:
    """Whether it was memory that a reading lacked. HDF5 says so in its error's words alone; its filters do not say it.

    Args:
        peak: before anything was read. Filters double what they have until nothing is left.
    """
    cause = error.__context__ or error
    if isinstance(cause, OSError) and ("alloc" in str(cause) or _peak() - peak > MEMORY // 4):
        return True
    return isinstance(cause, MemoryError)


if __name__ == "__main__":
    status = 0
    with contextlib.suppress(Exception):
        status = read_everything(Path(sys.argv[1]), int(sys.argv[2]))
    sys.exit(status)
