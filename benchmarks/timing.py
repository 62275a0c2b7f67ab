"""How long a command takes and how much memory, as the operating system counts it for the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Command = Sequence[str]
PYTHON = sys.executable
MIGRATE = str(Path(sys.executable).with_name("tcn-migrate"))


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        seconds: wall time.
        peak: bytes of the largest process that it was.
    """

    seconds: float
    peak: int = 0


@dataclass(frozen=True)
class Pair:
    """Two commands side by side: medians, and the median of the ratios of each pair of runs."""

    ours: Cost
    other: Cost
    ratio: float
    peak_ratio: float


def run(command: Command) -> Cost:
    """One run.

    Raises:
        RuntimeError: it ended badly, and what it said.
    """
    # Compiled modules are kept, as of every installed program, and TensorFlow does not greet.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}"
        )
    return Cost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def middle(costs: Sequence[Cost]) -> Cost:
    """The medians of several runs."""
    return Cost(median(cost.seconds for cost in costs), int(median(cost.peak for cost in costs)))


def side_by_side(ours: Command, other: Command, runs: int, before: Callable[[], None] = lambda: None) -> Pair:
    """Two commands in turn, so that what else the machine does meets both.

    Args:
        runs: how many are counted of each, after one that is not.
        before: called before each run, not counted.
    """
    pairs = []
    for number in range(runs + 1):
        before()
        first = run(ours)
        before()
        second = run(other)
        if number:
            pairs.append((first, second))
    return Pair(
        middle([first for first, _ in pairs]),
        middle([second for _, second in pairs]),
        median(first.seconds / second.seconds for first, second in pairs),
        median(first.peak / second.peak for first, second in pairs),
    )
