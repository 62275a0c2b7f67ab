"""Help is true: its examples are understood, and a shell completes what it says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tcn_migrate.cli.main import main
from tests.readme import ENVIRONMENT, ROOT

COMMANDS = ["", "migrate", "inspect", "check", "plan", "verify", "diff", "batch", "repo"]


def help_of(command: str) -> str:
    result = CliRunner().invoke(main, [*command.split(), "--help"], terminal_width=100)
    assert result.exit_code == 0
    return result.output


def examples(text: str) -> list[list[str]]:
    """The arguments of the examples; what stands after two spaces says what they do."""
    lines = re.findall(r"^ +(?:.*\| )?tcn-migrate (\S.*?)(?:  .*)?$", text.partition("Examples:")[2], re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_understood(command: str) -> None:
    found = examples(help_of(command))

    assert len(found) >= 2
    assert isinstance(main, click.Group)
    for arguments in found:
        name, *rest = arguments if arguments[0] in COMMANDS else ["migrate", *arguments]
        known = main.get_command(click.Context(main), name)
        assert known is not None
        if rest != ["--help"]:
            known.make_context(name, rest)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_cuts_no_sentence(command: str) -> None:
    text = help_of(command)

    assert max(map(len, text.splitlines())) <= 100
    assert "..." not in text.partition("Commands:")[2].partition("Examples:")[0]


def completed(words: str, folder: Path) -> list[str]:
    settings = {"_TCN_MIGRATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        ["tcn-migrate"], env={**ENVIRONMENT, **settings}, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tcn-migrate in", ["plain,inspect", "file,in"]),  # a command, or a file that begins so
        ("tcn-migrate inspect ol", ["file,ol"]),
        ("tcn-migrate old.h5 --tar", ["plain,--target"]),
        ("tcn-migrate migrate --target ", ["plain,layer", "plain,plain"]),
        ("tcn-migrate verify --g", ["plain,--golden"]),
    ],
)
def test_commands_options_and_files_are_completed(words: str, expected: list[str], tmp_path: Path) -> None:
    assert completed(words, tmp_path) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_the_line_that_help_gives_it(shell: str, tmp_path: Path) -> None:
    (line,) = re.findall(rf"^ +{shell} +(.*tcn-migrate.*)$", help_of(""), re.MULTILINE)
    program = shutil.which(shell)
    if program is None:
        settings = {"_TCN_MIGRATE_COMPLETE": f"{shell}_source"}
        done = subprocess.run(["tcn-migrate"], env={**ENVIRONMENT, **settings}, capture_output=True, text=True)
        assert f"_TCN_MIGRATE_COMPLETE={shell}_complete" in done.stdout
        pytest.skip(f"there is no {shell} here to run it")
    asked = {"bash": "complete -p tcn-migrate", "zsh": "echo $_comps[tcn-migrate]", "fish": "complete -c tcn-migrate"}
    begin = "autoload -U compinit; compinit -u\n" if shell == "zsh" else ""
    done = subprocess.run(
        [program, "-c", f"{begin}{line}\n{asked[shell]}"],
        env={**ENVIRONMENT, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tcn_migrate_completion" in done.stdout or "tcn-migrate" in done.stdout


def test_the_pages_name_no_option_that_there_is_not() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", " ".join(map(help_of, COMMANDS))))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for line in re.findall(r"tcn-migrate [^`\n]*", page.read_text()):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) <= known, f"{page.name}: {line}"
