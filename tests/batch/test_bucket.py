"""From a bucket and into one, everything ends as it does between folders: against a real S3 server on loopback."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tcn_migrate.batch import journal, storage
from tcn_migrate.batch.find import find
from tcn_migrate.batch.run import prepare
from tcn_migrate.cli.main import main
from tcn_migrate.errors import MigrationError
from tests.batch import archive

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

BUCKET = "s3://archive"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "werkzeug")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)  # which the workers inherit
    yield settings["AWS_ENDPOINT_URL"]
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    system.mkdir("archive")
    yield system
    system.rm("archive", recursive=True)


def journal_of(path: Path) -> dict[str, tuple[Any, ...]]:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        entry["source"].partition("models/")[2]: (entry["verdict"], entry["exit_code"], entry["message"])
        for entry in entries
    }


def test_a_bucket_ends_as_a_folder_does(bucket: Any, tmp_path: Path) -> None:
    models = archive.make(tmp_path / "models")
    bucket.put(str(models), "archive/models", recursive=True)
    list(prepare(models, tmp_path / "new", workers=2, verify=False).outcomes())

    log = tmp_path / "bucket.jsonl"
    run = prepare(f"{BUCKET}/models", f"{BUCKET}/new", journal=log, workers=2, verify=False)
    list(run.outcomes())

    assert journal_of(log) == journal_of(tmp_path / "new" / journal.NAME)
    bucket.get("archive/new", str(tmp_path / "fetched"), recursive=True)
    assert archive.new_files(tmp_path / "fetched") == archive.new_files(tmp_path / "new")


def test_resume_in_a_bucket_skips_what_is_done_and_does_not_touch_what_is_not_its_own(
    bucket: Any, tmp_path: Path
) -> None:
    bucket.put(str(archive.copies(tmp_path / "models", 3)), "archive/models", recursive=True)
    arguments = ["batch", f"{BUCKET}/models", "--to", f"{BUCKET}/new", "--no-verify", "--workers", "1", "--json"]
    arguments += ["--journal", str(tmp_path / "log.jsonl")]
    CliRunner().invoke(main, arguments)
    log = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "log.jsonl").write_text("".join(line for line in log if "model-0000" in line))
    bucket.pipe("archive/new/model-0002.keras", b"of somebody else")

    result = CliRunner().invoke(main, [*arguments, "--resume"])

    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    said = {line["source"].rpartition("/")[2]: (line["verdict"], line["skipped"]) for line in lines}
    assert said == {
        "model-0000.keras": ("migrated", True),
        "model-0001.keras": ("migrated", False),
        "model-0002.keras": ("refused", False),
    }
    assert (last["summary"]["skipped"], result.exit_code) == (1, 1)
    assert bucket.cat("archive/new/model-0002.keras") == b"of somebody else"


def test_a_bucket_is_searched_by_content_and_patterns_fit_its_keys(bucket: Any, tmp_path: Path) -> None:
    content = archive.copies(tmp_path / "models", 1).joinpath("model-0000.keras").read_bytes()
    bucket.pipe({"archive/m/a.keras": content, "archive/m/x/no-suffix": content, "archive/m/notes.txt": b"nothing"})

    assert [source.path for source in find([f"{BUCKET}/m"])] == [f"{BUCKET}/m/a.keras", f"{BUCKET}/m/x/no-suffix"]
    assert [source.path for source in find([f"{BUCKET}/*/*.keras"])] == [f"{BUCKET}/m/a.keras"]


def test_a_bucket_that_is_not_there_is_said_and_so_is_a_file(bucket: Any, tmp_path: Path) -> None:
    (outcome,) = prepare(f"{BUCKET}/gone.h5", tmp_path / "new", workers=1).outcomes()

    assert outcome.error == "refused"
    assert "no such file" in str(outcome.message)
    assert not list((tmp_path / "new").glob("*.keras"))


def test_a_source_beyond_the_limit_is_not_fetched(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe("archive/large.keras", b"PK\x03\x04" + bytes(4 << 20))

    (outcome,) = prepare(f"{BUCKET}/large.keras", tmp_path / "new", workers=1, max_bytes=1 << 20).outcomes()

    assert outcome.error == "unsafe"
    assert "not fetched" in str(outcome.message)


def test_https_is_read_by_its_file_name(server: str, bucket: Any, tmp_path: Path) -> None:
    bucket.put(str(archive.copies(tmp_path / "models", 1) / "model-0000.keras"), "archive/a.keras")
    url = f"{bucket.url('archive/a.keras')}"

    (outcome,) = prepare(url, tmp_path / "new", workers=1, verify=False).outcomes()

    assert outcome.verdict == "migrated", outcome.message
    assert [path.name for path in (tmp_path / "new").glob("*.keras")] == ["a.keras"]


def test_secrets_in_a_url_are_not_repeated_in_messages() -> None:
    shown = storage.shown("https://user:secret@host/model.h5?signature=secret")

    assert shown == "'https://host/model.h5'"


def test_an_unknown_protocol_is_said_with_what_to_install() -> None:
    with pytest.raises(MigrationError, match=r"tcn-migrate\[remote\]"):
        find(["nosuch://bucket/models"])
