"""tcn-migrate batch SOURCE... --to DIR"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcn_migrate.cli import options, show
from tcn_migrate.errors import MigrationError, quoted, shell_command

if TYPE_CHECKING:
    from tcn_migrate.batch.run import Batch

_TIME_LIMIT = 600.0


@click.command(
    "batch",
    epilog="""\b
Examples:
  tcn-migrate batch models --to migrated             a folder with all that is below it
  tcn-migrate batch models --to migrated --resume    go on after a stop, and try again what failed
  tcn-migrate batch models --inspect-only            what is there, and what would become of it
  tcn-migrate batch models --to migrated --report index.html
  find / -name '*.h5' | tcn-migrate batch - --to migrated
  tcn-migrate batch s3://bucket/models --to s3://bucket/migrated
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--to", metavar="DIR", help="Folder or URL of the new files.")
@click.option("--inspect-only", is_flag=True, help="Say what is there; nothing is migrated.")
@click.option("--resume", is_flag=True, help="Skip what an earlier run did; try again what failed.")
@click.option("--overwrite", is_flag=True, help="Replace new files that exist, and begin the journal anew.")
@click.option("--verify/--no-verify", default=True, help="Load each new file and prove that it computes the same.")
@options.architecture_or_url
@options.target
@options.last_step
@options.custom_objects
@options.max_bytes
@click.option("--reinitialize", is_flag=True, help="Start afresh with lost variables that nothing else brings back.")
@click.option("--keep-suspect", is_flag=True, help="Take suspect norms as they are.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes. By default one for each core.")
@click.option(
    "--time-limit",
    type=click.FloatRange(0),
    default=_TIME_LIMIT,
    show_default=True,
    metavar="SECONDS",
    help="For one file; 0 for any time.",
)
@click.option("--memory-limit", type=click.FloatRange(0), metavar="GB", help="For one worker. By default all there is.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask scheduler, whose workers are to do it.")
@click.option("--journal", type=options.LocalPath(), metavar="FILE", help="By default DIR/migration.jsonl.")
@click.option("--report", type=options.LocalPath(), metavar="FILE.html", help="Write a page with a row for each file.")
@click.option("--quiet", "-q", is_flag=True, help="Print the summary only.")
@options.machine
def command(
    sources: tuple[str, ...],
    to: str | None,
    inspect_only: bool,
    custom_objects: str | None,
    time_limit: float,
    memory_limit: float | None,
    report: Path | None,
    quiet: bool,
    machine: bool,
    **settings: Any,
) -> None:
    """Migrate many checkpoints at once, each as if it were alone.

    SOURCE is a file, a folder, a pattern, a URL, or - for a list on standard input. The new files lie in DIR as their
    sources lie in the folder that they have in common, each with the suffix .keras. A file that crashes its worker, or
    takes too long, costs only itself. Ends with the worst exit code of all.
    """
    from tcn_migrate.batch.run import prepare

    if (to is None) != inspect_only:
        raise click.UsageError("Give --to DIR, or --inspect-only.")
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise click.BadParameter("is to be a page, FILE.html.", param_hint="--report")
    tally = _Tally()
    with show.failures("batch", machine=machine):
        settings["custom_objects"] = options.load_custom_objects(custom_objects)
        batch = prepare(
            _listed(sources),
            to,
            time_limit=time_limit or None,
            memory_limit=None if memory_limit is None else int(memory_limit * 1e9),
            report=report,
            **settings,
        )
        journal = batch.journal
        try:
            with (
                _stoppable(),
                _page(report, batch, _words() if to else ()) as batch,
                show.progress(quiet or machine) as said,
            ):
                for outcome in batch.outcomes():
                    tally.add(outcome)
                    if machine:
                        _json_line(outcome.as_json())
                    elif outcome.exit_code and not quiet:
                        click.echo(f"{quoted(outcome.source, 200)[1:-1]}: {outcome.message}", err=True)
                    if said is not None:
                        said("migrating" if to else "inspecting", tally.count, len(batch))
        except KeyboardInterrupt:
            tally.show(machine, journal)
            click.echo(f"stopped after {tally.count} of {len(batch)}; to go on: {_again()}", err=True)
            raise SystemExit(130) from None
    tally.show(machine, journal)
    if tally.worst and to is not None and not machine:
        click.echo(f"to try again what failed: {_again()}", err=True)
    raise SystemExit(tally.worst)


