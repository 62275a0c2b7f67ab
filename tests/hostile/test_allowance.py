"""A file's messages are bounded all together, not each by itself: many that are just small enough take too long."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tcn_migrate
from tcn_migrate.containers import saved_model
from tcn_migrate.containers.protobuf import Allowance, fields
from tcn_migrate.errors import UnsafeError
from tests.hostile import bend
from tests.hostile.bundle import message, regraphed, reindexed
from tests.hostile.folders import GRAPH, NOTES

FEW = 20_000
"""Fields of a file in these tests; the honest file that is bent has fewer."""
HALF = b"\x08\x01" * (FEW // 2 + 1)
Bend = Callable[[Path], None]


def notes(body: bytes) -> Bend:
    def change(folder: Path) -> None:
        (folder / NOTES).write_bytes((folder / NOTES).read_bytes() + body)

    return change


def graph(body: bytes) -> Bend:
    def change(folder: Path) -> None:
        (folder / NOTES).unlink()
        (folder / GRAPH).write_bytes(body)

    return change


def of_objects(body: bytes) -> bytes:
    return message((2, message((7, body))))


BENT: dict[str, Bend] = {
    "notes": notes(message((1, HALF)) * 2),
    "meta graphs": graph(message((2, HALF)) * 2),
    "nodes of a graph": graph(of_objects(message((1, HALF)) * 2)),
    "objects of a node": graph(of_objects(message((1, message((4, HALF)) * 2)))),
    "entries of an index": lambda folder: reindexed(lambda keys: keys.update({b"zz0": HALF, b"zz1": HALF}))(
        folder, None
    ),
    "shapes of an index": lambda folder: reindexed(
        lambda keys: keys.update({b"zz%d" % number: message((2, HALF)) for number in range(2)})
    )(folder, None),
    "nodes of an object graph": lambda folder: regraphed(lambda nodes: [*nodes, HALF, HALF])(folder, None),
}


@pytest.mark.parametrize("kind", BENT)
def test_messages_are_bounded_in_all(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "old"
    shutil.copytree(bend.SAVED_MODEL, folder)
    monkeypatch.setattr(Allowance.__init__, "__defaults__", (FEW,))
    assert tcn_migrate.plan(folder).moves

    BENT[kind](folder)

    with pytest.raises(UnsafeError, match="too many fields in all"):
        tcn_migrate.plan(folder)


def test_metadata_of_lambdas_are_bounded_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "old"
    shutil.copytree(bend.SAVED_MODEL, folder)
    monkeypatch.setattr(saved_model, "LARGEST_LAMBDAS", 1 << 16)
    text = json.dumps({"class_name": "Lambda", "config": {"function": [0, 0, [1] * 10_000]}}).encode()
    one = [message((1, message((3, b"root.layer-%d.lambda_layer" % n), (4, b"x"), (5, text)))) for n in range(3)]
    notes(one[0])(folder)
    assert tcn_migrate.plan(folder).moves

    notes(one[1] + one[2])(folder)

    with pytest.raises(UnsafeError, match="metadata of Lambdas are too large"):
        tcn_migrate.plan(folder)


def test_an_allowance_ends_with_the_field_behind_it() -> None:
    allowance = Allowance(3)

    assert len(list(fields(b"\x08\x01" * 2, allowance))) == 2
    assert len(list(fields(b"\x08\x01", allowance))) == 1
    with pytest.raises(UnsafeError, match="too many fields in all"):
        list(fields(b"\x08\x01", allowance))
