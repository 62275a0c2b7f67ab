"""Each guard is needed: without it the file that it is for is not refused, or not for its reason."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.guards import graph
from tcn_migrate.config.guards import settings as check
from tcn_migrate.containers import bounds, chunks, hdf5, keras_zip, probe, saved_model
from tcn_migrate.errors import MigrationError
from tcn_migrate.inspection import inspect
from tests.hostile.arrays import ARRAYS
from tests.hostile.configs import CONFIGS
from tests.hostile.folders import FOLDERS
from tests.hostile.pieces import PIECES
from tests.hostile.table import TABLE, Place

Patch = Callable[[pytest.MonkeyPatch], Any]


def flawless(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hdf5, "_flaw", lambda *header: None)
    patch.setattr(chunks, "flaw", lambda *header: None)


def unlooked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hdf5, "_never_written", lambda *values: None)


def any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(chunks, "_stored_sizes", lambda *chunk: (0, 1 << 40))


GUARDS: dict[str, Patch] = {
    "outside-h5-storage": flawless,
    "outside-h5-virtual": flawless,
    "whole-unwritten": flawless,
    "whole-half-written": flawless,
    "whole-compact-unwritten": unlooked,
    "whole-early-unwritten": flawless,
    "whole-early-chunks": unlooked,
    "whole-never-filled": unlooked,
    "whole-grown": unlooked,
    "whole-short-plain": any_size,
    "whole-short-masked": any_size,
    "whole-chunk-again": flawless,
    "whole-chunk-beyond": flawless,
    "whole-float-24": lambda patch: patch.setattr(hdf5, "_dtype", lambda *header: "float32"),
    "size-agreeing-unwritten": flawless,
    "size-many-small-bombs": lambda patch: patch.setattr("tcn_migrate.planning.check_arrays", lambda *a: None),
    "size-wide-input": lambda patch: patch.setattr("tcn_migrate.planning.check_features", lambda *a: None),
    "whole-type-<i4": lambda patch: patch.setattr("tcn_migrate.tcn.reading.is_floating", lambda array: True),
    "size-config-bomb": lambda patch: patch.setattr(keras_zip, "LARGEST_JSON", 1 << 34),
    "size-directory": lambda patch: patch.setattr(keras_zip, "_LARGEST_DIRECTORY", 1 << 34),
    "size-weights-bomb": lambda patch: patch.setattr(keras_zip, "LARGEST_EXPANSION", 1 << 34),
    "size-json-values": lambda patch: patch.setattr(bounds, "MOST_VALUES", 1 << 34),
    "size-infinite": lambda patch: patch.setattr(bounds, "_refuse_odd_numbers", lambda *a: None),
    "size-deep-graph": lambda patch: patch.setattr(graph, "_DEEPEST", 1 << 34),
    "size-zeros": lambda patch: patch.setattr(graph, "facts", lambda name: dataclasses.replace(facts(name), raw=True)),
    "size-circle": lambda patch: patch.setattr(graph, "_check_order", lambda needs: None),
    "outside-vocabulary": lambda patch: patch.setattr(check._Checker, "lookup", lambda *a: None),
    "size-out-of-vocabulary": lambda patch: patch.setattr(check, "_LARGEST_OF", {}),
    "runs-activation": lambda patch: patch.setattr("tcn_migrate.tcn.settings.read_activation", lambda *a: "relu"),
    "runs-object-activation": lambda patch: patch.setattr(check._Checker, "is_function", lambda *a: True),
    "size-doubling-few": lambda patch: patch.setattr(graph, "_MOST_CALLED", 1 << 34),
}


@pytest.mark.parametrize("id", GUARDS)
def test_without_its_guard_the_file_is_not_refused_for_its_reason(
    id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = next(row for row in (*TABLE, *PIECES, *CONFIGS) if row.id == id)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/secret.txt").write_text("x")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(probe, "withstands", lambda *_: None)
    made = hostile.make(Place(tmp_path / "secret", tmp_path / "canary"))
    path = tmp_path / f"old{hostile.suffix}"
    path.write_bytes(made)
    with pytest.raises(MigrationError) as guarded:
        inspect(path)

    GUARDS[id](monkeypatch)

    assert refusal(path) != str(guarded.value)


def refusal(path: Path) -> str:
    try:
        inspect(path)
    except MigrationError as error:
        return str(error)
    return "none"


def test_hdf5_reads_a_heap_without_end_in_another_process_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.hostile.bend import endless_heap

    path = tmp_path / "old.h5"
    path.write_bytes(endless_heap())
    monkeypatch.setattr(probe, "CPU_SECONDS", 1)

    with pytest.raises(MigrationError, match="damaged"):
        probe.withstands(path)


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel bounds a process's memory")
@pytest.mark.parametrize("id", ["size-same-texts", "size-nested-texts"])
def test_what_takes_too_much_memory_is_read_in_another_process_only(
    id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.h5"
    path.write_bytes(next(row for row in ARRAYS if row.id == id).make(Place(tmp_path, tmp_path)))

    assert os.waitstatus_to_exitcode(probe._forked(path, 9)) == probe.TOO_MUCH

    with pytest.raises(MigrationError, match="memory"):
        probe.refuse(probe.TOO_MUCH)
    monkeypatch.setattr(probe, "_was_memory", lambda *a: False)
    assert probe._forked(path, 9) == 0


def test_a_note_is_parsed_once_for_all_layers_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next(row for row in FOLDERS if row.id == "size-notes-again").make(None)(tmp_path / "old")
    parsed: list[str] = []
    parse = saved_model.parse_json
    monkeypatch.setattr(saved_model, "parse_json", lambda text, what: parsed.append(what) or parse(text, what))

    inspect(tmp_path / "old")

    assert parsed.count("the metadata of 'root.layer-0'") == 1
