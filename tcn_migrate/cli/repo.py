"""tcn-migrate repo DIR"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import MigrationError, quoted, shell_command

if TYPE_CHECKING:
    from tcn_migrate.project.migrate import Result


@click.command(
    "repo",
    epilog="""\b
Examples:
  tcn-migrate repo project                        look: what is there, and what would change
  tcn-migrate repo project --write                migrate every model beside the old one
  tcn-migrate repo project --patch keras3.patch   write the patch of the code for git apply
  tcn-migrate repo project --write --apply        migrate, and change the code
""",
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--write", is_flag=True, help="Migrate every model beside the old one. Nothing is overwritten.")
@click.option("--apply", "applied", is_flag=True, help="Change the code as the patch says.")
@click.option(
    "--patch", type=click.Path(path_type=Path), metavar="FILE", help="Write the patch of code and requirements here."
)
@click.option(
    "--load-in-place",
    is_flag=True,
    help="The code is to open the old files with tcn_migrate.load_model; no model is written.",
)
@options.target
@options.custom_objects
@click.option("--verify/--no-verify", default=True, help="Load each new file and prove that it computes the same.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a page with a row for each model."
)
@options.machine
def command(
    folder: Path,
    write: bool,
    applied: bool,
    patch: Path | None,
    load_in_place: bool,
    target: str,
    custom_objects: str | None,
    verify: bool,
    quiet: bool,
    report: Path | None,
    machine: bool,
) -> None:
    """Look through a project, migrate its models, and patch the code that loads them.

    DIR is a checkout. Models are recognized by content, and code is parsed, never run. Without --write and --apply
    nothing in DIR changes.
    """
    from tcn_migrate.project.migrate import apply, migrate_project

    if applied and not (write or load_in_place):
        raise click.UsageError(
            "--apply needs --write or --load-in-place: the code would load files that are not there."
        )
    with show.failures(str(folder), machine=machine), show.progress(quiet or machine) as said:
        result = migrate_project(
            folder,
            write=write,
            load_in_place=load_in_place,
            target=target,
            custom_objects=options.load_custom_objects(custom_objects),
            verify=verify,
            progress=said,
        )
        if patch is not None:
            _new_file(patch, result.patch)
        if report is not None:
            _page(report, result)
        if applied:
            apply(result)
    if machine:
        show.as_json(result.as_json())
    elif not quiet:
        _described(result, patch, write=write, applied=applied)
    raise SystemExit(result.exit_code)


def _new_file(place: Path, text: str) -> None:
    try:
        with place.open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise MigrationError("exists and is not overwritten", address=quoted(place), hint="Give another name") from None
    except OSError as error:
        raise MigrationError(f"cannot be written ({error.strerror})", address=quoted(place)) from None


def _page(report: Path, result: Result) -> None:
    from tcn_migrate.report.index import indexed

    rows = [
        {
            "source": str(result.project.root / model.path),
            "target": None if model.new is None else str(result.project.root / model.new),
            "verdict": model.verdict,
            "exit_code": model.exit_code,
            "message": model.message,
            "container": model.container,
            "keras_version": model.keras_version,
            "releases": list(model.releases),
            "warnings": list(model.warnings),
        }
        for model in result.models
    ]
    _new_file(report, "".join(indexed(lambda: iter(rows))))


def _described(result: Result, patch: Path | None, *, write: bool, applied: bool) -> None:
    def safe(text: str) -> str:
        return quoted(text, 200)[1:-1]

    for model in result.models:
        new = f" -> {safe(model.new)}" if model.new else ""
        show.line(f"{safe(model.path)}: {model.verdict}{new}")
        if model.message:
            show.line(f"  {model.message}")
        for text in model.warnings:
            show.line(f"  {text}")
        for place in result.places:
            if place.model == model.path:
                cell = "" if place.cell is None else f" cell {place.cell},"
                show.line(f"  {place.load.kind} in {safe(place.code)},{cell} line {place.load.line}")
    if not result.models:
        show.line("no Keras model was found")
    for path, (what, step) in result.project.others.items():
        show.line(f"{safe(path)}: {what}. {step}.")
    for path in result.project.pickles:
        show.line(f"{safe(path)}: called like a pickle; not opened, and needs no migration if it holds no Keras model")
    for place in result.places:
        if place.model is None:
            named = (
                f"loads {quoted(place.load.path)}, which is no model here" if place.load.path else "computes the name"
            )
            show.line(f"{safe(place.code)}, line {place.load.line}: {place.load.kind} {named}; not changed")
        elif place.load.kind == "TFSMLayer":
            show.line(
                f"{safe(place.code)}, line {place.load.line}: a TFSMLayer returns a dictionary; not changed. "
                "keras.saving.load_model of the new file returns the model"
            )
    if result.patch:
        files = ", ".join(map(safe, result.changed))
        done = "changed" if applied else "the patch changes"
        show.line(f"{done}: {files}")
        if patch is not None and not applied:
            typed = shell_command("git", "-C", result.project.root, "apply", patch.resolve())
            show.line(f"to apply it: {typed}")
        elif not applied:
            click.echo(result.patch, nl=False)
    if not write and any(model.new for model in result.models):
        show.line("nothing was migrated; --write does it")
