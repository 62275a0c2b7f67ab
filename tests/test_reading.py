"""A source is read to its end and held against its checksum, however it is read, and large arrays piece by piece."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import tcn_migrate
from tcn_migrate import moves
from tcn_migrate.batch.work import Job, work
from tcn_migrate.containers import keras_zip, probe
from tcn_migrate.containers.hdf5 import datasets
from tcn_migrate.errors import ContainerError
from tests.cases import case

SOURCE = case("keras3/numbered-from-20-k38").source


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.sampled_from(["<f2", "<f4", ">f4", "<f8", ">f8", "<i8", "?"]).flatmap(
        lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=6))
    ),
    most=st.integers(1, 40),
)
def test_the_pieces_of_an_array_are_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: Any, most: int
) -> None:
    monkeypatch.setattr(moves, "PIECE", most)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["array"] = values
    with h5py.File(tmp_path / "old.h5") as file:
        ((_, array),) = datasets(file, "file")
        whole = np.zeros(values.shape, values.dtype.newbyteorder("="))
        held = np.zeros(values.shape, int)
        sizes = []

        for start, piece in moves.copied(("array",), "array", array).pieces():
            box = tuple(slice(first, first + size) for first, size in zip(start, piece.shape, strict=True))
            whole[box] = piece
            held[box] += 1
            sizes.append(piece.size)

    assert whole.tobytes() == values.astype(whole.dtype).tobytes()
    assert (held == 1).all()
    assert max(sizes) <= most
    assert len(sizes) >= math.ceil(values.size / most)


def test_a_file_written_in_pieces_is_the_file_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tcn_migrate.migrate(SOURCE, tmp_path / "once.keras", verify=False)
    monkeypatch.setattr(moves, "PIECE", 5)
    tcn_migrate.migrate(SOURCE, tmp_path / "pieces.keras", verify=False)

    assert (tmp_path / "pieces.keras").read_bytes() == (tmp_path / "once.keras").read_bytes()


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A file of which one bit is flipped: a variance is negative, which by itself would be a matter of decision."""
    path = tmp_path / "old.keras"
    path.write_bytes(SOURCE.read_bytes())
    with zipfile.ZipFile(path) as archive:
        window = keras_zip._window(path, archive, archive.getinfo("model.weights.h5"))
    with h5py.File(window, "r") as file:
        block = file["layers/tcn/residual_block_0"]
        norm = next(name for name in block if name.startswith("batch_normalization"))
        variance = block[norm]["vars/3"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[window.start + variance + 3] ^= 0x80  # the sign of a little-endian float32
    path.write_bytes(content)
    return path


def test_damage_is_said_before_what_comes_of_it(damaged: Path, tmp_path: Path) -> None:
    for use in (
        lambda: tcn_migrate.plan(damaged),
        lambda: tcn_migrate.inspect(damaged),
        lambda: tcn_migrate.migrate(damaged, tmp_path / "new.keras", verify=False),
        lambda: tcn_migrate.migrate(damaged, tmp_path / "new.keras", verify=False, keep_suspect=True),
    ):
        with pytest.raises(ContainerError, match="checksum"):
            use()

    assert list(tmp_path.iterdir()) == [damaged]


def test_a_worker_of_a_batch_does_not_let_hdf5_read_what_is_known_to_be_damaged(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_expendable", True)
    monkeypatch.setattr(keras_zip, "open_hdf5", lambda *_: pytest.fail("it was opened"))

    outcome = work(Job(str(damaged), "file", str(tmp_path / "new.keras"), {"verify": False}))

    assert (outcome.verdict, outcome.error) == ("refused", "container")
    assert "checksum" in str(outcome.message)


def test_a_plan_that_is_kept_until_python_ends_lets_it_end() -> None:
    script = (
        "import gc, sys, tcn_migrate\n"
        "kept = [tcn_migrate.plan(sys.argv[1])]\n"
        "kept.append(kept)\n"
        "gc.freeze()\n"  # as if it were never found to be garbage
    )
    subprocess.run([sys.executable, "-c", script, str(SOURCE)], check=True)


def test_a_trial_that_is_interrupted_is_killed_and_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children, fork = [], os.fork

    def forked() -> int:
        children.append(fork())
        return children[-1]

    def slowly(*_: object) -> int:
        time.sleep(3)
        (tmp_path / "survived").touch()
        return 0

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fork", forked)
    monkeypatch.setattr(probe, "read_everything", slowly)

    with pytest.raises(KeyboardInterrupt):
        probe._forked(SOURCE, 60, interrupted)

    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)
    assert not (tmp_path / "survived").exists()
