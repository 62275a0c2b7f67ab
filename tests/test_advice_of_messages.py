"""The option that an error message names is the one that helps, on the file that the message is about."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import tcn_migrate
from tcn_migrate.cli.main import main
from tests.cases import FIXTURES, case
from tests.readme import ROOT

HEALTHY, WEIGHTS, SAVED = "keras3/numbered-from-20-k38", "keras2/weights-tf212-350", "prelu/tf24-checkpoint"
LAYERS = """
import keras


@keras.saving.register_keras_serializable("mine")
class Scale(keras.layers.Layer):
    def call(self, x):
        return 2 * x


@keras.saving.register_keras_serializable("mine")
def double(x):
    return 2 * x
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def staged(name: str) -> str:
    source = case(name).source
    return str(shutil.copytree(source, source.name) if source.is_dir() else shutil.copy(source, "."))


def of_own_class(activation: bool) -> str:
    """A file of Keras 3 with a layer, or an activation, that only its owner knows."""
    import keras

    names: dict[str, object] = {}
    exec(LAYERS, names)
    Path("mine.py").write_text(LAYERS)
    inputs = keras.Input((3,))
    output = keras.layers.Dense(2, activation=names["double"])(inputs) if activation else names["Scale"]()(inputs)  # type: ignore[operator]
    keras.Model(inputs, output).save("own.keras")
    return "own.keras"


def checkpoint() -> str:
    for file in case(SAVED).folder.glob("old*"):
        shutil.copy(file, ".")
    return "old.index"


def migrated(*options: str) -> Callable[[], list[object]]:
    def command() -> list[object]:
        return ["migrate", staged(HEALTHY), "new.keras", "--no-verify", *options]

    return command


def existing() -> list[object]:
    Path("new.keras").write_text("somebody's")
    return migrated()()


def in_a_batch(*options: str, journal: str | None = None) -> Callable[[], list[object]]:
    def command() -> list[object]:
        Path("models").mkdir()
        shutil.copy(case(HEALTHY).source, "models/old.keras")
        if journal == "earlier":
            assert run("batch", "models", "--to", "out", "--no-verify").exit_code == 0
        elif journal is not None:
            Path(journal).write_text("somebody's\n")
        return ["batch", "models", "--no-verify", *options]

    return command


def unverified(name: str, *options: str) -> Callable[[], list[object]]:
    return lambda: ["migrate", staged(name), "new.keras", "--no-verify", *options]


