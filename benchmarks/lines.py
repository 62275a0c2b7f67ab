"""Every promise about speed, each measured against what a user would do instead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import models
from benchmarks.models import Size
from benchmarks.timing import MIGRATE, PYTHON, Cost, Pair, middle, run, side_by_side

LOAD_AND_SAVE = """
import sys, keras
from tcn_migrate import TCN
keras.saving.load_model(sys.argv[1]).save(sys.argv[2])
"""
LOAD_AND_PREDICT = """
import sys, keras, numpy
from tcn_migrate import TCN
model = keras.saving.load_model(sys.argv[1])
model.predict(numpy.zeros((1, *model.input_shape[1:]), "float32"), verbose=0)
"""
COPY = """
import os, shutil, sys
shutil.copyfile(sys.argv[1], sys.argv[2])
with open(sys.argv[2], "rb+") as file:
    os.fsync(file.fileno())
"""
TEN_MILLION = models.of_parameters(10e6)
GIGABYTE = Size(blocks=8, filters=2048, kernel_size=4)
SMALL = Size(blocks=4, filters=16)
SEPARATE = 10
"""How many of 200 separate calls are timed."""


@dataclass(frozen=True)
class Line:
    """One promise and what was seen.

    Attributes:
        what: is done, by this program.
        instead: what a user would do.
        ours, other: how long each took, with memory where it matters.
        seen: the figure that the promise is about.
        promised: its limit.
        kept: whether it was met.
    """

    what: str
    instead: str
    ours: str
    other: str
    seen: str
    promised: str
    kept: bool


def unverified(folder: Path, runs: int) -> Iterator[Line]:
    """Ten million parameters, against Keras on a file that it can load."""
    twin = folder / "twin.keras"
    for write, old in ((models.write_keras, folder / "ten.keras"), (models.write_h5, folder / "ten.h5")):
        models.apart(write, TEN_MILLION, old)
        run([MIGRATE, str(old), str(twin), "--no-verify", "--overwrite"])
        new = folder / "new.keras"
        pair = side_by_side(
            [MIGRATE, str(old), str(new), "--no-verify"],
            [PYTHON, "-c", LOAD_AND_SAVE, str(twin), str(folder / "saved.keras")],
            runs,
            lambda new=new: new.unlink(missing_ok=True),  # type: ignore[misc]
        )
        yield Line(
            f"migrate {old.suffix}, 10 million parameters, `--no-verify`",
            "load and save a healthy twin in Keras",
            f"{_seconds(pair.ours)}, {_mib(pair.ours)}",
            f"{_seconds(pair.other)}, {_mib(pair.other)}",
            f"1/{1 / pair.ratio:.1f} of the time, 1/{1 / pair.peak_ratio:.1f} of the memory",
            "1/10 and 1/4",
            pair.ratio <= 1 / 10 and pair.peak_ratio <= 1 / 4,
        )
    _clear(folder)


def verified(folder: Path, runs: int) -> Iterator[Line]:
    """With its proof, against loading what came out and predicting once."""
    for name, size in (("10 million", TEN_MILLION), (f"{SMALL.parameters:,}".replace(",", " "), SMALL)):
        old, new, twin = folder / "old.keras", folder / "new.keras", folder / "twin.keras"
        models.apart(models.write_keras, size, old)
        run([MIGRATE, str(old), str(twin), "--no-verify", "--overwrite"])
        pair = side_by_side(
            [MIGRATE, str(old), str(new)],
            [PYTHON, "-c", LOAD_AND_PREDICT, str(twin)],
            runs,
            lambda new=new: new.unlink(missing_ok=True),  # type: ignore[misc]
        )
        yield _ratio(f"migrate and verify, {name} parameters", "load in Keras and predict once", pair, 1.15)
    _clear(folder)


def large(folder: Path, runs: int) -> Iterator[Line]:
    """A gigabyte, against copying it."""
    new, copy = folder / "new.keras", folder / "copy"

    def before() -> None:
        new.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
        os.sync()
        # A virtual machine gives idle memory back, and to take it again costs more than a copy: both meet warm memory.
        run([PYTHON, "-c", "bytes([1]) * (4 << 30)"])

    for write, old in ((models.write_keras, folder / "old.keras"), (models.write_h5, folder / "old.h5")):
        models.apart(write, GIGABYTE, old)
        pair = side_by_side(
            [MIGRATE, str(old), str(new), "--no-verify"], [PYTHON, "-c", COPY, str(old), str(copy)], runs, before
        )
        most = 2 * 4 * GIGABYTE.kernel_size * GIGABYTE.filters**2 + 100_000_000
        yield Line(
            f"migrate {old.suffix}, 1 GB, `--no-verify`",
            "copy it, with fsync",
            f"{_seconds(pair.ours)}, {_mib(pair.ours)}",
            _seconds(pair.other),
            f"{pair.ratio:.2f} times the time, {_mib(pair.ours)}",
            f"2.5 times, {most >> 20} MiB",
            pair.ratio <= 2.5 and pair.ours.peak <= most,
        )
        _clear(folder)


def inspected(folder: Path, runs: int) -> Iterator[Line]:
    """One file, against Python with h5py."""
    models.write_keras(SMALL, folder / "old.keras")
    pair = side_by_side([MIGRATE, "inspect", str(folder / "old.keras")], [PYTHON, "-c", "import h5py"], 4 * runs)
    _clear(folder)
    yield _ratio("inspect", '`python -c "import h5py"`', pair, 2.5)


def batches(folder: Path, runs: int) -> Iterator[Line]:
    """Many small files."""
    old, new, runs = folder / "old", folder / "new", min(runs, 3)
    copies(old, 1000)
    cost = middle([run([MIGRATE, "batch", str(old), "--inspect-only"]) for _ in range(runs)])
    yield Line("inspect 1000 files", "", _seconds(cost), "", f"{cost.seconds:.1f} s", "10 s", cost.seconds <= 10)
    costs = []
    for _ in range(runs):
        shutil.rmtree(new, ignore_errors=True)
        costs.append(run([MIGRATE, "batch", str(old), "--to", str(new), "--no-verify"]))
    cost = middle(costs)
    rate = 1000 / cost.seconds
    yield Line(
        "batch of 1000 files, `--no-verify`", "", _seconds(cost), "", f"{rate:.0f} files/s", "50 files/s", rate >= 50
    )
    _clear(folder)
    copies(old, 200)
    single = folder / "single"
    single.mkdir()
    each = middle([run([MIGRATE, str(old / f"{k:04}.keras"), str(single / f"{k}.keras")]) for k in range(SEPARATE)])
    cost = run([MIGRATE, "batch", str(old), "--to", str(new)])
    times = 200 * each.seconds / cost.seconds
    yield Line(
        "batch of 200 files, verified",
        f"200 calls (200 times the median of {SEPARATE})",
        _seconds(cost),
        f"{200 * each.seconds:.0f} s",
        f"{times:.1f} times faster",
        "8 times",
        times >= 8,
    )
    _clear(folder)


def calibrated(_: Path, runs: int) -> Iterator[Line]:
    """Measuring lost statistics, against one prediction over the same data."""
    for blocks in (2, 20):
        seen = measured(blocks, 20_000, runs)
        ours, other = Cost(median(seen["measured"])), Cost(median(seen["predicted"]))
        ratio = median(a / b for a, b in zip(seen["measured"], seen["predicted"], strict=True))
        yield _ratio(
            f"measure the statistics of {2 * blocks} norms, 20 000 inputs",
            "one `model.predict` over them",
            Pair(ours, other, ratio, 1),
            1.5,
        )


def measured(blocks: int, samples: int, runs: int) -> dict[str, list[float]]:
    """What `benchmarks.calibration` prints."""
    command = [PYTHON, "-m", "benchmarks.calibration", str(blocks), str(samples), str(runs)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seen: dict[str, list[float]] = json.loads(printed.splitlines()[-1])
    return seen


def copies(folder: Path, count: int) -> None:
    """A folder of small checkpoints, each with values of its own."""
    folder.mkdir(parents=True)
    for number in range(count):
        models.write_keras(SMALL, folder / f"{number:04}.keras", seed=number)


def _ratio(what: str, instead: str, pair: Pair, most: float) -> Line:
    return Line(
        what,
        instead,
        _seconds(pair.ours),
        _seconds(pair.other),
        f"{pair.ratio:.2f} times",
        f"{most}",
        pair.ratio <= most,
    )


def _seconds(cost: Cost) -> str:
    return f"{cost.seconds:.2f} s"


def _mib(cost: Cost) -> str:
    return f"{cost.peak >> 20} MiB"


def _clear(folder: Path) -> None:
    """Removes what was made, and lets the disk come to rest."""
    shutil.rmtree(folder)
    folder.mkdir()
    os.sync()
    time.sleep(1)


GROUPS: dict[str, Callable[[Path, int], Iterator[Line]]] = {
    "unverified": unverified,
    "verified": verified,
    "large": large,
    "inspected": inspected,
    "batches": batches,
    "calibrated": calibrated,
}
"""Each with a folder where files are made, two gigabytes at most at a time, and how often each command is timed, after
one run that is not."""
