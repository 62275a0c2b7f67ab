"""No file of the table gets what it attempts: nothing is run or imported, nothing else opened, nothing exhausted."""

from __future__ import annotations

import io
import resource
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate.cli.main import main
from tcn_migrate.containers import probe
from tcn_migrate.errors import MigrationError, UnexpectedError
from tcn_migrate.migration import migrate
from tests.fuzz.run import withstands
from tests.hostile import bend
from tests.hostile.arrays import ARRAYS
from tests.hostile.configs import CONFIGS
from tests.hostile.folders import FOLDERS
from tests.hostile.pieces import PIECES
from tests.hostile.table import BENIGN, EITHER, FALSE_VERDICT, OUTPUT, PASSES, REFUSED, TABLE, Hostile, Place
from tests.hostile.watch import opens_of, watched

SECRET = "SECRET-7c1e"
SECONDS = 10
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def everything_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that whatever is imported later, a file had imported."""
    folder = tmp_path_factory.mktemp("good")
    for number, good in enumerate(BENIGN[:3]):
        path = folder / f"old{number}{good.suffix}"
        write(good, path, Place(folder, folder / "canary"))
        migrate(path, folder / f"{number}.keras", verify=False)
        CliRunner().invoke(main, ["inspect", str(path)])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder with secrets, one for temporary files, and a module that leaves a file when it is imported."""
    secret, canary = tmp_path / "secret", tmp_path / "canary"
    for name in ("secret", "work", "temporary", "importable"):
        (tmp_path / name).mkdir()
    (secret / "secret.txt").write_text(f"{SECRET}\n" * 40)
    with h5py.File(secret / "secret.h5", "w") as file:
        file["kernel"] = np.full((2, 2, 3), 1234.5, "f4")
    (tmp_path / "importable/evil_tcn.py").write_text(
        f"open({str(canary)!r}, 'w')\nclass TCN: pass\ndef loss(*a): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "importable"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    # The same in a child of this process: starting another interpreter would be seen as an offence.
    monkeypatch.setattr(probe, "withstands", withstands)
    monkeypatch.setattr(probe, "CPU_SECONDS", 2)
    yield Place(secret, canary)
    assert not canary.exists(), "its code was run"


def write(hostile: Hostile, path: Path, place: Place) -> None:
    made = hostile.make(place)
    if callable(made):
        made(path)
    else:
        path.write_bytes(made)


def arrays(path: Path) -> dict[str, bytes]:
    """The bytes of every array in a migrated file."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as store:
        store.visititems(
            lambda name, thing: found.update({name: thing[()].tobytes()} if hasattr(thing, "shape") else {})
        )
    return found


def attempt(path: Path, target: Path) -> MigrationError | None:
    try:
        migrate(path, target, verify=False)
    except MigrationError as error:
        return error
    return None


@pytest.mark.parametrize("hostile", [*TABLE, *ARRAYS, *PIECES, *CONFIGS, *FOLDERS], ids=lambda hostile: hostile.id)
def test_a_strangers_file_gets_nothing(hostile: Hostile, place: Place, tmp_path: Path) -> None:
    path, target = tmp_path / "work" / f"old{hostile.suffix}", tmp_path / "work" / "new.keras"
    write(hostile, path, place)
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    with opens_of(place.secret) as opened, watched(path, tmp_path / "work", tmp_path / "temporary") as watch:
        error = attempt(path, target)

    assert watch.offences == []
    assert opened == []
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 512 * 1024
    assert {item.name for item in (tmp_path / "work").iterdir()} == {path.name} | (
        {target.name} if not error else set()
    )
    assert list((tmp_path / "temporary").iterdir()) == []
    if hostile.expect == PASSES:
        assert error is None
        good = tmp_path / "good.keras"
        migrate(
            bend.SAVED_MODEL if path.is_dir() else bend.KERAS if path.read_bytes()[:2] == b"PK" else bend.H5,
            good,
            verify=False,
        )
        assert arrays(target) == arrays(good)
    elif hostile.expect == REFUSED:
        assert error is not None
    if error is not None:
        said = str(error)
        assert not isinstance(error, UnexpectedError)
        assert SECRET not in said
        assert said.isprintable()
        assert len(said) < 20_000
        if hostile.expect == REFUSED:
            assert all(any(word in said.lower() for word in words.lower().split("|")) for words in hostile.words), said
    elif hostile.expect == EITHER:
        assert SECRET.encode() not in target.read_bytes()


@pytest.mark.parametrize("command", ["inspect", "plan"])
@pytest.mark.parametrize("hostile", OUTPUT, ids=lambda hostile: hostile.id)
def test_no_string_out_of_a_file_reaches_the_terminal_as_it_is(
    hostile: Hostile, command: str, place: Place, tmp_path: Path
) -> None:
    path = tmp_path / f"old{hostile.suffix}"
    write(hostile, path, place)

    for options in ([], ["--json"]):
        said = CliRunner().invoke(main, [command, str(path), *options]).output
        assert all(line.isprintable() for line in said.replace("\t", " ").splitlines()), said
        assert not any(line.strip().startswith(FALSE_VERDICT) for line in said.splitlines())
        assert len(said) < 20_000
