"""What a person meets first: a word that was mistyped, a folder that is not there, a name that is said once."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tcn_migrate
from tcn_migrate.batch.work import Job, work
from tcn_migrate.cli.main import main
from tests.cases import FIXTURES
from tests.readme import ENVIRONMENT, ROOT

OLD = FIXTURES / "keras2" / "elu-skip-312" / "old.h5"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.mark.parametrize(("typed", "meant"), [("inspct", "inspect"), ("verfy", "verify"), ("Batch", "batch")])
def test_a_mistyped_command_is_no_file(typed: str, meant: str) -> None:
    result = run(typed, OLD)
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.output


def test_a_file_that_is_called_like_a_command_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inspct").write_bytes(OLD.read_bytes())
    assert run("inspct", "new.keras", "--no-verify").exit_code == 0


def test_a_mistyped_option_is_answered_by_the_nearest_one() -> None:
    assert "Did you mean '--verbose'?" in run("inspect", OLD, "--verbos").output


@pytest.mark.parametrize("command", [["migrate"], ["inspect"]])
def test_the_name_of_a_file_is_said_once(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cut.h5").write_bytes(OLD.read_bytes()[:3000])
    result = run(*command, "cut.h5")
    assert result.exit_code == 1
    assert result.output.count("cut.h5") == 1


def test_a_report_without_a_folder_stops_before_anything_is_written(tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    result = run(OLD, new, "--no-verify", "--report", tmp_path / "none" / "page.html")
    assert result.exit_code == 1
    assert result.output.count("no such folder") == 1
    assert not new.exists()


@pytest.mark.parametrize("command", [[], ["inspect"], ["plan"]])
def test_a_url_leads_to_the_command_that_reads_it(command: list[str]) -> None:
    result = run(*command, "s3://bucket/old.h5")
    assert result.exit_code == 2
    assert "tcn-migrate batch s3://bucket/old.h5 --to migrated" in result.output


def test_a_tilde_is_the_home_folder_where_no_shell_expands_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.h5").write_bytes(OLD.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert run("~/old.h5", "--no-verify", "--report=~/page.html").exit_code == 0
    assert (tmp_path / "old.keras").exists()
    assert (tmp_path / "page.html").exists()


def test_versions_are_printed_without_importing_what_they_are_of() -> None:
    script = (
        "import sys\nfrom tcn_migrate.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'keras', 'tensorflow', 'numpy', 'h5py'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    from importlib.metadata import version

    for line in (tcn_migrate.__version__, *(f"{name} {version(name)}" for name in ("keras", "tensorflow", "h5py"))):
        assert line in done.stdout


@pytest.mark.parametrize("words", [["inspect", OLD, "--color", "always"], ["--color=always", "inspect", OLD]])
def test_colour_is_asked_for_before_and_behind_a_command(words: list[object]) -> None:
    assert "\x1b[" in run(*words).output
    assert "\x1b[" not in run("inspect", OLD).output


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(main, ["inspect", str(OLD)], color=True).output
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[" in CliRunner().invoke(main, ["inspect", str(OLD)], color=True).output


def test_each_step_is_logged_and_verbose_prints_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tcn_migrate"):
        tcn_migrate.migrate(OLD, tmp_path / "one.keras", verify=False)
    steps = [record.message.split()[0] for record in caplog.records]
    assert steps == ["reading", "planned", "writing"]
    assert "INFO tcn_migrate.migration: writing" in run(OLD, tmp_path / "two.keras", "--no-verify", "-v").stderr
    assert logging.getLogger("tcn_migrate").handlers == []


def test_a_batch_of_nothing_begins_nothing(tmp_path: Path) -> None:
    result = run("batch", tmp_path / "none", "--to", tmp_path / "new")
    assert result.exit_code == 1
    assert "no such file or folder" in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_script_without_a_guard_leaves_no_journal_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "old.h5").write_bytes(OLD.read_bytes())
    (tmp_path / "script.py").write_text("import tcn_migrate\nlist(tcn_migrate.migrate_many('models', 'new'))\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    failed = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert failed.stderr.count("Traceback") == 1
    assert "worker processes cannot be started from here" in failed.stderr
    result = run("batch", tmp_path / "models", "--to", tmp_path / "new", "--no-verify", "--workers", 1)
    assert result.exit_code == 0, result.output


def test_a_linked_folder_that_is_not_searched_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    run("batch", tmp_path / "models", "--inspect-only")
    assert [r.message for r in caplog.records if "link to a folder" in r.message and "models/link" in r.message]


def test_a_full_disk_is_no_refusal_and_stops_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tcn_migrate.batch import run as batch
    from tcn_migrate.errors import NoRoomError

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in range(3):
        (tmp_path / f"{number}.h5").write_bytes(OLD.read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr("tcn_migrate.write.tempfile.mkdtemp", full)
        prepared = batch.prepare(tmp_path, tmp_path / "new", verify=False)
        patched.setattr(batch, "run_here", lambda jobs, limits, task: map(task, jobs))
        outcomes = prepared.outcomes()
        first = next(outcomes)
        assert (first.verdict, first.error) == ("no room", "disk")
        with pytest.raises(NoRoomError, match="--resume"):
            next(outcomes)
    again = batch.prepare(tmp_path, tmp_path / "new", verify=False, resume=True)
    assert [work(job).verdict for job in again.jobs] == ["migrated"] * 3
    assert isinstance(again.jobs[0], Job)


BROKEN = {
    "keras": ({}, "import sys\nsys.modules['keras'] = None\n", "pip install keras tensorflow"),
    "a backend": ({"KERAS_BACKEND": "jax"}, "import sys\nsys.modules['jax'] = None\n", "pip install jax"),
    "the backend of keras.json": (
        {"KERAS_BACKEND": ""},
        "import sys\nsys.modules['torch'] = None\n",
        "pip install torch",
    ),
}


@pytest.mark.parametrize("lacking", BROKEN)
def test_what_is_not_installed_is_one_sentence_with_the_line_to_type(lacking: str, tmp_path: Path) -> None:
    """A module of None in `sys.modules` is one that is not installed. Keras reads its settings below KERAS_HOME."""
    variables, before, line = BROKEN[lacking]
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    environment = {**ENVIRONMENT, "KERAS_HOME": str(tmp_path), **variables}
    if not environment.get("KERAS_BACKEND"):
        environment.pop("KERAS_BACKEND", None)
    for words in (
        ["migrate", str(OLD), str(tmp_path / "new.keras")],
        ["inspect", str(OLD), "--custom-objects", "json"],
    ):
        script = f"{before}from tcn_migrate.cli.main import main\nmain({words!r})\n"
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
        assert done.returncode == 1, done.stderr
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.glob("*.keras")) == []


def test_a_batch_that_lacks_a_library_stops_at_the_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tcn_migrate.batch import run as batch
    from tcn_migrate.errors import LibraryMissing

    for number in range(3):
        (tmp_path / f"{number}.h5").write_bytes(OLD.read_bytes())
    monkeypatch.setattr(batch, "run_here", lambda jobs, limits, task: map(task, jobs))
    monkeypatch.setitem(sys.modules, "keras", None)
    outcomes = batch.prepare(tmp_path, tmp_path / "new").outcomes()
    assert next(outcomes).error == "environment"
    with pytest.raises(LibraryMissing, match="--resume"):
        next(outcomes)
