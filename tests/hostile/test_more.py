"""What a folder from a stranger offers beside the checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tcn_migrate.containers import tensor_bundle, tf_checkpoint
from tcn_migrate.errors import MigrationError
from tests.hostile import bend
from tests.hostile.bundle import CHECKPOINT, block, index_of, table


def test_a_state_of_newlines_is_searched_once(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"\n" * (1 << 20))
    (tmp_path / "a.index").touch()
    start = time.process_time()

    with pytest.raises(MigrationError, match="names no checkpoint"):
        tf_checkpoint.read(tmp_path, {})

    assert time.process_time() - start < 2


@pytest.mark.parametrize("keys", [[b"a", b"a"], [b"b", b"a"]])
def test_an_index_whose_keys_do_not_rise_is_refused(keys: list[bytes]) -> None:
    made = table({}, made=block([(key, b"") for key in keys]))

    with pytest.raises(MigrationError, match="do not rise"):
        list(tensor_bundle._table(memoryview(made)))


def test_an_index_that_tensorflow_wrote_rises() -> None:
    assert list(tensor_bundle._table(memoryview(index_of(CHECKPOINT).read_bytes())))


def test_a_module_of_a_library_s_name_is_not_imported_from_the_working_directory(tmp_path: Path) -> None:
    for name in ("h5py", "numpy", "keras"):
        (tmp_path / f"{name}.py").write_text("open('canary', 'w')\n")
    (tmp_path / "mine.py").write_text("class Mine: pass\n")
    root = str(Path(__file__).parents[2])
    run = "from tcn_migrate.cli.main import main; main()"
    words = ["plan", str(bend.H5), "--custom-objects", "mine", "--json"]

    done = subprocess.run(
        [sys.executable, "-P", "-c", run, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()
