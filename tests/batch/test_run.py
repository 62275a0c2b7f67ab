"""A batch ends as its files deserve, whatever one of them does to its worker, and however often it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate.batch import journal
from tcn_migrate.batch.run import Batch, prepare
from tcn_migrate.batch.work import BatchOutcome
from tcn_migrate.cli.main import main
from tcn_migrate.containers import probe
from tcn_migrate.errors import MigrationError
from tests.batch import archive, poison
from tests.cases import FIXTURES
from tests.readme import python_blocks

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return archive.make(tmp_path / "models")


def batch(sources: Path, to: Path | None, **arguments: Any) -> Batch:
    return prepare(sources, to, **{"workers": 2, "verify": False, **arguments})


def by_name(outcomes: Iterator[BatchOutcome], folder: Path) -> dict[str, BatchOutcome]:
    return {os.path.relpath(outcome.source, folder): outcome for outcome in outcomes}


def said(outcome: BatchOutcome) -> tuple[str, int, str | None]:
    return outcome.verdict, outcome.exit_code, outcome.message


def test_every_file_ends_as_it_does_alone(models: Path, tmp_path: Path) -> None:
    outcomes = by_name(batch(models, tmp_path / "new").outcomes(), models)

    assert list(outcomes) != []
    alone = tmp_path / "alone"
    alone.mkdir()
    for source, name in archive.SOURCES.items():
        result = CliRunner().invoke(main, [str(models / source), str(alone / "new.keras"), "--no-verify", "--json"])
        printed = json.loads(result.output)
        assert outcomes[source].exit_code == result.exit_code == archive.EXIT_CODES.get(source, 0)
        assert (outcomes[source].error, outcomes[source].message) == (printed.get("error"), printed.get("message"))
        if result.exit_code == 0:
            assert (alone / "new.keras").read_bytes() == (tmp_path / "new" / name).read_bytes()
            (alone / "new.keras").unlink()
        else:
            assert not (tmp_path / "new" / name).exists()
    assert archive.verdicts(tmp_path / "new" / journal.NAME) == {o.source: said(o) for o in outcomes.values()}


def test_the_command_ends_with_the_worst_exit_code_and_one_summary(models: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["batch", str(models), "--to", str(tmp_path / "new"), "--no-verify", "--workers", "2"]
    )

    assert result.exit_code == 3
    assert "9 checkpoints in" in result.stdout
    assert "6 migrated, 2 refused, 1 decision needed" in result.stdout
    assert "ScaledTCN" in result.stderr
    assert "--resume" in result.stderr


def test_a_list_on_standard_input_is_read(models: Path, tmp_path: Path) -> None:
    listed = "\n".join(str(models / name) for name in ("2023/plain.keras", "2020/old-1.index", "2023/gone.h5"))

    result = CliRunner().invoke(
        main, ["batch", "-", "--to", str(tmp_path / "new"), "--no-verify", "--json", "--workers", "1"], input=listed
    )

    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert {Path(line["source"]).name: line["exit_code"] for line in lines} == {
        "plain.keras": 0,
        "old-1": 0,
        "gone.h5": 1,
    }
    assert last["summary"]["verdicts"] == {"migrated": 2, "refused": 1}
    assert result.exit_code == 1


def test_a_census_writes_nothing(models: Path) -> None:
    before = archive.new_files(models)

    result = CliRunner().invoke(main, ["batch", str(models), "--inspect-only", "--workers", "1"])

    assert result.exit_code == 3
    assert "6 can be migrated" in result.stdout
    assert "keras zip, Keras 3.8.0" in result.stdout
    assert archive.new_files(models) == before


def test_settings_of_the_single_command_reach_every_file(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 1)

    (outcome,) = batch(models, tmp_path / "new", target="plain", max_bytes=10, workers=1).outcomes()

    assert outcome.error == "unsafe"
    assert "limit" in str(outcome.message)


def test_neither_keras_nor_a_backend_is_imported_without_verification(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 2)

    outcomes = list(replace(batch(models, tmp_path / "new"), work=poison.imported).outcomes())

    assert [outcome.warnings for outcome in outcomes] == [(), ()]


def test_with_verification_keras_is_imported_once_a_worker(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 3)

    outcomes = list(replace(batch(models, tmp_path / "new", workers=1, verify=True), work=poison.imported).outcomes())

    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0]
    assert "keras" in outcomes[0].warnings
    assert len({outcome.repairs for outcome in outcomes}) == 1  # the same process


def test_a_file_that_kills_its_worker_and_one_that_hangs_cost_only_themselves(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 5)
    for name in ("a-poison.keras", "a-hang.keras", "z-poison.keras"):
        archive.copies(models, 1, name)

    run = replace(batch(models, tmp_path / "new", time_limit=5), work=poison.work)
    outcomes = by_name(run.outcomes(), models)

    assert {name: outcome.verdict for name, outcome in outcomes.items()} == {
        **{f"model-{k:04}.keras": "migrated" for k in range(5)},
        "a-poison.keras": "crashed",
        "a-hang.keras": "timed out",
        "z-poison.keras": "crashed",
    }
    assert "signal 9" in str(outcomes["a-poison.keras"].message)
    assert sorted(archive.new_files(tmp_path / "new")) == [f"model-{k:04}.keras" for k in range(5)]


def test_a_file_that_hdf5_dies_of_gets_the_verdict_of_the_single_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = archive.copies(tmp_path / "models", 1, "poison.keras")
    tried = []

    def withstands(path: Path) -> None:
        tried.append(path.name)
        probe.refuse(-11)

    monkeypatch.setattr(probe, "withstands", withstands)

    (outcome,) = replace(batch(models, tmp_path / "new", workers=1), work=poison.work).outcomes()

    assert tried == ["poison.keras"]
    assert (outcome.verdict, outcome.error) == ("refused", "container")


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel keeps RLIMIT_DATA")
def test_a_file_that_takes_too_much_memory_costs_only_itself(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 1, "greedy.keras")

    run = replace(batch(models, tmp_path / "new", workers=1, memory_limit=1 << 30), work=poison.greedy)
    (outcome,) = run.outcomes()

    assert (outcome.verdict, outcome.exit_code) == ("out of memory", 1)


def test_resume_tries_again_what_failed_and_skips_what_is_done_and_unchanged(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 3)
    archive.copies(models, 1, "poison.keras")
    list(replace(batch(models, tmp_path / "new"), work=poison.work).outcomes())
    changed = FIXTURES / "keras3/plain-357-k3151/old.keras"
    (models / "model-0001.keras").write_bytes(changed.read_bytes())
    (tmp_path / "new" / "model-0002.keras").unlink()
    with (tmp_path / "new" / journal.NAME).open("a") as file:
        file.write('{"source": "torn by a pow')
    (tmp_path / "new" / ".poison.keras.abcd1234.part").mkdir()
    (tmp_path / "new" / ".poison.keras.abcd1234.part" / "model.keras").touch()

    outcomes = by_name(batch(models, tmp_path / "new", resume=True).outcomes(), models)

    assert {name: outcome.skipped for name, outcome in outcomes.items()} == {
        "model-0000.keras": True,
        "model-0001.keras": False,
        "model-0002.keras": False,
        "poison.keras": False,
    }
    assert {outcome.verdict for outcome in outcomes.values()} == {"migrated"}
    assert sorted(archive.new_files(tmp_path / "new")) == sorted(outcomes)
    entries = list(journal.lines(tmp_path / "new" / journal.NAME))
    assert {entry["source"] for entry in entries} == {outcome.source for outcome in outcomes.values()}


def test_resume_replaces_what_was_written_and_not_noted_and_nothing_else(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 2)
    list(batch(models, tmp_path / "new").outcomes())
    (tmp_path / "new" / journal.NAME).unlink()
    (tmp_path / "new" / "model-0001.keras").write_text("of somebody else")

    outcomes = by_name(batch(models, tmp_path / "new", resume=True).outcomes(), models)

    assert outcomes["model-0000.keras"].verdict == "migrated"
    assert "exists already" in str(outcomes["model-0001.keras"].message)
    assert (tmp_path / "new" / "model-0001.keras").read_text() == "of somebody else"


def test_a_journal_of_an_earlier_run_is_not_written_over(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 1)
    list(batch(models, tmp_path / "new").outcomes())

    with pytest.raises(MigrationError, match="--resume"):
        batch(models, tmp_path / "new")
    assert [outcome.verdict for outcome in batch(models, tmp_path / "new", overwrite=True).outcomes()] == ["migrated"]


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("Chapter 1\n")

    with pytest.raises(MigrationError, match="no journal"):
        batch(archive.copies(tmp_path / "models", 1), None, journal=tmp_path / "thesis.txt", resume=True)
    assert (tmp_path / "thesis.txt").read_text() == "Chapter 1\n"


def test_new_files_do_not_go_among_the_old(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="among the old"):
        batch(archive.copies(tmp_path / "models", 1), tmp_path / "models")


def test_empty_folders_are_not_left_behind(tmp_path: Path) -> None:
    archive.copies(tmp_path / "models" / "bad", 1, "a.keras")
    (tmp_path / "models" / "bad" / "a.keras").write_bytes(b"PK\x03\x04")
    archive.copies(tmp_path / "models" / "good", 1)

    list(batch(tmp_path / "models", tmp_path / "new").outcomes())

    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["good", journal.NAME]


def test_leaving_the_loop_stops_the_workers(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 4, "slow-{}.keras")
    archive.copies(models, 1, "hang.keras")

    outcomes = replace(batch(models, tmp_path / "new"), work=poison.work).outcomes()
    next(outcomes)
    started = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]

    assert time.monotonic() - started < 30
    assert list((tmp_path / "new").rglob("*.part")) == []


DRIVER = """
import functools, signal, sys
import tcn_migrate.batch.run as run
from tests.batch import poison

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may itself be deaf to Ctrl-C
    run.Batch.__init__.__defaults__ = (*run.Batch.__init__.__defaults__[:-1], poison.work)
    from tcn_migrate.cli.main import main
    main()
