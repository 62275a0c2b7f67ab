"""Files that come beside a checkpoint are from strangers too: recorded data, and a model's JSON."""

from __future__ import annotations

import io
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate import architectures
from tcn_migrate.cli.main import main
from tcn_migrate.containers.architecture import read_architecture
from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery import files
from tests.hostile import bend
from tests.hostile.bend import MIB

Make = Callable[[Path, Path], object]


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def zipped(path: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)


def bomb(path: Path, canary: Path) -> None:
    """1 GiB of zeros in 1 MB, with the header of such an array."""
    header = npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1024, {MIB // 4})}}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive, archive.open("x.npy", "w") as x:
        x.write(header)
        for _ in range(1024):
            x.write(bytes(MIB))


def pickled(canary: Path) -> bytes:
    stream = io.BytesIO()
    held = np.empty(1, object)
    held[0] = bend.Pickled(canary)
    np.save(stream, held, allow_pickle=True)
    return stream.getvalue()


DATA: dict[str, tuple[str, Make]] = {
    "pickle-in-npz": ("x.npz", lambda path, canary: zipped(path, "x.npy", pickled(canary))),
    "pickle-as-npz": ("x.npz", lambda path, canary: path.write_bytes(pickle.dumps(bend.Pickled(canary)))),
    "pickle-as-npy": ("x.npy", lambda path, canary: path.write_bytes(pickle.dumps(bend.Pickled(canary)))),
    "objects-npy": ("x.npy", lambda path, canary: path.write_bytes(pickled(canary))),
    "code-in-header": (
        "x.npy",
        lambda path, canary: path.write_bytes(npy("{'descr': __import__('os').system('x'), 'shape': (1,)}")),
    ),
    "deep-header": ("x.npy", lambda path, canary: path.write_bytes(npy("(" * 100 + ")" * 100))),
    "huge-shape": (
        "x.npy",
        lambda path, canary: path.write_bytes(
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}")
        ),
    ),
    "huge-shape-npz": (
        "x.npz",
        lambda path, canary: zipped(
            path, "x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}")
        ),
    ),
    "negative-shape": (
        "x.npy",
        lambda path, canary: path.write_bytes(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -4)}")),
    ),
    "bomb": ("x.npz", bomb),
    "pipe": ("x.csv", lambda path, canary: os.mkfifo(path)),
    "endless": ("x.csv", lambda path, canary: path.symlink_to("/dev/zero")),
    "folder": ("x.csv", lambda path, canary: path.mkdir()),
    "one-line": ("x.csv", lambda path, canary: path.write_bytes(b"1" * (80 * MIB))),
    "no-numbers": ("x.csv", lambda path, canary: path.write_text("a,b\n__import__('os'),2\n")),
}


@pytest.mark.parametrize("name", DATA)
def test_recorded_data_from_a_stranger_are_refused(name: str, tmp_path: Path) -> None:
    file, make = DATA[name]
    path, canary = tmp_path / file, tmp_path / "canary"
    make(path, canary)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(MigrationError) as refused:
        files.load(path)

    assert str(refused.value).isprintable()
    assert not canary.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024


def test_recorded_data_that_shrank_well_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((4, 1000, 1000), "f4"))

    assert files.load(tmp_path / "x.npz")["x"].shape == (4, 1000, 1000)


ARCHITECTURES: dict[str, Make] = {
    "pipe": lambda path, canary: os.mkfifo(path),
    "endless": lambda path, canary: path.symlink_to("/dev/zero"),
    "yaml": lambda path, canary: path.write_text(f"!!python/object/apply:os.system ['touch {canary}']"),
    "pickle": lambda path, canary: path.write_bytes(pickle.dumps(bend.Pickled(canary))),
    "deep": lambda path, canary: path.write_text('{"class_name": "Model", "config": ' + "[" * 10**5 + "]" * 10**5),
    "large": lambda path, canary: path.write_text('{"class_name": "Model", "config": {"a": "' + "b" * 40 * MIB + '"}}'),
    "infinite": lambda path, canary: path.write_text('{"class_name": "Model", "config": {"a": 1e999}}'),
    "text": lambda path, canary: path.write_text('"\\"\\\\\\"\\""'),
    "list": lambda path, canary: path.write_text("[1, 2]"),
    "no-utf-8": lambda path, canary: path.write_bytes(b'{"class_name": "\xff\xfe", "config": {}}'),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_from_a_stranger_is_refused(name: str, tmp_path: Path) -> None:
    path, canary = tmp_path / "model.json", tmp_path / "canary"
    ARCHITECTURES[name](path, canary)

    with pytest.raises(MigrationError) as refused:
        read_architecture(path)

    assert str(refused.value).isprintable()
    assert not canary.exists()


@pytest.mark.parametrize("command", ["migrate", "inspect", "plan"])
def test_a_file_that_nobody_may_read_is_refused_like_any_other(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.h5").write_text("no model")
    monkeypatch.setattr(os, "access", lambda *arguments, **settings: False)

    assert CliRunner().invoke(main, [command, str(tmp_path / "old.h5")]).exit_code == 1


MODEL = '{"class_name": "Model", "config": {}}'


def test_an_architecture_beside_the_file_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "model.json").write_text(MODEL)
    (tmp_path / "beside/model.json").symlink_to(tmp_path / "model.json")

    assert list(architectures._candidates(tmp_path / "beside/old.h5")) == []
    assert list(architectures._candidates(tmp_path / "old.h5")) == [tmp_path / "model.json"]


def test_no_file_beside_is_read_if_all_are_too_large_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [tmp_path / f"{number}.json" for number in range(4)]
    models = [tmp_path / f"{number}.keras" for number in range(4)]
    for file in (*texts, *models):
        file.write_text("0" * 30)
    assert list(architectures._candidates(tmp_path / "old.h5")) == [*texts, *models]

    monkeypatch.setattr(architectures, "LARGEST_JSON", 119)
    assert list(architectures._candidates(tmp_path / "old.h5")) == models
    monkeypatch.setattr(architectures, "LARGEST_SIBLING", 119)
    assert list(architectures._candidates(tmp_path / "old.h5")) == []
