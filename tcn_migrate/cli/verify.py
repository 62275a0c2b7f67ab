"""tcn-migrate verify NEW --golden FILE | --against OLD"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import click

from tcn_migrate.cli import options, show

_NOT_VERIFIED = 4


@click.command(
    "verify",
    epilog="""\b
Examples:
  tcn-migrate verify new.keras --against old.h5         every variable, bit for bit
  tcn-migrate verify new.keras --golden recorded.npz    predictions: x and y, or x0, x1 and y0, y1
""",
)
@click.argument("new", type=options.LocalPath())
@click.option("--golden", type=options.LocalPath(), metavar="FILE", help="Recorded inputs and predictions (.npz).")
@click.option("--against", type=options.LocalPath(), metavar="OLD", help="The old file.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="DEVIATIONS",
    help="Largest difference that passes, in standard deviations. [default: 1e-4 for predictions, 0 for variables]",
)
@options.architecture
@options.last_step
@options.custom_objects
@options.max_bytes
@options.machine
def command(
    new: Path,
    golden: Path | None,
    against: Path | None,
    tolerance: float | None,
    architecture: Path | None,
    last_step: bool,
    custom_objects: str | None,
    max_bytes: int,
    machine: bool,
) -> None:
    """Compare a migrated file with recorded predictions, or with the old file's variables.

    Ends with 0 if they agree, and with 4 if they do not.
    """
    if (golden is None) == (against is None):
        raise click.UsageError("Give --golden FILE or --against OLD.")
    from tcn_migrate.comparison import compare_predictions, compare_variables
    from tcn_migrate.verify import SINGLE_TOLERANCE

    with show.failures(str(new), machine=machine):
        classes = options.load_custom_objects(custom_objects)
        if golden is not None:
            what, allowed = "outputs", SINGLE_TOLERANCE if tolerance is None else tolerance
            found = compare_predictions(new, golden, custom_objects=classes, max_bytes=max_bytes)
        else:
            assert against is not None
            what, allowed = "variables", tolerance or 0.0
            found = list(
                compare_variables(
                    new,
                    against,
                    architecture=architecture,
                    last_step=last_step,
                    custom_objects=classes,
                    max_bytes=max_bytes,
                )
            )
    # A NaN is no number that is small enough.
    failed = [one for one in found if not one.equal and not (one.scaled <= allowed and allowed > 0)]
    exit_code = _NOT_VERIFIED if failed else 0
    if machine:
        rows = [{key: _plain(value) for key, value in dataclasses.asdict(one).items()} for one in found]
        show.as_json({what: rows, "tolerance": allowed, "differ": len(failed), "exit_code": exit_code})
        raise SystemExit(exit_code)
    shown: list[Any] = found if what == "outputs" else [one for one in found if not one.equal or one.note]
    if shown:
        show.table(
            what,
            [what[:-1], "largest difference", "in standard deviations", "note"],
            [[one.name, _number(one.largest), _number(one.scaled), one.note or ""] for one in shown],
        )
    equal = sum(one.equal and one.note is None for one in found)
    worst = max((one.scaled for one in found if not math.isnan(one.scaled)), default=0.0)
    show.line(
        f"{equal} of {len(found)} {what} are equal bit for bit; the largest difference is {_number(worst)} "
        f"standard deviations{f'; {len(failed)} differ by more than {allowed:g}' if failed else ''}",
        fg="red" if failed else "green",
    )
    raise SystemExit(exit_code)


def _number(value: float) -> str:
    return "—" if math.isnan(value) else "0" if value == 0 else f"{value:.2g}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