"""


def start(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command as a process of its own, with workers that know poison."""
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    return subprocess.Popen(
        [sys.executable, str(driver), "batch", *map(str, arguments), "--no-verify", "--workers", "2"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_lines(file: Path, count: int) -> None:
    for _ in range(600):
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.1)
    raise AssertionError("the batch noted nothing")


def test_killed_in_the_middle_and_resumed_it_ends_as_if_undisturbed(models: Path, tmp_path: Path) -> None:
    archive.copies(models / "more", 12, "slow-{:02}.keras")
    process = start(tmp_path, models, "--to", tmp_path / "new", "--quiet")
    wait_for_lines(tmp_path / "new" / journal.NAME, 10)
    process.kill()
    process.communicate()

    resumed = start(tmp_path, models, "--to", tmp_path / "new", "--resume", "--quiet")
    printed, errors = resumed.communicate(timeout=120)
    undisturbed = start(tmp_path, models, "--to", tmp_path / "undisturbed", "--quiet")
    undisturbed.communicate(timeout=120)

    assert resumed.returncode == undisturbed.returncode == 3
    assert "by an earlier run" in printed, errors
    assert archive.verdicts(tmp_path / "new" / journal.NAME) == archive.verdicts(
        tmp_path / "undisturbed" / journal.NAME
    )
    assert archive.new_files(tmp_path / "new") == archive.new_files(tmp_path / "undisturbed")


def test_workers_end_with_a_batch_that_is_killed_even_those_that_hang(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 1)
    archive.copies(models, 2, "z-hang-{}.keras")
    process = start(tmp_path, models, "--to", tmp_path / "new", "--quiet")
    wait_for_lines(tmp_path / "new" / journal.NAME, 1)
    time.sleep(0.5)
    process.kill()
    started = time.monotonic()
    process.communicate(timeout=30)  # the workers hold the ends of these pipes as long as they live

    assert time.monotonic() - started < 10


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_cleanly_and_says_how_to_go_on(tmp_path: Path, how: signal.Signals) -> None:
    models = archive.copies(tmp_path / "models", 40, "slow-{:02}.keras")
    process = start(tmp_path, models, "--to", tmp_path / "new")
    wait_for_lines(tmp_path / "new" / journal.NAME, 1)
    # Ctrl-C reaches every process of the terminal, SIGTERM the one it is sent to.
    (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "to go on: tcn-migrate batch" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert list((tmp_path / "new").rglob("*.part")) == []


def test_the_script_of_the_readme_migrates_a_folder_and_one_without_a_guard_is_told(tmp_path: Path) -> None:
    archive.copies(tmp_path / "models", 1)
    archive.copies(tmp_path / "models", 1, "torn.keras")
    (tmp_path / "models" / "torn.keras").write_bytes(b"PK")
    (script,) = [block for block in python_blocks((ROOT / "README.md").read_text()) if "migrate_many" in block]
    call = 'tcn_migrate.migrate_many("models", "migrated"'
    assert call in script
    (tmp_path / "good.py").write_text(script.replace(call, f"{call}, workers=1, verify=False"))
    (tmp_path / "bad.py").write_text(f"import tcn_migrate\nlist({call.replace('migrated', 'other')}))\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    good, bad = (
        subprocess.run([sys.executable, name], cwd=tmp_path, env=environment, capture_output=True, text=True)
        for name in ("good.py", "bad.py")
    )

    assert good.stdout.startswith(str(tmp_path / "models" / "torn.keras: refused: ")), good.stderr
    assert (good.returncode, good.stdout.count("\n")) == (1, 1)
    assert [path.name for path in (tmp_path / "migrated").glob("*.keras")] == ["model-0000.keras"]
    assert "if __name__ == '__main__':" in bad.stderr
    assert bad.returncode == 1


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_memory_of_the_parent_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 2000)

    sizes = [resident() for _ in batch(models, tmp_path / "new").outcomes()]

    assert len(sizes) == 2000
    assert max(sizes[200:]) - sizes[200] < 8 << 20
    assert len(archive.verdicts(tmp_path / "new" / journal.NAME)) == 2000


def test_what_cannot_be_sent_to_a_worker_is_said_at_once(tmp_path: Path) -> None:
    class Local:
        pass

    with pytest.raises(MigrationError, match="cannot be sent"):
        tcn_migrate.migrate_many(
            archive.copies(tmp_path / "models", 1), tmp_path / "new", custom_objects={"Local": Local}
        )
