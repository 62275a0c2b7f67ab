"""tcn-migrate: the command line. Only this room prints, and only this room exits."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from tcn_migrate import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "migrate": "tcn_migrate.cli.migrate",
    "inspect": "tcn_migrate.cli.inspect",
    "plan": "tcn_migrate.cli.plan",
    "verify": "tcn_migrate.cli.verify",
    "batch": "tcn_migrate.cli.batch",
    "repo": "tcn_migrate.cli.repo",
}


class _Commands(click.Group):
    """Commands that are imported when they are used; what is no command is a file to migrate."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        home = _COMMANDS.get(name)
        return None if home is None else importlib.import_module(home).command

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in _COMMANDS and not (args[0].startswith("-") and len(args) == 1):
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


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  tcn-migrate old.h5 new.keras                     migrate one checkpoint
  tcn-migrate migrate --help                       all that can be said with it
  tcn-migrate inspect old.h5                       say what is in a file
  tcn-migrate plan old.h5                          print every move before anything is done
  tcn-migrate batch models --to new                migrate a folder of checkpoints
  tcn-migrate verify new.keras --against old.h5    compare two files
  tcn-migrate repo project                         look through a project and its code

\b
Completion of commands, options and files in a shell, for good if it stands in
~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish:
  bash  eval "$(_TCN_MIGRATE_COMPLETE=bash_source tcn-migrate)"
  zsh   eval "$(_TCN_MIGRATE_COMPLETE=zsh_source tcn-migrate)"
  fish  _TCN_MIGRATE_COMPLETE=fish_source tcn-migrate | source

\b
Exit codes:
  0  done
  1  refused or failed; the message says why
  2  the command was not understood
  3  variables are missing or suspect, and a decision is needed
  4  the new file was written, but verification failed; it was removed
""",
)
@click.version_option(__version__, prog_name="tcn-migrate")
def main() -> None:
    """Migrate legacy keras-tcn checkpoints to .keras files that load everywhere, exactly.

    tcn-migrate OLD [NEW] reads an old .h5, .keras, SavedModel or TensorFlow checkpoint, rebuilds the model from its
    stored config, maps every variable by its path, and writes a .keras file with proof that it computes the same.
    """
