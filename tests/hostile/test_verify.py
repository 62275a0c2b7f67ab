"""`verify` reads archives that claim to be ours as it reads every other one, and Keras is given none of them."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate import verify
from tcn_migrate.cli.main import main
from tcn_migrate.migration import migrate
from tests.cases import FIXTURES
from tests.hostile import bend
from tests.hostile.bend import MIB, member, zipped

CASE = FIXTURES / "keras3/one-block"
WEIGHTS = "model.weights.h5"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    new = tmp_path_factory.mktemp("good") / "new.keras"
    migrate(CASE / "old.keras", new, verify=False)
    return new


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def said(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["verify", *map(str, words)])
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code, done.output


def with_lies(held: Members, name: str, **lies: Any) -> bytes:
    return zipped(*(member(n, d, **(lies if n == name else {})) for n, d in held.items()))


def with_bombs(held: Members) -> bytes:
    """Assets of 64 MiB out of 64 KiB each."""
    parts = [member(name, data) for name, data in held.items()]
    return zipped(*parts, *(bend.bomb(f"assets/layers/tcn/a{number}", b"", 64) for number in range(3)))


def with_short_chunk(held: Members) -> bytes:
    buffer = io.BytesIO(held[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        name = next(iter(file["layers"]))
        found: list[str] = []
        file["layers"][name].visititems(lambda n, thing: found.append(n) if hasattr(thing, "shape") else None)
        path = f"layers/{name}/{found[0]}"
        shape = file[path].shape
        del file[path]
        made = file.create_dataset(path, shape, "f4", chunks=shape, compression=9)
        made.id.write_direct_chunk((0,) * len(shape), zlib.compress(bytes(8)))
    return zipped(*(member(n, buffer.getvalue() if n == WEIGHTS else d) for n, d in held.items()))


def with_directory(held: Members, count: int) -> bytes:
    """So many entries without a byte in them, all of one name."""
    base = zipped(*(member(name, data) for name, data in held.items()))
    end = base.rindex(b"PK\5\6")
    size, place = struct.unpack("<LL", base[end + 12 : end + 20])
    header = (0x31E, 20, 0, 0, 0, 0x5821, 0, 0, 0, 1, 0, 0, 0, 0, 0, place)
    entry = b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", *header) + b"a"
    directory = base[place : place + size] + entry * count
    closing = struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, len(directory), place, 0)
    return base[:place] + directory + b"PK\5\6" + closing


def metadata(held: Members, text: bytes) -> bytes:
    return zipped(*(member(name, text if name == "metadata.json" else data) for name, data in held.items()))


BROKEN: dict[str, Callable[[Members], bytes]] = {
    "encrypted": lambda held: with_lies(held, "metadata.json", flags=1),
    "encrypted-weights": lambda held: with_lies(held, WEIGHTS, flags=1),
    "method-93": lambda held: with_lies(held, "metadata.json", method=93, packed=b"x"),
    "method-93-weights": lambda held: with_lies(held, WEIGHTS, method=93, packed=b"x"),
    "deflate-broken": lambda held: with_lies(held, "metadata.json", method=8, packed=b"\xff" * 50),
    "deflate-broken-weights": lambda held: with_lies(held, WEIGHTS, method=8, packed=b"\xff" * 50),
    "says-less": lambda held: with_lies(held, "metadata.json", says=3),
    "deep": lambda held: metadata(held, b"[" * 100_000 + b"]" * 100_000),
    "list": lambda held: metadata(held, b"[]"),
    "target": lambda held: metadata(held, json.dumps({"tcn_migrate": {"target": ["layer"]}}).encode()),
    "no-utf-8": lambda held: metadata(held, b"\xff\xfe\x00"),
    "bomb": lambda held: zipped(
        *(member(n, d) for n, d in held.items() if n != "metadata.json"), bend.bomb("metadata.json", b"{", 700)
    ),
    "directory": lambda held: with_directory(held, 1_300_000),
    "cut": lambda held: zipped(*(member(n, d) for n, d in held.items()))[:-30],
    "short-chunk": with_short_chunk,
    "lambda": lambda held: zipped(
        *(
            member(
                n,
                d.replace(b'"activation": "relu"', b'"activation": {"class_name": "__lambda__", "config": {}}')
                if n == "config.json"
                else d,
            )
            for n, d in held.items()
        )
    ),
}


@pytest.mark.parametrize("way", ["--golden", "--against"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_archive_is_refused_by_name(
    name: str, way: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scratch = tmp_path / "new.keras", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path.write_bytes(BROKEN[name](members(good)))
    other = CASE / "golden.npz" if way == "--golden" else CASE / "old.keras"
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    code, output = said(path, way, other)

    if name != "lambda" or way == "--golden":  # the variables of which are the same
        assert code == 1, output
        assert "not foreseen" not in output
        assert output.count("\n") == 1
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 512 * 1024
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("way", ["--golden", "--against"])
@pytest.mark.parametrize("place", ["new", "other"])
def test_a_pipe_is_not_waited_for(place: str, way: str, good: Path, tmp_path: Path) -> None:
    pipe = tmp_path / ("pipe.npz" if way == "--golden" else "pipe")
    os.mkfifo(pipe)

    code, output = said(*((pipe, way, CASE / "golden.npz") if place == "new" else (good, way, pipe)))

    assert code == 1, output
    assert "not foreseen" not in output


def test_keras_is_given_an_archive_of_our_own_without_assets(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, scratch = tmp_path / "new.keras", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path.write_bytes(with_bombs(members(good)))
    given: list[tuple[Path, list[str]]] = []
    load = verify.load

    def seen(archive: Path, *arguments: Any, **settings: Any) -> Any:
        given.append((archive, zipfile.ZipFile(archive).namelist()))
        return load(archive, *arguments, **settings)

    monkeypatch.setattr(verify, "load", seen)

    code, output = said(path, "--golden", CASE / "golden.npz")

    assert code == 0, output
    ((archive, names),) = given
    assert archive != path
    assert sorted(names) == ["config.json", "metadata.json", WEIGHTS]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_a_file_that_is_ours_is_compared_as_before(target: str, tmp_path: Path) -> None:
    migrate(CASE / "old.keras", tmp_path / "new.keras", target=target, verify=False)

    code, output = said(tmp_path / "new.keras", "--golden", CASE / "golden.npz")

    assert code == 0, output


def test_a_wrong_weight_is_seen(good: Path, tmp_path: Path) -> None:
    held = members(good)
    buffer = io.BytesIO(held[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        file[bend.STORE_KERNEL][..., 0] = 1  # of one channel, or the layer norm would take it away again
    (tmp_path / "new.keras").write_bytes(
        zipped(*(member(n, buffer.getvalue() if n == WEIGHTS else d) for n, d in held.items()))
    )

    assert said(tmp_path / "new.keras", "--golden", CASE / "golden.npz")[0] == 4


def test_recorded_data_in_an_archive_of_a_million_members_are_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(with_directory({"x.npy": bytes(8)}, 1_300_000))
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    code, output = said(good, "--golden", tmp_path / "x.npz")

    assert code == 1
    assert "too many members" in output
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 512 * 1024


def test_a_member_that_is_no_array_is_named(good: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 8, 2), "f4"))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("y", b"text" * MIB)

    code, output = said(good, "--golden", tmp_path / "x.npz")

    assert code == 1
    assert "'y'" in output
