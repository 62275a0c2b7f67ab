"""How time and memory grow: with parameters, blocks, files and samples."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import lines, models
from benchmarks.models import Size
from benchmarks.timing import MIGRATE, Cost, middle, run


@dataclass(frozen=True)
class Growth:
    """How one cost grows.

    Attributes:
        what: is done.
        axis: what it grows with.
        counts: how many of those.
        costs: what each took.
    """

    what: str
    axis: str
    counts: tuple[int, ...]
    costs: tuple[Cost, ...]

    def exponent(self, name: str) -> float:
        """The steepest slope on doubly logarithmic paper between neighbours: 1 is linear.

        Args:
            name: "seconds" or "peak".
        """
        values = [getattr(cost, name) for cost in self.costs]
        pairs = zip(self.counts, values, self.counts[1:], values[1:], strict=False)
        return max(math.log(later / earlier) / math.log(more / fewer) for fewer, earlier, more, later in pairs)


def growths(folder: Path, runs: int) -> Iterator[Growth]:
    """Measures one after the other."""
    sizes = [models.of_parameters(10.0**power) for power in (4, 5, 6, 7, 8)]
    yield _of_sizes("migrate, `--no-verify`", "parameters", sizes, [size.parameters for size in sizes], folder, runs)
    sizes = [Size(blocks, 32) for blocks in (2, 10, 50, 200)]
    yield _of_sizes("migrate, `--no-verify`", "blocks", sizes, [size.blocks for size in sizes], folder, runs)
    yield _of_files(folder, runs)
    yield _of_samples(folder, runs)


def _of_sizes(what: str, axis: str, sizes: list[Size], counts: list[int], folder: Path, runs: int) -> Growth:
    old, new = folder / "old.keras", folder / "new.keras"
    costs = []
    for size in sizes:
        models.apart(models.write_keras, size, old)
        command = [MIGRATE, str(old), str(new), "--no-verify", "--overwrite"]
        run(command)
        costs.append(middle([run(command) for _ in range(runs)]))
    return Growth(what, axis, tuple(counts), tuple(costs))


def _of_files(folder: Path, runs: int) -> Growth:
    old, new, counts = folder / "old", folder / "new", (1, 10, 100, 1000, 2000)
    costs = []
    for count in counts:
        shutil.rmtree(old, ignore_errors=True)
        lines.copies(old, count)
        seen = []
        for _ in range(min(runs, 3)):
            shutil.rmtree(new, ignore_errors=True)
            seen.append(run([MIGRATE, "batch", str(old), "--to", str(new), "--no-verify"]))
        costs.append(middle(seen))
    return Growth("batch, `--no-verify`", "files", counts, tuple(costs))


def _of_samples(folder: Path, runs: int) -> Growth:
    """The time of the measuring alone, without what Python and Keras need to start; the memory of the whole command."""
    old, inputs, new = folder / "old.keras", folder / "x.npy", folder / "new.keras"
    counts = (100, 1_000, 10_000, 100_000)
    models.apart(models.write_keras, Size(2, 32), old, lost=("moving_mean", "moving_variance"))
    costs = []
    for count in counts:
        seconds = median(lines.measured(2, count, min(runs, 3))["measured"])
        models.apart(models.write_inputs, count, inputs)
        command = [MIGRATE, str(old), str(new), "--calibrate", str(inputs), "--no-verify", "--overwrite"]
        costs.append(Cost(seconds, middle([run(command) for _ in range(min(runs, 3))]).peak))
    return Growth("measure the statistics of 4 norms", "samples", counts, tuple(costs))
