"""How results and errors look in a terminal, in a pipe and for machines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tcn_migrate.errors import MigrationError, quoted


def as_json(content: Any) -> None:
    """Prints JSON for machines: ASCII only, so that a name out of a file cannot do anything."""
    click.echo(json.dumps(content, indent=1, allow_nan=False, default=str))


def line(text: str, **style: Any) -> None:
    """Prints one line, in colour where --color or the terminal asks for it."""
    click.echo(click.style(text, **style) if style else text)


def warning(text: str) -> None:
    click.echo(f"{click.style('warning', fg='yellow')}: {text}", err=True)


def failed(source: object, error: MigrationError) -> str:
    """The sentence of an error behind the name of its file, which is printed once."""
    name, text = quoted(source, 200)[1:-1], str(error)
    for said in (error.address, None if error.address is None else error.address.strip("'")):
        if said in (name, quoted(Path(str(source)).name)[1:-1]) and text.startswith(f"{error.address}: "):
            text = text.removeprefix(f"{error.address}: ")
    return f"{name}: {text}"


@contextlib.contextmanager
def failures(
    source: str,
    *,
    machine: bool = False,
    report: Path | None = None,
    seen: Callable[[], Any] | None = None,
    new: Path | None = None,
    given: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[None]:
    """Turns a MigrationError into its message and exit code, and Ctrl-C into a word.

    Args:
        source: what was worked on.
        machine: print JSON.
        report: where the failure is written, too.
        seen: inspects the source for that report.
        new: the file that is being written.
        given: what was typed, by the names of the command's parameters, for the commands in that report.
    """
    before = _identity(new)
    try:
        yield
    except MigrationError as error:
        content = {"source": source, "error": error.kind, "message": str(error), "exit_code": error.exit_code}
        if report is not None:
            refusal = error
            try:
                write_report(report, lambda: content, lambda: _refused(source, refusal, seen, given or {}))
            except MigrationError as second:
                click.echo(f"error: {second}", err=True)
        if machine:
            as_json(content)
        else:
            click.echo(f"{click.style('error', fg='red')}: {failed(source, error)}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        whole = _identity(new) != before  # a file appears at its name only when it is whole
        written = f"{quoted(new, 200)[1:-1]} was written" if whole else "nothing was written"
        click.echo(f"stopped; {written}", err=True)
        raise SystemExit(130) from None


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Device and inode of a file; None if it is not there."""
    if path is None or not path.exists():
        return None
    status = path.stat()
    return status.st_dev, status.st_ino


def check_report(report: Path) -> None:
    """Stops before anything is written where the report has no folder.

    Raises:
        MigrationError: there is none.
    """
    if not report.parent.is_dir():
        raise MigrationError(
            "there is no such folder for the report", address=quoted(report.parent), hint="Make it first"
        )


def write_report(report: Path, content: Callable[[], Any], page: Callable[[], str]) -> None:
    """Writes what was done: the page if the file's suffix is .html or .htm, else JSON.

    Raises:
        MigrationError: it cannot be written.
    """
    as_page = report.suffix.lower() in (".html", ".htm")
    text = page() if as_page else json.dumps(content(), indent=1)
    try:
        report.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MigrationError(f"the report cannot be written ({error.strerror})", address=quoted(report)) from None


