"""One execution: everything that a migration does but Keras, over one damaged file, in a process of its own."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tcn_migrate.containers import probe
from tcn_migrate.errors import MigrationError, UnexpectedError
from tcn_migrate.inspection import inspect
from tcn_migrate.migration import migrate
from tests.cases import FIXTURES
from tests.fuzz.mutations import mutate_source

SOURCES = (
    *("keras3/one-block/old.keras", "keras3/bidirectional/old.keras", "keras3/nested-functional/old.keras"),
    *(
        "keras3/numbered-from-20-k38/old.keras",
        "keras3/frozen-tcn-h5/old.h5",
        "keras2/zip-weight-norm-tf215-350/old.keras",
    ),
    *("keras2/nested-340/old.h5", "keras2/op-lambda-slicing-340/old.h5", "keras2/tanh-layer-norm-302/old.h5"),
    *("keras2/weight-norm-321/old.h5", "keras2/lambda-between-340/old.h5", "functional/batch-norm-281/old.h5"),
    *("keras2/savedmodel-tf26-340/old", "keras2/savedmodel-same-last-step-291/old", "keras2/checkpoint-tf215-354/old"),
    *("mixed/tf24-random-1/old.h5", "mixed/k315-h5-batch-norm/old.h5"),
)
SECONDS = 10
MEMORY = 512 << 20
OUTPUT = 20_000


@dataclass(frozen=True)
class Fault:
    """An execution that ended as none may: `source` and `seed` make the file again."""

    source: str
    seed: int
    what: str


def sources() -> list[str]:
    return [name for name in SOURCES if (FIXTURES / name).exists()]


def execute(name: str, seed: int) -> str:
    """Inspects and migrates one damaged file, in this process; "passed", or the kind of error.

    Raises:
        Exception: a fault.
    """
    source = FIXTURES / name
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder) / f"old{source.suffix}"
        mutate_source(source, damaged, Random(f"{name} {seed}"))
        target = Path(folder) / "new.keras"
        kind = "passed"
        try:
            inspect(damaged)
        except MigrationError as error:
            kind = check_message(error)
        try:
            migrate(damaged, target, verify=False)
            if kind not in ("passed", "decision"):
                raise AssertionError(f"migrates what inspect calls {kind}")
        except MigrationError as error:
            kind = check_message(error)
            if target.exists():
                raise AssertionError("left a target behind") from None
        left = {path.name for path in Path(folder).iterdir()} - {damaged.name, target.name}
        if left:
            raise AssertionError(f"left {left} behind")
        return kind


def withstands(path: Path, *_: object) -> None:
    """What `tcn_migrate.containers.probe.withstands` does, in a process that need not start first."""
    child = os.fork()
    if child == 0:
        status = 0
        with contextlib.suppress(BaseException):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            status = probe.read_everything(path, probe.CPU_SECONDS)
        os._exit(status)
    probe.refuse(os.waitpid(child, 0)[1])


def check_message(error: MigrationError) -> str:
    if isinstance(error, UnexpectedError):
        raise error.__cause__ or error
    said = str(error)
    if len(said) > OUTPUT or not said.isprintable():
        raise AssertionError(f"says what no terminal should get: {said[:200]!r}")
    return error.kind


def executed(name: str, seeds: range, progress: Path, seconds: float = SECONDS) -> tuple[dict[str, int], Fault | None]:
    """Executes many in one child, which is stopped where it hangs or outgrows its memory.

    Args:
        progress: a file in which the child notes what it is at.

    Returns:
        How often each kind of end came, and the fault that ended it early.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            faulthandler.disable()
            probe.withstands = withstands
            limit = Path("/proc/self/statm")
            mapped = int(limit.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") if limit.exists() else 1 << 32
            resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * MEMORY, resource.RLIM_INFINITY))
            for seed in seeds:
                progress.write_text(str(seed))
                signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor: a busy machine is no hang
                os.write(writer, f"{execute(name, seed)}\n".encode())
            status = 0
        except BaseException:
            os.write(writer, f"!{traceback.format_exc()[-1500:]}".encode())
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    ends: dict[str, int] = {}
    lines, _, problem = text.partition("!")
    for kind in lines.split():
        ends[kind] = ends.get(kind, 0) + 1
    if status == 0 and not problem:
        grown = usage.ru_maxrss * 1024 - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return ends, Fault(name, seeds[0], f"grew by {grown >> 20} MiB") if grown > MEMORY else None
    code = os.waitstatus_to_exitcode(status)
    what = problem or ("a hang" if code == -signal.SIGPROF else f"a crash: signal {-code}")
    return ends, Fault(name, int(progress.read_text()), what)


def long_run(minutes: float, first_seed: int, log: Path | None = None) -> int:
    """Executes for so long, prints the count, and every fault with what makes it again."""
    start, count, batch = time.monotonic(), 0, 50
    ends: dict[str, int] = {}
    faults: list[Fault] = []
    seed, chance = first_seed, Random(first_seed)
    folder = Path(tempfile.mkdtemp())
    try:
        while time.monotonic() - start < 60 * minutes:
            name = chance.choice(sources())
            here, fault = executed(name, range(seed, seed + batch), folder / "progress")
            count += sum(here.values()) + (fault is not None)
            for kind, number in here.items():
                ends[kind] = ends.get(kind, 0) + number
            if fault:
                faults.append(fault)
                print(f"FAULT {fault.source} {fault.seed}: {fault.what}", flush=True)
            seed += batch
            if log:
                log.write_text(f"{count} executions, {len(faults)} faults, {ends}\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    spent = (time.monotonic() - start) / 60
    print(f"{count} executions in {spent:.1f} minutes, {len(faults)} faults; ends: {ends}", file=sys.stdout)
    return 1 if faults else 0
