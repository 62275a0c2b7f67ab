"""tcn-migrate inspect OLD..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import MigrationError


@click.command(
    "inspect",
    epilog="""\b
Examples:
  tcn-migrate inspect old.h5
  tcn-migrate inspect *.keras --json
  tcn-migrate inspect old_weights.h5 --architecture model.json
""",
)
@click.argument("old", nargs=-1, required=True, type=options.LocalPath())
@options.architecture
@options.last_step
@options.custom_objects
@options.max_bytes
@options.machine
def command(old: tuple[Path, ...], custom_objects: str | None, machine: bool, **settings: Any) -> None:
    """Say what is in files and what a migration would do; nothing is written."""
    from tcn_migrate.inspection import inspect

    with show.failures(", ".join(map(str, old)), machine=machine):
        settings["custom_objects"] = options.load_custom_objects(custom_objects)
    worst = 0
    found: list[dict[str, Any]] = []
    for path in old:
        try:
            seen = inspect(path, **settings)
            found.append(seen)
            worst = max(worst, seen["exit_code"])
            if not machine:
                show.inspected(seen)
        except MigrationError as error:
            worst = max(worst, error.exit_code)
            found.append({"path": str(path), "error": error.kind, "message": str(error), "exit_code": error.exit_code})
            if not machine:
                click.echo(show.failed(path, error), err=True)
    if machine:
        show.as_json(found[0] if len(found) == 1 else found)
    raise SystemExit(worst)
