"""A journal is data: what it says is compared with the command and with the files, and it leads nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tcn_migrate.batch import journal
from tcn_migrate.batch.find import Source
from tcn_migrate.batch.names import is_name_for, targets
from tcn_migrate.batch.run import prepare
from tcn_migrate.cli.main import main
from tcn_migrate.errors import MigrationError
from tests.batch import archive


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return archive.copies(tmp_path / "models", 2)


def run(models: Path, to: Path, **settings: Any) -> dict[str, Any]:
    outcomes = prepare(models, to, workers=1, **{"verify": False, **settings}).outcomes()
    return {Path(outcome.source).name: outcome for outcome in outcomes}


def forge(to: Path, **values: Any) -> None:
    """Changes the journal's entry of the first file."""
    log = to / journal.NAME
    entries = list(journal.lines(log))
    first = min(entries, key=lambda entry: str(entry["source"]))
    first.update(values)
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def snapshot(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_target_of_the_journal_that_points_elsewhere_is_not_written(models: Path, tmp_path: Path) -> None:
    to, victim = tmp_path / "new", tmp_path / "victim.keras"
    run(models, to)
    for place in (victim, to / "sub/../../victim.keras", to / "model-0001.keras", to / "other.keras"):
        (to / "model-0000.keras").unlink(missing_ok=True)
        forge(to, target=str(place))

        done = run(models, to, resume=True)

        assert done["model-0000.keras"].target == str(to / "model-0000.keras")
        assert not victim.exists()
        assert {path.name for path in to.iterdir()} == {"model-0000.keras", "model-0001.keras", journal.NAME}


def test_a_target_that_another_run_chose_is_kept(tmp_path: Path) -> None:
    models, to = tmp_path / "models", tmp_path / "new"
    archive.copies(models, 1, "a.keras")
    archive.copies(models, 1, "a.h5")
    first = run(models, to)
    assert first["a.keras"].target == str(to / "a.keras.keras")
    (models / "a.h5").unlink()

    second = run(models, to, resume=True)

    assert second["a.keras"].skipped
    assert second["a.keras"].target == str(to / "a.keras.keras")


def test_two_files_never_get_one_target(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models/sub", 2).parent
    archive.copies(models / "other", 1)
    to = tmp_path / "new"
    run(models, to)
    other = next(entry for entry in journal.lines(to / journal.NAME) if "other" in entry["source"])
    other["target"] = str(to / "model-0000.keras")  # a name that it had, were it alone
    with (to / journal.NAME).open("a") as file:
        file.write(json.dumps(other) + "\n")
    sub = next(entry for entry in journal.lines(to / journal.NAME) if "sub/model-0000" in entry["source"])
    sub["target"] = str(to / "model-0000.keras")
    with (to / journal.NAME).open("a") as file:
        file.write(json.dumps(sub) + "\n")

    done = prepare(models, to, workers=1, verify=False, resume=True)

    assert len(done.refused) == 2
    assert all("same new file" in str(outcome.message) for outcome in done.refused)


@pytest.mark.parametrize("content", ["somebody else's", "metadata"])
def test_a_line_of_the_journal_is_no_proof_of_a_file(content: str, models: Path, tmp_path: Path) -> None:
    to = tmp_path / "new"
    run(models, to)
    good, forged = (to / "model-0000.keras").read_bytes(), to / "model-0001.keras"
    if content == "metadata":  # every word of it right, and one weight wrong
        data = bytearray(forged.read_bytes())
        place = data.index(b"\x89HDF") + 3000
        data[place] ^= 1
        forged.write_bytes(data)
    else:
        forged.write_text(content)

    done = run(models, to, resume=True)

    assert done["model-0000.keras"].skipped
    assert not done["model-0001.keras"].skipped
    if content == "metadata":
        assert forged.read_bytes() == good  # the same model; it claims to be of this source, and was made again
    else:
        assert "exists already" in str(done["model-0001.keras"].message)
        assert forged.read_text() == content


def test_resume_with_another_setting_makes_the_files_anew(models: Path, tmp_path: Path) -> None:
    to = tmp_path / "new"
    run(models, to)

    done = run(models, to, resume=True, target="plain")

    assert [outcome.skipped for outcome in done.values()] == [False, False]
    assert {outcome.verdict for outcome in done.values()} == {"migrated"}


def test_resume_leaves_no_folder_behind(models: Path, tmp_path: Path) -> None:
    to = tmp_path / "new"
    run(models, to)

    run(models, to, resume=True)

    assert {path.name for path in to.iterdir()} == {"model-0000.keras", "model-0001.keras", journal.NAME}


@pytest.mark.parametrize(
    "values",
    [
        {"exit_code": "0"},
        {"exit_code": None},
        {"target": 3},
        {"target": {"a": 1}},
        {"sha256": ["x"]},
        {"container": "\x1b[2Jgood"},
        {"container": {"a": 1}},
        {"keras_version": "3\nVERIFIED"},
        {"mark": 7},
    ],
    ids=str,
)
def test_values_that_no_run_notes_make_a_line_void(values: dict[str, Any], models: Path, tmp_path: Path) -> None:
    to = tmp_path / "new"
    run(models, to)
    forge(to, **values)

    result = CliRunner().invoke(
        main, ["batch", str(models), "--to", str(to), "--resume", "--no-verify", "--workers", "1"]
    )

    assert result.exit_code == 0, result.output
    assert "1 of them by an earlier run" in result.output
    assert all(line.isprintable() for line in result.output.replace("\t", " ").splitlines())


@pytest.mark.parametrize("resume", [True, False])
def test_a_journal_that_is_a_link_is_not_followed(resume: bool, models: Path, tmp_path: Path) -> None:
    to, victim = tmp_path / "new", tmp_path / "victim"
    to.mkdir()
    victim.write_text("")
    for leads_to in (victim, tmp_path / "not-there"):
        (to / journal.NAME).unlink(missing_ok=True)
        (to / journal.NAME).symlink_to(leads_to)

        with pytest.raises(MigrationError, match="link"):
            run(models, to, resume=resume, overwrite=not resume)

        assert victim.read_text() == ""
        assert not (tmp_path / "not-there").exists()


def test_the_journal_is_replaced_by_way_of_no_name_that_is_known(models: Path, tmp_path: Path) -> None:
    to, victim = tmp_path / "new", tmp_path / "victim"
    run(models, to)
    victim.write_text("mine")
    (to / f"{journal.NAME}.part").symlink_to(victim)

    run(models, to, resume=True)

    assert victim.read_text() == "mine"


def test_a_journal_that_is_a_pipe_is_not_waited_for(models: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(MigrationError, match="no regular file"):
        run(models, tmp_path / "new", resume=True, journal=tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"Chapter 1\n", b"\x00" * 3_000_000, b'{"a": 1}\n', b'{"source": 3}\n'])
@pytest.mark.parametrize("again", [{"resume": True}, {"overwrite": True}])
def test_no_other_file_is_removed_or_changed_as_a_journal(
    content: bytes, again: dict[str, bool], models: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_bytes(content)

    with pytest.raises(MigrationError, match="no journal"):
        run(models, tmp_path / "new", journal=tmp_path / "thesis.txt", **again)

    assert (tmp_path / "thesis.txt").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b'{"sou', b'{"source": "/a/b", "tar'])
def test_a_journal_that_was_torn_in_its_first_line_is_one(content: bytes, models: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(content)

    done = run(models, tmp_path / "new", journal=tmp_path / "log.jsonl", resume=True)

    assert {outcome.verdict for outcome in done.values()} == {"migrated"}


def test_a_link_in_the_folder_of_the_new_files_is_not_followed_out_of_it(tmp_path: Path) -> None:
    models, to, elsewhere = tmp_path / "models", tmp_path / "new", tmp_path / "elsewhere"
    archive.copies(models / "sub", 1)
    archive.copies(models / "inside", 1, "in-{}.keras")
    archive.copies(models, 1, "top.keras")
    for folder in (to / "real", elsewhere):
        folder.mkdir(parents=True)
    (to / "sub").symlink_to(elsewhere)
    (to / "inside").symlink_to("real")

    done = run(models, to)

    assert list(elsewhere.iterdir()) == []
    assert "link" in str(done["model-0000.keras"].message)
    assert {done["top.keras"].verdict, done["in-0.keras"].verdict} == {"migrated"}


NAMES = st.text("ab./\\.h5keras", min_size=1, max_size=12)


@given(st.lists(st.sampled_from(["/m/a.h5", "/m/a.keras", "/m/x/a.h5", "/m/x/b", "/n/c.h5"]), min_size=1, unique=True))
def test_whatever_name_is_given_is_a_name_for_its_source(paths: list[str]) -> None:
    sources = [Source(path, "file", os.path.dirname(path)) for path in paths]
    for source, target in zip(sources, targets(sources, "/to"), strict=True):
        if isinstance(target, str):
            assert is_name_for(source, target, "/to")


@given(NAMES, st.sampled_from(["/to/", "/to/../", "/", "/tox/", ""]))
def test_no_other_name_is_one(name: str, start: str) -> None:
    source = Source("/m/x/a.h5", "file", "/m")

    fits = is_name_for(source, start + name, "/to")

    assert fits == (start + name in {f"/to/{above}a{old}.keras" for above in ("", "x/", "m/x/") for old in ("", ".h5")})