MESSAGES: dict[str, tuple[Callable[[], list[object]], str, list[str]]] = {
    # name: the command that is refused, what its message names, and what a user types then
    "a class of the user's": (
        lambda: ["migrate", of_own_class(activation=False), "new.keras"],
        "--custom-objects package.module",
        ["--custom-objects", "mine"],
    ),
    "an activation of the user's": (
        lambda: ["migrate", of_own_class(activation=True), "new.keras"],
        "--custom-objects package.module",
        ["--custom-objects", "mine"],
    ),
    "weights alone": (
        unverified(WEIGHTS),
        "--architecture model.json",
        ["--architecture", str(FIXTURES / WEIGHTS / "model.json")],
    ),
    "a checkpoint alone": (
        lambda: ["migrate", checkpoint(), "new.keras", "--no-verify"],
        "--architecture model.json",
        ["--architecture", str(FIXTURES / SAVED / "model.json")],
    ),
    "the target exists": (existing, "--overwrite", ["--overwrite"]),
    "too large": (migrated("--max-bytes", "1KiB"), "--max-bytes 1GiB", ["--max-bytes", "1GiB"]),
    "always training": (
        unverified("calls/training-true", "--target", "plain"),
        "--target layer",
        ["--target", "layer"],
    ),
    "a TCN that plain cannot hold": (
        unverified("prelu/tf215-time-distributed", "--target", "plain"),
        "--target layer",
        ["--target", "layer"],
    ),
    "an earlier journal: go on": (in_a_batch("--to", "out", journal="earlier"), "--resume", ["--resume"]),
    "an earlier journal: anew": (in_a_batch("--to", "out", journal="earlier"), "--overwrite", ["--overwrite"]),
    "an earlier journal: another": (
        in_a_batch("--to", "other", "--journal", "out/migration.jsonl", journal="earlier"),
        "--journal FILE",
        ["--journal", "other.jsonl"],
    ),
    "no journal": (
        in_a_batch("--to", "out", "--journal", "list.txt", journal="list.txt"),
        "--journal FILE",
        ["--journal", "other.jsonl"],
    ),
    "no folder": (in_a_batch(), "--to DIR", ["--to", "out"]),
    "no folder, only to look": (in_a_batch(), "--inspect-only", ["--inspect-only"]),
    "too slow": (
        in_a_batch("--to", "out", "--time-limit", "0.01"),
        "--time-limit SECONDS --resume",
        ["--time-limit", "600", "--resume"],
    ),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_a_message_advises_helps(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    command, named, typed = MESSAGES[kind]
    words = command()
    refused = run(*words)
    assert refused.exit_code in (1, 2, 3), refused.output
    assert named in " ".join(refused.output.split())

    done = run(*words, *typed)

    assert done.exit_code == 0, done.output
    written = [path for path in folder.rglob("*.keras") if path.name in ("new.keras",) or "out" in str(path.parent)]
    assert all(path.read_bytes()[:2] == b"PK" for path in written)


def test_a_file_that_is_no_journal_is_not_called_one_and_stays(folder: Path) -> None:
    words = in_a_batch("--to", "out", "--journal", "list.txt", journal="list.txt")()
    for option in ([], ["--resume"], ["--overwrite"]):
        refused = run(*words, *option)
        assert "no journal of a batch" in refused.output
        assert "earlier run" not in refused.output
        assert Path("list.txt").read_text() == "somebody's\n"


def test_files_given_to_verify_the_wrong_way_round_work_the_other_way(folder: Path) -> None:
    old = staged(HEALTHY)
    assert run("migrate", old, "new.keras", "--no-verify").exit_code == 0

    refused = run("verify", old, "--against", "new.keras")

    assert "Name the migrated file first" in refused.output
    assert run("verify", "new.keras", "--against", old).exit_code == 0


def test_verify_names_both_things_that_it_takes(folder: Path) -> None:
    new = tcn_migrate.migrate(staged(HEALTHY), "new.keras").model
    x = np.zeros((2, *(size or 20 for size in new.inputs[0].shape[1:])), np.float32)
    np.savez("recorded.npz", x=x, y=new.predict(x, verbose=0))

    assert "Give --golden FILE or --against OLD" in run("verify", "new.keras").output
    assert run("verify", "new.keras", "--golden", "recorded.npz").exit_code == 0
    assert run("verify", "new.keras", "--against", "old.keras").exit_code == 0


ELSEWHERE = {
    *("--reference", "--calibrate", "--reinitialize", "--remeasure", "--keep-suspect"),  # tests/test_advice.py
    "--accept-error",  # tests/test_recovery.py
    "--last-step",  # tests/test_commands_in_pages.py
    "--no-verify",  # tests/test_trial_run.py
    "--drop-optimizer",  # of an optimizer that does not compile, which no file is known to hold
    *("--write", "--patch", "--apply"),  # tests/project
    "--memory-limit",  # where memory runs out differs from machine to machine
    "--help",  # tests/test_help.py
}
"""Options that messages name and that tests elsewhere follow."""


def test_no_message_names_an_option_that_no_test_follows() -> None:
    named = set()
    for path in sorted((ROOT / "tcn_migrate").rglob("*.py")):
        if path.parent.name == "project":  # a patch begins with "diff --git"
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.startswith("--"):
                named |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value))
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    declared = {word for one in commands if one for p in one.params for word in (*p.opts, *p.secondary_opts)}
    followed = {option for _, text, _ in MESSAGES.values() for option in re.findall(r"--[a-z][a-z-]+", text)}
    in_examples = {"--json", "--report", "--quiet", "--golden", "--against", "--workers", "--color", "--verbose"}

    assert named <= declared | {"--help"}, "a message names an option that no command has"
    assert named - in_examples <= followed | ELSEWHERE