@contextlib.contextmanager
def _page(report: Path | None, batch: Batch, again: tuple[str, ...]) -> Iterator[Batch]:
    """The batch with a journal, of which the page is made at the end, however that comes."""
    from tcn_migrate.batch.journal import NAME, lines
    from tcn_migrate.report.index import indexed

    if report is None:
        yield batch
        return
    with tempfile.TemporaryDirectory(prefix="tcn-migrate-") as scratch:
        journal = batch.journal or Path(scratch) / NAME
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            with report.open("w", encoding="utf-8") as file:  # to fail now and not after hours
                try:
                    yield dataclasses.replace(batch, journal=journal)
                finally:
                    file.writelines(indexed(lambda: lines(journal), again))
        except OSError as error:
            raise MigrationError(f"the page cannot be written ({error.strerror})", address=quoted(report)) from None


def _listed(sources: tuple[str, ...]) -> Iterator[str]:
    """What was asked for; in the place of "-" the lines of standard input."""
    for source in sources:
        if source == "-":
            # As file names are, which need not be text.
            for line in sys.stdin.buffer:
                name = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
                if name:
                    yield name
        else:
            yield source


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Makes of SIGTERM, which ends programs when a machine is turned off, what Ctrl-C is."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _words() -> tuple[str, ...]:
    """The words of the command that goes on with this batch."""
    return (*(word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")), "--resume")


def _again() -> str:
    return shell_command("tcn-migrate", *_words())


class _Tally:
    """Counts outcomes as they pass; none is kept."""

    def __init__(self) -> None:
        self.count = self.skipped = self.worst = 0
        self._started = time.monotonic()
        self._verdicts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()

    def add(self, outcome: Any) -> None:
        self.count += 1
        self.skipped += outcome.skipped
        self.worst = max(self.worst, outcome.exit_code)
        self._verdicts[outcome.verdict] += 1
        if outcome.error is not None:
            lost = outcome.error == outcome.verdict
            self._errors[outcome.verdict if lost else f"{outcome.verdict}: {outcome.error}"] += 1
        if outcome.container is not None:
            version = f", Keras {outcome.keras_version}" if outcome.keras_version else ""
            self._origins[f"{outcome.container}{version}"] += 1

    def show(self, machine: bool, journal: Path | None) -> None:
        """One summary, by verdict."""
        if machine:
            _json_line({"summary": self._as_json()})
            return
        seconds = round(time.monotonic() - self._started)
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self._verdicts.most_common()) or "none found"
        before = f" ({self.skipped} of them by an earlier run)" if self.skipped else ""
        _table("what they are", "checkpoints of", self._origins)
        _table("why not", "reason", self._errors)
        show.line(f"{self.count} checkpoints in {seconds} s: {verdicts}{before}", bold=True)
        if journal is not None:
            show.line(f"journal: {quoted(journal, 200)[1:-1]}")

    def _as_json(self) -> Mapping[str, Any]:
        return {
            "checkpoints": self.count,
            "skipped": self.skipped,
            "verdicts": dict(self._verdicts),
            "errors": dict(self._errors),
            "origins": dict(self._origins),
            "exit_code": self.worst,
        }


def _json_line(content: Mapping[str, Any]) -> None:
    """ASCII only, as everything that may hold a name out of a file."""
    click.echo(json.dumps(content))


def _table(title: str, column: str, counts: Counter[str]) -> None:
    if counts:
        show.table(title, [column, "number"], [[name, str(count)] for name, count in counts.most_common()])
