"""tcn-migrate plan OLD"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import quoted


@click.command(
    "plan",
    epilog="""\b
Examples:
  tcn-migrate plan old.h5
  tcn-migrate plan old.h5 --target plain --json
""",
)
@click.argument("old", type=options.LocalPath())
@options.architecture
@options.target
@options.last_step
@options.drop_optimizer
@options.max_bytes
@options.custom_objects
@options.machine
def command(old: Path, custom_objects: str | None, machine: bool, **settings: Any) -> None:
    """Print every move, fold, repair and ignored array of a migration; nothing is written."""
    from tcn_migrate.inspection import ALREADY
    from tcn_migrate.migration import plan
    from tcn_migrate.naming.entries import spoken
    from tcn_migrate.outcome import plan_as_json
    from tcn_migrate.recovery.decide import Means, examine, settle

    with show.failures(str(old), machine=machine):
        classes = options.load_custom_objects(custom_objects)
        decided = plan(old, custom_objects=classes, **settings)
        if machine:
            show.as_json(plan_as_json(decided))
        else:
            show.described(decided)
            if decided.loads_already:
                show.line(f"  {ALREADY}")
            show.table(
                "moves",
                ["variable", "shape", "how", "from", "to"],
                [
                    [
                        spoken(move.address),
                        str(move.shape),
                        move.grade,
                        ", ".join(quoted(source.name)[1:-1] for source in move.sources),
                        move.target,
                    ]
                    for move in decided.moves
                ],
            )
            if decided.ignored:
                show.table("ignored", ["array", "why"], [[quoted(n)[1:-1], why] for n, why in decided.ignored.items()])
            for text in decided.warnings:
                show.warning(text)
        settle(decided, examine(decided), Means())
