"""No way to name an output changes a file that is read."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate.batch.run import prepare
from tcn_migrate.cli.main import main
from tcn_migrate.errors import MigrationError
from tcn_migrate.migration import default_output, migrate
from tests.cases import FIXTURES
from tests.hostile import bend

CHECKPOINT = FIXTURES / "keras2/checkpoint-tf215-354"
WEIGHTS = FIXTURES / "keras2/weight-norm-weights-340"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a source of each kind, and what may be read beside it."""
    (tmp_path / "h5").mkdir()
    shutil.copy(bend.H5, tmp_path / "h5/old.h5")
    shutil.copytree(bend.SAVED_MODEL, tmp_path / "sm")
    shutil.copytree(CHECKPOINT, tmp_path / "tf")
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 8, bend.FEATURES), "f4"))
    (tmp_path / "own_layers.py").write_text("class Mine: pass\n")
    monkeypatch.delitem(sys.modules, "own_layers", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "linked" and "__pycache__" not in path.parts
    }


def linked(kind: Callable[[str, str], None], to: str) -> Callable[[], None]:
    return lambda: kind(os.path.abspath(to), "linked")


def prefix() -> str:
    return next(Path("tf").rglob("*.index")).as_posix().removesuffix(".index")


def shard() -> str:
    return next(Path("tf").rglob("*.data-*")).as_posix()


JSON = "weights/model.json"
FORCED = ["--overwrite", "--no-verify", "-q"]


def migrated(*words: str) -> Callable[[], list[str]]:
    return lambda: ["migrate", *words, *FORCED]


def batch(*words: str) -> Callable[[], list[str]]:
    return lambda: ["batch", *words, "--no-verify", "--workers", "1", "--overwrite"]