def _refused(
    source: str, error: MigrationError, seen: Callable[[], Any] | None, given: Mapping[str, Sequence[str]]
) -> str:
    from tcn_migrate.report.page import refused

    found = None
    if seen is not None:
        with contextlib.suppress(MigrationError):  # most often the one that is being told
            found = seen()
    return refused(source, error, found, given)


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar on standard error, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def said(phase: str, done: int, total: int) -> None:
            name = phase.partition(",")[0]  # behind the comma is how it goes
            if name not in tasks:
                tasks[name] = bars.add_task(phase, total=total or None)
            bars.update(tasks[name], description=phase, completed=done, total=total or None)

        yield said


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table: drawn by rich in a terminal, tab-separated in a pipe."""
    if not sys.stdout.isatty():
        click.echo(title)
        for row in [columns, *rows]:
            click.echo("  " + "\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left")
    for column in columns:
        drawn.add_column(column)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    colored = click.get_current_context().color
    Console(no_color=True if colored is False else None).print(drawn)


def migrated(outcome: Any) -> None:
    """What a migration did, in a few lines."""
    plan = outcome.plan
    described(plan)
    line(f"  variables: {', '.join(f'{count} {grade}' for grade, count in plan.grades.items()) or 'none'}")
    for sentence in () if outcome.recovery is None else outcome.recovery.sentences:
        line(f"  {sentence}", fg="yellow")
    if outcome.evidence is not None:
        evidence = outcome.evidence
        text = f"  verified: {evidence.bit_exact} of {evidence.variables} variables bit for bit"
        if evidence.recomputed:
            text += f", {evidence.recomputed} as computed from the source"
        text += f"; {evidence.proof.sentence or 'the whole model was run once'}"
        line(text, fg="green")
        for remark in evidence.proof.remarks:
            line(f"  {remark}", fg="yellow")
        if evidence.serving_graph is not None:
            whole = evidence.serving_graph.not_compared is None and evidence.serving_graph.expected is None
            line(f"  {evidence.serving_graph.sentence}", fg="green" if whole else "yellow")
    if outcome.agreement is not None:
        line(f"  {outcome.agreement}", fg="green")
    line(f"wrote {quoted(outcome.output, 200)[1:-1]}", bold=True)


def described(plan: Any) -> None:
    """What a file is, in a few lines."""
    origin = plan.origin
    version = f", Keras {quoted(origin.keras_version, 20)[1:-1]}" if origin.keras_version else ""
    line(f"{quoted(Path(origin.path).name, 100)[1:-1]}: {origin.container}{version}")
    for address, reading in plan.tcns.items():
        settings = reading.settings
        norm = f"{reading.norm} norm" if reading.norm else "no norm"
        weight = ", weight norm" if settings.weight_norm else ""
        line(
            f"  TCN {'/'.join(quoted(part, 40)[1:-1] for part in address)}: {settings.blocks} blocks, {norm}{weight}, "
            f"as keras-tcn {reading.generation.releases}"
        )
    recovered = any(move.grade in ("refitted", "measured", "initialized") for move in plan.moves)
    if not recovered and any(reading.session_numbered and not reading.missing for reading in plan.tcns.values()):
        line("  every norm is in the file, under names that its session counted; nothing is lost")
    if not plan.tcns:
        line("  no TCN in it: a plain Keras model")
    _repairs("repaired", ((repair.layer, repair.sentence) for repair in plan.repairs))


def _repairs(word: str, repairs: Iterable[tuple[str, str]]) -> None:
    """Repairs of layers: those with one sentence are one line, with the first names; a report has all."""
    layers: dict[str, list[str]] = {}
    for layer, sentence in repairs:
        layers.setdefault(sentence, []).append(quoted(layer, 40))
    for sentence, named in layers.items():
        several = f"{len(named)} layers ({', '.join(named[:3])}{', ...' if len(named) > 3 else ''})"
        line(f"  {word} {named[0] if len(named) == 1 else several}: {sentence}")


def inspected(seen: dict[str, Any]) -> None:
    """What a file is and what a migration would do, for a person."""
    version = f", Keras {quoted(seen['keras_version'], 20)[1:-1]}" if seen["keras_version"] else ""
    line(f"{quoted(seen['path'], 200)[1:-1]}: {seen['container']}{version}", bold=True)
    for tcn in seen["tcns"]:
        line(
            f"  TCN {quoted(tcn['layer'])[1:-1]}: {tcn['releases']}, filters {tcn['nb_filters']}, "
            f"kernel size {tcn['kernel_size']}, stacks {tcn['nb_stacks']}, dilations {tcn['dilations'][:16]}, "
            f"padding {tcn['padding']}, {tcn['norm'] or 'no'} norm{', weight norm' if tcn['weight_norm'] else ''}"
        )
        for norm, where in tcn["norms"].items():
            stored = f" at {quoted(where['stored_at'], 100)[1:-1]}" if where["stored_at"] else ""
            lost = f" ({', '.join(where['lost'])})" if where["lost"] else ""
            line(f"    {norm.replace('/', ' / ')}: {where['state']}{lost}{stored}")
        if tcn["session_numbered"] and not seen["missing"]:
            line("    every norm is in the file, under names that its session counted; nothing is lost")
    if not seen["tcns"]:
        line("  no TCN in it: a plain Keras model")
    _repairs("would repair", ((repair["layer"], repair["sentence"]) for repair in seen["repairs"]))
    for text in seen["warnings"]:
        warning(text)
    line(f"  {seen['verdict']}", fg="green" if seen["exit_code"] == 0 else "yellow")
