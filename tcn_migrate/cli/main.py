"""tcn-migrate: the command line. Only this room prints, and only this room exits."""

from __future__ import annotations

import atexit
import difflib
import gc
import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from tcn_migrate import __version__
from tcn_migrate.cli import options
from tcn_migrate.errors import quoted

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "migrate": "tcn_migrate.cli.migrate",
    "inspect": "tcn_migrate.cli.inspect",
    "check": "tcn_migrate.cli.check",
    "plan": "tcn_migrate.cli.plan",
    "verify": "tcn_migrate.cli.verify",
    "diff": "tcn_migrate.cli.diff",
    "batch": "tcn_migrate.cli.batch",
    "repo": "tcn_migrate.cli.repo",
}


class _Commands(click.Group):
    """Commands that are imported when they are used; what is no command is a file to migrate."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        home = _COMMANDS.get(name)
        if home is None:
            return None
        command: click.Command = importlib.import_module(home).command
        known = {parameter.name for parameter in command.params}
        command.params += [option for option in options.everywhere() if option.name not in known]
        return command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        before = _leading(args)
        args = [*args[before : before + 1], *args[:before], *args[before + 1 :]]
        if args and args[0] not in _COMMANDS and not (args[0].startswith("-") and len(args) == 1):
            if (meant := _meant(args[0])) is not None:
                context.fail(f"There is no command or file {quoted(args[0])}. Did you mean '{meant}'?")
            args = ["migrate", *args]
        return super().parse_args(context, args)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and the files of the folder: a file is a command's place, too."""
        from click.shell_completion import CompletionItem

        files = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]
        return [*super().shell_complete(context, incomplete), *files]

    def main(self, *args: Any, **kwargs: Any) -> Any:
        # Python would look for garbage in all that was imported before it ends, a tenth of the time of a small file.
        atexit.register(gc.freeze)
        for stream in (sys.stdout, sys.stderr):
            # A name out of a file, or the terminal's encoding, must never end the program.
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)


def _leading(args: list[str]) -> int:
    """How many words before the name of a command are options that every command has."""
    count = 0
    while count < len(args) and re.fullmatch(r"-v+|--verbose|--color(=.*)?", args[count]):
        count += 2 if args[count] == "--color" else 1
    return count if count < len(args) and args[count] in _COMMANDS else 0


def _meant(word: str) -> str | None:
    """The command that a word is a misspelling of; None if it may well be a file."""
    if os.path.lexists(word) or not re.fullmatch(r"[A-Za-z]+", word):
        return None
    return next(iter(difflib.get_close_matches(word.lower(), _COMMANDS, n=1)), None)


def _versions(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Prints the versions of this package and of what it stands on, without importing any of it."""
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    click.echo(f"tcn-migrate, version {__version__}")
    for name in ("keras", "tensorflow", "h5py", "numpy"):
        try:
            click.echo(f"  {name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"  {name} is not installed")
    click.echo(f"  Python {sys.version.split()[0]}")
    context.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  tcn-migrate old.h5 new.keras                     migrate one checkpoint
  tcn-migrate migrate --help                       all that can be said with it
  tcn-migrate inspect old.h5                       say what is in a file
  tcn-migrate check models                         one line a file, for continuous integration
  tcn-migrate plan old.h5                          print every move before anything is done
  tcn-migrate batch models --to new                migrate a folder of checkpoints
  tcn-migrate verify new.keras --against old.h5    compare a new file with its old one
  tcn-migrate diff monday.h5 friday.h5             compare any two
  tcn-migrate repo project                         look through a project and its code

\b
Completion of commands, options and files in a shell, for good if it stands in
~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:
  bash  eval "$(_TCN_MIGRATE_COMPLETE=bash_source tcn-migrate)"
  zsh   eval "$(_TCN_MIGRATE_COMPLETE=zsh_source tcn-migrate)"
  fish  _TCN_MIGRATE_COMPLETE=fish_source tcn-migrate | source

\b
Exit codes (check and diff have their own):
  0  done
  1  refused or failed; the message says why
  2  the command was not understood
  3  variables are missing or suspect, and a decision is needed
  4  the new file was written, but verification failed; it was removed
""",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_versions,
    help="Print the versions of tcn-migrate, Keras, TensorFlow, h5py, NumPy and Python.",
)
def main() -> None:
    """Migrate legacy keras-tcn checkpoints, and those of any Keras 2 model, to .keras files that load everywhere.

    tcn-migrate OLD [NEW] reads an old .h5, .keras, SavedModel or TensorFlow checkpoint, rebuilds the model from its
    stored config, maps every variable by its path, and writes a .keras file with proof that it computes the same.
    """
