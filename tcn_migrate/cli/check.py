"""tcn-migrate check PATH..."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import MigrationError, quoted

_CODES = {"healthy": 0, "needs migration": 1, "decision": 3, "damaged": 4, "unsafe": 4}
_COLOURS = {0: "green", 1: "yellow", 3: "yellow", 4: "red"}
_STATES = {"container": "damaged", "setting": "damaged", "array": "damaged", "unsafe": "unsafe"}
"""What a file is that cannot be planned, by the kind of the error. Every other kind needs something of the user."""


@click.command(
    "check",
    epilog="""\b
Examples:
  tcn-migrate check model.keras                 is it healthy today?
  tcn-migrate check models --json               all checkpoints below a folder
  tcn-migrate check -q models                   the exit code only

\b
Exit codes, the worst of all files:
  0  healthy: Keras 3 and an unmodified keras-tcn 3.5.5 or later load it as it is
  1  needs migration, which is exact: tcn-migrate OLD
  2  the command was not understood, or a path is not there
  3  decision: the migration needs something of you, or refuses the model; the line says what
  4  damaged: cut off or inconsistent; or unsafe: it holds code or points out of itself
""",
)
@click.argument("paths", nargs=-1, required=True, type=options.LocalPath(), metavar="PATH...")
@options.architecture
@options.last_step
@options.custom_objects
@options.max_bytes
@click.option("--quiet", "-q", is_flag=True, help="Print nothing; the exit code says it.")
@options.machine
def command(paths: tuple[Any, ...], custom_objects: str | None, quiet: bool, machine: bool, **settings: Any) -> None:
    """Say in one line for each file whether it loads today; nothing is written.

    PATH is a checkpoint, or a folder that is searched for them. Meant for continuous integration and pre-commit.
    """
    from tcn_migrate.batch.find import find

    try:
        settings["custom_objects"] = options.load_custom_objects(custom_objects)
        found = find(list(map(str, paths)))
    except MigrationError as error:  # whose own exit code says something else here
        raise click.UsageError(str(error)) from None
    for source in found:
        if source.kind == "file" and not os.path.lexists(source.path):
            raise click.UsageError(f"{quoted(source.path, 200)}: there is no such file or folder.")
    worst = 0
    rows = []
    for source in found:
        state, sentence = _state(_shortest(source.path), settings)
        code = _CODES[state]
        worst = max(worst, code)
        rows.append({"path": source.path, "state": state, "message": sentence, "exit_code": code})
        if not (quiet or machine):
            path = quoted(_shortest(source.path), 200)[1:-1]
            click.echo(f"{path}: {click.style(state, fg=_COLOURS[code])}{': ' if sentence else ''}{sentence}")
    if machine:
        show.as_json(rows)
    elif not found and not quiet:
        click.echo("no checkpoint was found", err=True)
    raise SystemExit(worst)


def _state(path: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """What one file is, and why in a sentence."""
    from tcn_migrate.inspection import ALREADY, inspect

    try:
        seen = inspect(path, **settings)
    except MigrationError as error:
        said = show.failed(path, error).removeprefix(f"{quoted(path, 200)[1:-1]}: ")
        return _STATES.get(error.kind, "decision"), said
    if seen["exit_code"]:
        return "decision", str(seen["verdict"])
    if seen["verdict"] == ALREADY:
        return "healthy", ""
    return "needs migration", f"written by Keras {quoted(seen['keras_version'], 20)[1:-1]}" if seen[
        "keras_version"
    ] else ""


def _shortest(path: str) -> str:
    """A path as a person would type it from here."""
    here = os.path.relpath(path) if os.path.splitdrive(path)[0] == os.path.splitdrive(os.getcwd())[0] else path
    return path if here.startswith(os.pardir) else here