NAMED: dict[str, tuple[Callable[[], list[str]], Callable[[], object] | None]] = {
    "new is old": (migrated("h5/old.h5", "h5/old.h5"), None),
    "new is old, spelled otherwise": (migrated("h5/old.h5", "h5/../h5/./old.h5"), None),
    "new is a hard link of old": (migrated("h5/old.h5", "linked"), linked(os.link, "h5/old.h5")),
    "new is a link to old": (migrated("h5/old.h5", "linked"), linked(os.symlink, "h5/old.h5")),
    "new is the graph": (migrated("sm", "sm/saved_model.pb"), None),
    "new is the index, the graph is named": (migrated("sm/saved_model.pb", "sm/variables/variables.index"), None),
    "new lies in the folder": (migrated("sm", "sm/new.keras"), None),
    "new lies in the folder, the graph is named": (migrated("sm/saved_model.pb", "sm/new.keras"), None),
    "new lies in the folder, the index is named": (
        lambda: ["migrate", "sm/variables/variables.index", "sm/new.keras", "--architecture", JSON, *FORCED],
        None,
    ),
    "new lies in the folder by way of a link": (migrated("sm", "linked/new.keras"), linked(os.symlink, "sm/assets")),
    "new is a hard link of a shard": (
        migrated("sm", "linked"),
        linked(os.link, "sm/variables/variables.data-00000-of-00001"),
    ),
    "new is a shard": (lambda: ["migrate", prefix(), shard(), "--architecture", JSON, *FORCED], None),
    "new is a shard, the index is named": (
        lambda: ["migrate", f"{prefix()}.index", shard(), "--architecture", JSON, *FORCED],
        None,
    ),
    "new is the index, the shard is named": (
        lambda: ["migrate", shard(), f"{prefix()}.index", "--architecture", JSON, *FORCED],
        None,
    ),
    "new is the architecture": (migrated("weights/old.h5", JSON, "--architecture", JSON), None),
    "new is the architecture beside": (migrated("weights/old.h5", JSON), None),
    "new is the recording": (migrated("h5/old.h5", "x.npz", "--reference", "x.npz"), None),
    "new is the calibration": (migrated("h5/old.h5", "x.npz", "--calibrate", "x.npz"), None),
    "new is a module": (migrated("h5/old.h5", "own_layers.py", "--custom-objects", "own_layers"), None),
    "report is old": (migrated("h5/old.h5", "new.keras", "--report", "h5/old.h5"), None),
    "report is a hard link of old": (
        migrated("h5/old.h5", "new.keras", "--report", "linked"),
        linked(os.link, "h5/old.h5"),
    ),
    "report is a link to old": (
        migrated("h5/old.h5", "new.keras", "--report", "linked"),
        linked(os.symlink, "h5/old.h5"),
    ),
    "report is a shard": (
        migrated("sm/saved_model.pb", "new.keras", "--report", "sm/variables/variables.data-00000-of-00001"),
        None,
    ),
    "report lies in the folder": (migrated("sm", "new.keras", "--report", "sm/report.html"), None),
    "report lies in the folder by way of a link to nothing": (
        migrated("sm", "new.keras", "--report", "linked"),
        linked(os.symlink, "sm/report.html"),
    ),
    "report is the architecture": (
        migrated("weights/old.h5", "new.keras", "--architecture", JSON, "--report", JSON),
        None,
    ),
    "report is the architecture beside": (migrated("weights/old.h5", "new.keras", "--report", JSON), None),
    "report is the recording": (
        migrated("h5/old.h5", "new.keras", "--reference", "x.npz", "--report", "x.npz"),
        None,
    ),
    "report is a module": (
        migrated("h5/old.h5", "new.keras", "--custom-objects", "own_layers", "--report", "own_layers.py"),
        None,
    ),
    "report is new": (migrated("h5/old.h5", "new.keras", "--report", "./new.keras"), None),
    "journal is a source": (batch("h5", "--to", "new", "--journal", "h5/old.h5"), None),
    "journal is a hard link of a source": (
        batch("h5", "--to", "new", "--journal", "linked"),
        linked(os.link, "h5/old.h5"),
    ),
    "journal is a shard": (
        batch("sm", "--to", "new", "--journal", "sm/variables/variables.data-00000-of-00001"),
        None,
    ),
    "journal lies in a source": (batch("sm", "--to", "new", "--journal", "sm/journal.jsonl"), None),
    "journal is the architecture": (
        batch("weights/old.h5", "--to", "new", "--architecture", JSON, "--journal", JSON),
        None,
    ),
    "journal is the architecture beside": (batch("weights/old.h5", "--to", "new", "--journal", JSON), None),
    "journal of an inspection is a source": (lambda: ["batch", "h5", "--inspect-only", "--journal", "h5/old.h5"], None),
    "page is a source": (
        batch("linked.html", "--to", "new", "--report", "linked.html"),
        lambda: os.link("h5/old.h5", "linked.html"),
    ),
    "page is the journal": (batch("h5", "--to", "new", "--journal", "a.html", "--report", "./a.html"), None),
    "new files lie in a source": (batch("sm", "--to", "sm/new"), None),
    "a new file is a source": (
        batch("h5/old.keras", "--to", "h5"),
        lambda: os.rename(shutil.copy(bend.KERAS, "k"), "h5/old.keras"),
    ),
    "a new file is a hard link of another source": (
        batch("h5/old.h5", "sm", "--to", "new"),
        lambda: (Path("new/h5").mkdir(parents=True), os.link("sm/saved_model.pb", "new/h5/old.keras")),
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_no_name_of_an_output_changes_what_is_read(name: str, folder: Path) -> None:
    words, prepare_ = NAMED[name]
    if prepare_ is not None:
        prepare_()
    before = contents(folder)

    done = CliRunner().invoke(main, words())

    assert done.exit_code != 0, done.output
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    assert not any(name.startswith("sm/") for name in after.keys() - before.keys())
    assert "new.keras" not in after, "something was written before the names were checked"
    assert isinstance(done.exception, SystemExit), done.exception


@pytest.mark.parametrize("name", ["sm", "sm/saved_model.pb", "sm/variables/variables.index", "sm/variables/variables"])
def test_the_default_output_of_a_folder_lies_beside_it(name: str, folder: Path) -> None:
    assert default_output(Path(name)).resolve() == folder / "sm.keras"


def test_the_default_output_inside_a_folder_lies_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "sm")

    for name in (".", "saved_model.pb"):
        assert default_output(Path(name)).resolve() == folder / "sm.keras"


@pytest.mark.parametrize(
    "outputs", [("sm", "sm/new.keras"), ("sm/saved_model.pb", "sm/variables/variables.index"), ("h5/old.h5", "x.npz")]
)
def test_a_call_is_refused_as_a_command_is(outputs: Sequence[str], folder: Path) -> None:
    before = contents(folder)

    with pytest.raises(MigrationError, match="never changed"):
        migrate(outputs[0], outputs[1], calibration=["x.npz"], verify=False, overwrite=True)
    with pytest.raises(MigrationError, match="never changed"):
        prepare(outputs[0], "new", journal=outputs[0] if outputs[0] != "sm" else "sm/j", overwrite=True)

    assert contents(folder) == before


def test_what_was_written_before_may_be_written_again(folder: Path) -> None:
    words = ["migrate", "h5/old.h5", "new.keras", "--report", "h5/report.json", *FORCED]

    assert [CliRunner().invoke(main, words).exit_code for _ in range(2)] == [0, 0]
