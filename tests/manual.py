"""The manual page docs/tcn-migrate.1, written from the commands' own help (`python -m tests.manual`)."""

from __future__ import annotations

import re

import click
from click.testing import CliRunner

from tcn_migrate import __version__
from tcn_migrate.cli.main import main
from tests.readme import ROOT

PAGE = ROOT / "docs" / "tcn-migrate.1"


def helps() -> dict[str, str]:
    """What `--help` prints, of the program and of every command."""
    assert isinstance(main, click.Group)
    found = {}
    for command in ("", *main.list_commands(click.Context(main))):
        words = [*command.split(), "--help"]
        text = CliRunner().invoke(main, words, prog_name="tcn-migrate", terminal_width=100).output
        found[f"tcn-migrate {command}".strip()] = text.rstrip()
    return found


def manual() -> str:
    """The page in roff: a section for each command, with its help as it is."""
    lines = [
        f'.TH TCN-MIGRATE 1 "" "tcn-migrate {__version__}" "User Commands"',
        ".SH NAME",
        r"tcn-migrate \- migrate legacy keras-tcn checkpoints to .keras files",
    ]
    for name, text in helps().items():
        title = "DESCRIPTION" if name == "tcn-migrate" else name.upper()
        lines += [f".SH {_roff(title)}", ".nf", *map(_roff, text.splitlines()), ".fi"]
    return "\n".join(lines) + "\n"


def _roff(line: str) -> str:
    line = line.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", line)


if __name__ == "__main__":
    PAGE.write_text(manual())
