"""Nothing is lost: whatever interrupts a migration, the source is as it was, and the target whole or not there."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tcn_migrate import write
from tcn_migrate.containers import probe
from tcn_migrate.errors import MigrationError
from tcn_migrate.migration import migrate
from tests.hostile import bend

KILLS = int(os.environ.get("TCN_MIGRATE_KILLS", "15"))
"""The long run is `TCN_MIGRATE_KILLS=200 pytest tests/hostile/test_nothing_lost.py`."""


@pytest.fixture(autouse=True)
def no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "withstands", lambda *_: None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old.h5"
    path.write_bytes(bend.H5.read_bytes())
    return path


def in_child(action: Callable[[], Any]) -> int:
    """Starts an action in a process of its own; its status is 0, or 1 for a MigrationError and 2 for anything else."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            action()
            status = 0
        except MigrationError:
            status = 1
        finally:
            os._exit(status)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("before", [None, b"what was there before"])
def test_a_kill_leaves_the_source_and_a_whole_target_or_none(
    source: Path, tmp_path: Path, before: bytes | None
) -> None:
    whole, target = tmp_path / "whole.keras", tmp_path / "new.keras"
    start = time.monotonic()
    migrate(source, whole, verify=False)
    takes = time.monotonic() - start

    def start_one() -> int:
        return in_child(lambda: migrate(source, target, verify=False, overwrite=True))

    assert killed(start_one, source, whole, target, takes, before) > KILLS // 3


@pytest.mark.slow
def test_a_kill_during_verification_leaves_no_target_that_was_not_verified(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.keras", tmp_path / "new.keras"

    def started(new: Path) -> int:
        run = "from tcn_migrate.cli.main import main; main()"
        return subprocess.Popen([sys.executable, "-c", run, "-q", str(source), str(new), "--overwrite"]).pid

    start = time.monotonic()
    assert ended(started(whole)) == 0
    takes = time.monotonic() - start

    assert killed(lambda: started(target), source, whole, target, takes, None) > KILLS // 3


def killed(
    start_one: Callable[[], int], source: Path, whole: Path, target: Path, takes: float, before: bytes | None
) -> int:
    """How many of `KILLS` migrations were killed before they ended, nothing being lost by any."""
    folder, chance, count = source.parent, Random(1), 0
    old = source.read_bytes()
    for _ in range(KILLS):
        if before is not None:
            target.write_bytes(before)
        child = start_one()
        time.sleep(chance.uniform(0, 1.2 * takes))
        os.kill(child, signal.SIGKILL)
        count += ended(child) == -signal.SIGKILL

        assert source.read_bytes() == old
        found = target.read_bytes() if target.exists() else None
        assert found in (before, whole.read_bytes())
        for path in set(folder.iterdir()) - {source, whole, target}:
            assert re.fullmatch(r"\.new\.keras\..*\.part", path.name)
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
        target.unlink(missing_ok=True)
    return count


@pytest.mark.parametrize("left", [0, 100, 5_000, 20_000])
def test_a_full_disk_is_an_error_and_leaves_nothing(source: Path, tmp_path: Path, left: int) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, left))
        migrate(source, tmp_path / "new.keras", verify=False)

    assert ended(in_child(fill)) == 1
    assert list(tmp_path.iterdir()) == [source]


def test_a_folder_that_cannot_be_written_is_an_error(source: Path) -> None:
    with pytest.raises(MigrationError, match="cannot write to the folder"):
        migrate(source, Path("/proc/new.keras"), verify=False)


def test_a_source_that_vanishes_is_an_error(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "withstands", lambda *_: source.unlink())

    with pytest.raises(MigrationError):
        migrate(source, tmp_path / "new.keras", verify=False)

    assert list(tmp_path.iterdir()) == []


def test_a_target_that_appears_meanwhile_is_kept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, written = tmp_path / "new.keras", write.write_keras

    def meanwhile(*arguments: Any) -> Any:
        odd = written(*arguments)
        target.write_text("somebody else's")
        return odd

    monkeypatch.setattr(write, "write_keras", meanwhile)

    with pytest.raises(MigrationError, match="exists already"):
        migrate(source, target, verify=False)

    assert target.read_text() == "somebody else's"
    assert {path.name for path in tmp_path.iterdir()} == {"old.h5", "new.keras"}


def test_of_two_migrations_to_one_target_one_wins(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.keras"
    children = [in_child(lambda: migrate(source, target, verify=False)) for _ in range(4)]

    assert sorted(ended(child) for child in children) == [0, 1, 1, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"old.h5", "new.keras"}


@pytest.mark.parametrize("name", ["old.h5", "./old.h5", "folder/../old.h5", "link.h5"])
def test_the_source_is_never_the_target(source: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.h5").symlink_to(source)
    old = source.read_bytes()

    with pytest.raises(MigrationError):
        migrate(source, tmp_path / name, verify=False, overwrite=True)

    assert source.read_bytes() == old
