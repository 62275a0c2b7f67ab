"""tcn-migrate OLD [NEW]"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tcn_migrate.cli import options, show


@click.command(
    "migrate",
    epilog="""\b
Examples:
  tcn-migrate old.h5                                     writes old.keras
  tcn-migrate old.h5 new.keras --target plain            needs no custom class to load
  tcn-migrate old_weights.h5 --architecture model.json   weights alone
  tcn-migrate old.keras --reference recorded.npz         norms are lost, predictions are recorded
  tcn-migrate old.h5 --report page.html                  a page to look at and to hand on
""",
)
@click.argument("old", type=options.LocalPath())
@click.argument("new", type=options.LocalPath(), required=False)
@options.architecture
@options.target
@options.last_step
@options.drop_optimizer
@options.max_bytes
@options.custom_objects
@click.option(
    "--reference",
    type=options.LocalPath(),
    metavar="FILE",
    help="Recorded inputs x and the old model's predictions y (.npz): lost norms are refitted to them; where none are "
    "lost, the new model is compared with them.",
)
@click.option(
    "--calibrate",
    "calibration",
    type=options.LocalPath(),
    metavar="FILE",
    multiple=True,
    help="Inputs like the training data (.npz, .npy, .csv, .parquet): lost statistics are measured from them.",
)
@click.option("--reinitialize", is_flag=True, help="Start afresh with lost variables that nothing else brings back.")
@click.option(
    "--remeasure",
    type=click.Choice(["suspect", "all"]),
    help="Recover also norms that are in the file: suspect ones, or the statistics of all.",
)
@click.option("--keep-suspect", is_flag=True, help="Take suspect norms as they are.")
@click.option(
    "--accept-error",
    type=click.FloatRange(0, min_open=True),
    metavar="DEVIATIONS",
    help="Write NEW although its predictions differ from those of --reference by more than expected, up to this.",
)
@click.option("--overwrite", is_flag=True, help="Replace NEW if it exists.")
@click.option("--verify/--no-verify", default=True, help="Load the new file and prove that it computes the same.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
@click.option(
    "--report", type=options.LocalPath(), metavar="FILE", help="Write what was done: a page (.html), or JSON."
)
@options.machine
def command(
    old: Path,
    new: Path | None,
    custom_objects: str | None,
    calibration: tuple[Path, ...],
    quiet: bool,
    report: Path | None,
    machine: bool,
    **settings: Any,
) -> None:
    """Migrate one checkpoint: OLD is read, NEW is written.

    Without NEW: OLD with the suffix .keras, never OLD itself.
    """
    from tcn_migrate.inputs import check_apart, check_output
    from tcn_migrate.inspection import inspect
    from tcn_migrate.migration import all_inputs, default_output, migrate

    if settings["accept_error"] is not None and settings["reference"] is None:
        raise click.UsageError("--accept-error needs --reference.")
    data, target = list(calibration) or None, new or default_output(old)

    def seen() -> Any:
        known = {name: settings[name] for name in ("architecture", "last_step", "max_bytes")}
        return inspect(old, custom_objects=classes, **known)

    with show.failures(str(old), machine=machine):  # and not into a report that is a file of somebody else's
        classes = options.load_custom_objects(custom_objects)
        if report is not None:
            check_output(report, all_inputs(old, settings["architecture"], settings["reference"], data, classes))
            check_apart([target, report])
            show.check_report(report)
    with (
        show.failures(str(old), machine=machine, report=report, seen=seen, new=target, given=options.given()),
        show.progress(quiet or machine) as said,
    ):
        outcome = migrate(old, new, custom_objects=classes, calibration=data, progress=said, **settings)
        if report is not None:
            show.write_report(report, outcome.as_json, outcome.report)
    if machine:
        show.as_json(outcome.as_json())
        return
    for text in outcome.warnings:
        show.warning(text)
    if not quiet:
        show.migrated(outcome)
