"""Recorded inputs come out of files as the model takes them, and never by unpickling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery.files import read_inputs, read_recorded

X = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
SHAPE = [(None, 5, 3)]


def test_inputs_are_the_same_out_of_every_kind_of_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", x=X)
    table = "\n".join(",".join(str(value) for value in step) for step in X.reshape(-1, 3))
    (tmp_path / "x.csv").write_text("alpha,beta,gamma\n" + table)
    for name in ("x.npy", "x.npz", "x.csv"):
        (read,) = read_inputs(tmp_path / name, ["input"], SHAPE)
        np.testing.assert_array_equal(read, X)
    (both,) = read_inputs([tmp_path / "x.npy", tmp_path / "x.npz"], ["input"], SHAPE)
    np.testing.assert_array_equal(both, np.concatenate([X, X]))


def test_a_single_array_file_is_mapped_and_not_read_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    (read,) = read_inputs(tmp_path / "x.npy", ["input"], SHAPE)
    assert isinstance(read, np.memmap)


def test_a_recording_holds_inputs_and_predictions(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=X, y=X[:, 0])
    inputs, outputs = read_recorded(tmp_path / "r.npz", ["input"], SHAPE, 1)
    np.testing.assert_array_equal(inputs[0], X)
    np.testing.assert_array_equal(outputs[0], X[:, 0])


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x80\x04K\x01."])
def test_what_is_no_recording_ends_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(MigrationError, match="cannot be read"):
        read_inputs(tmp_path / "x.npz", ["input"], SHAPE)


def test_a_pickle_in_an_array_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(MigrationError, match="cannot be read"):
        read_inputs(tmp_path / "x.npy", ["input"], SHAPE)
