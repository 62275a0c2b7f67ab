"""Work as `batch.work` does it, but for files of certain names, which do to their worker as bad files do."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import tcn_migrate.batch.work as real
from tcn_migrate.batch.work import BatchOutcome, Job

HEAVY = ("keras", "tensorflow", "jax", "torch")


def work(job: Job) -> BatchOutcome:
    name = Path(job.source).name
    if "poison" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in name:
        time.sleep(1000)
    if "slow" in name:
        time.sleep(0.3)
    return real.work(job)


def greedy(job: Job) -> BatchOutcome:
    """Takes two gigabytes for files of that name."""
    if "greedy" in job.source:
        real.read_checkpoint = lambda *_: bytearray(2 << 30)  # type: ignore[assignment]
        real._migrated = lambda *_: bytearray(2 << 30)  # type: ignore[assignment, return-value]
    return real.work(job)


def imported(job: Job) -> BatchOutcome:
    """Says what this worker has imported, instead of warnings, and which process it is."""
    outcome = real.work(job)
    return replace(outcome, warnings=tuple(n for n in HEAVY if n in sys.modules), repairs=(str(os.getpid()),))
