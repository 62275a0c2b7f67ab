"""tcn-migrate diff OLD NEW"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import quoted


@click.command(
    "diff",
    epilog="""\b
Examples:
  tcn-migrate diff old.h5 new.keras                      a file and its migration: no difference
  tcn-migrate diff monday.keras friday.keras             what training changed
  tcn-migrate diff old.h5 new.keras --report page.html   as a page to look at

\b
Exit codes:
  0  both hold the same settings and, bit for bit, the same variables
  1  they differ, or one of them cannot be read; the message says which
""",
)
@click.argument("old", type=options.LocalPath())
@click.argument("new", type=options.LocalPath())
@options.custom_objects
@options.max_bytes
@click.option(
    "--report", type=options.LocalPath(), metavar="FILE", help="Write the differences: a page (.html), or JSON."
)
@options.machine
def command(
    old: Path, new: Path, custom_objects: str | None, max_bytes: int, report: Path | None, machine: bool
) -> None:
    """Show what differs between two checkpoints: settings of layers, and variables.

    Both are read as a migration reads them, so that what Keras 3 only writes in another way is no difference. Neither
    is changed. Optimizers and their states are not compared.
    """
    from tcn_migrate.comparison import compare_files
    from tcn_migrate.inputs import check_output
    from tcn_migrate.migration import all_inputs

    with show.failures(str(old), machine=machine):
        classes = options.load_custom_objects(custom_objects)
        if report is not None:
            for source in (old, new):
                check_output(report, all_inputs(source, custom_objects=classes))
            show.check_report(report)
        settings, variables = compare_files(old, new, custom_objects=classes, max_bytes=max_bytes)
        unequal = [one for one in variables if not one.equal]
        exit_code = 1 if settings or unequal else 0

        def content() -> dict[str, Any]:
            return {
                "old": str(old),
                "new": str(new),
                "settings": [dataclasses.asdict(one) for one in settings],
                "variables": [
                    {
                        key: None if isinstance(v, float) and math.isnan(v) else v
                        for key, v in dataclasses.asdict(one).items()
                    }
                    for one in variables
                ],
                "exit_code": exit_code,
            }

        def page() -> str:
            from tcn_migrate.report.differences import compared

            return compared(old, new, settings, variables)

        if report is not None:
            show.write_report(report, content, page)
    if machine:
        show.as_json(content())
        raise SystemExit(exit_code)
    if settings:
        show.table(
            "settings",
            ["layer", "setting", "old", "new"],
            [
                ["/".join(quoted(p, 40)[1:-1] for p in one.layer) or "the model", quoted(one.setting)[1:-1]]
                + ["not set" if value is None else quoted(value, 120)[1:-1] for value in (one.was, one.now)]
                for one in settings
            ],
        )
    if unequal:
        show.table(
            "variables",
            ["variable", "largest difference", "in standard deviations", "note"],
            [[one.name, _number(one.largest), _number(one.scaled), one.note or ""] for one in unequal],
        )
    show.line(
        f"{len(variables) - len(unequal)} of {len(variables)} variables are equal bit for bit; "
        f"{len(settings) or 'no'} settings differ",
        fg="yellow" if exit_code else "green",
    )
    raise SystemExit(exit_code)


def _number(value: float) -> str:
    return "—" if math.isnan(value) else "0" if value == 0 else f"{value:.2g}"
