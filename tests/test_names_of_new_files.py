"""A new file has a name that Keras opens, or it is not written; and the command that the refusal advises works."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.errors import MigrationError, as_file, shell_command
from tests.cases import case

SOURCE = case("keras3/numbered-from-20-k38").source
OLD = "it's my old $model.keras"
MIGRATED = "it's my old $model.migrated.keras"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(SOURCE, tmp_path / OLD)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


NAMES = {
    "new.h5": "new.keras",
    "new": "new.keras",
    "new.KERAS": "new.keras",
    "new.weights.h5": "new.keras",
    "model-v1.5": "model-v1.5.keras",
    "out": f"out/{MIGRATED}",
    "out/new": "out/new.keras",
    "out/": f"out/{MIGRATED}",
    "-": MIGRATED,
    "new.keras ": "new.keras .keras",
    "-new": "-new.keras",
    "b\\n\n": "b\\n\n.keras",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_keras_does_not_open_is_refused_with_one_that_it_opens(name: str, folder: Path) -> None:
    before = {path.name for path in folder.rglob("*")}

    refused = CliRunner().invoke(main, ["migrate", "--no-verify", "--overwrite", "--", OLD, name])

    assert refused.exit_code == 1, refused.output
    assert {path.name for path in folder.rglob("*")} == before
    found = re.search(r"another one: (tcn-migrate .*)\.$", refused.output, re.DOTALL)
    assert found is not None, refused.output
    if "\n" in name:  # in ANSI-C quotes, which Python's shlex does not read
        assert found[1].endswith(r"$'b\134n\012.keras'")
        return
    words = shlex.split(found[1])[1:]
    done = CliRunner().invoke(main, [*words, "--no-verify"])
    assert done.exit_code == 0, done.output
    assert Path(words[-1]) == Path(NAMES[name])
    assert (folder / NAMES[name]).is_file()


def test_a_call_is_refused_as_a_command_is(folder: Path) -> None:
    for name in ("new.h5", "new", "-"):
        with pytest.raises(MigrationError, match=r"ends in \.keras"):
            tcn_migrate.migrate(OLD, name, verify=False, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {OLD, "out"}


def test_keras_opens_the_names_that_are_taken_and_no_others(folder: Path) -> None:
    import keras

    from tcn_migrate import TCN  # noqa: F401  registers the layer

    tcn_migrate.migrate(OLD, "new.keras", verify=False)
    for name in ("new.keras", ".keras"):
        shutil.copy("new.keras", folder / "out" / name)
        keras.saving.load_model(f"out/{name}")
    for name in ("new.KERAS", "new", "new.h5"):
        shutil.copy("new.keras", folder / "out" / name)
        with pytest.raises((ValueError, OSError)):
            keras.saving.load_model(f"out/{name}")


@given(st.text(st.characters(blacklist_categories=(), blacklist_characters="\0"), min_size=1))
def test_a_word_of_a_command_is_one_line_of_harmless_characters(word: str) -> None:
    typed = shell_command("cat", as_file(word))

    assert typed.isprintable()
    if "$'" not in typed:
        assert shlex.split(typed) == ["cat", as_file(word)]
