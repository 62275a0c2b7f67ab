"""On a Dask cluster everything ends as it does on one machine, also when a machine is lost on the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tcn_migrate.batch import journal
from tcn_migrate.batch.run import prepare
from tcn_migrate.cli.main import main
from tests.batch import archive, poison

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster


def test_a_cluster_that_loses_a_worker_ends_as_one_machine_does(cluster: Any, tmp_path: Path) -> None:
    models = archive.make(tmp_path / "models")
    archive.copies(models / "more", 8, "slow-{}.keras")
    archive.copies(models, 1, "poison.keras")
    archive.copies(models, 1, "hang.keras")
    limits: dict[str, Any] = {"verify": False, "time_limit": 5}
    here = replace(prepare(models, tmp_path / "here", workers=2, **limits), work=poison.work)
    list(here.outcomes())

    there = replace(
        prepare(models, tmp_path / "there", scheduler=cluster.scheduler_address, **limits), work=poison.work
    )
    killed = False
    for count, _ in enumerate(there.outcomes()):
        if count == 3:
            victim = next(iter(cluster.scheduler_info["workers"].values()))
            os.kill(cluster.workers[victim["id"]].pid, signal.SIGKILL)
            killed = True

    assert killed
    said = archive.verdicts(tmp_path / "there" / journal.NAME)
    assert said == archive.verdicts(tmp_path / "here" / journal.NAME)
    assert {said[str(models / name)][0] for name in ("poison.keras", "hang.keras")} == {"crashed", "timed out"}
    assert archive.new_files(tmp_path / "there") == archive.new_files(tmp_path / "here")


def test_the_command_takes_the_address_of_a_scheduler(cluster: Any, tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 2)
    arguments = ["batch", str(models), "--to", str(tmp_path / "new"), "--no-verify"]

    result = CliRunner().invoke(main, [*arguments, "--scheduler", cluster.scheduler_address])

    assert result.exit_code == 0, result.output
    assert "2 migrated" in result.stdout


def test_where_no_scheduler_answers_it_says_so(tmp_path: Path) -> None:
    models = archive.copies(tmp_path / "models", 1)
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        started = time.monotonic()
        result = CliRunner().invoke(
            main, ["batch", str(models), "--to", str(tmp_path / "new"), "--scheduler", "tcp://127.0.0.1:9"]
        )

    assert result.exit_code == 1
    assert "no scheduler answers" in result.stderr
    assert time.monotonic() - started < 30
