"""What holds for every checkpoint: nothing is lost, nothing is guessed, and the file's accidents do not matter."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.checkpoint import Content
from tcn_migrate.errors import DecisionNeeded, MigrationError, NamingError, VerificationError
from tcn_migrate.moves import Plan
from tcn_migrate.verify import verify
from tcn_migrate.write import write_keras
from tests.cases import Case, case, cases
from tests.synthetic import Drawn, arrays, networks, write

law = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXACT = [found for found in cases() if found.facts["expect"] == "exact"]


def planned(found: Case) -> Plan:
    from tcn_migrate.cli.main import main

    with main.make_context("tcn-migrate", ["plan", str(found.source), *found.options]):
        pass
    options = dict(zip(found.options[::2], found.options[1::2], strict=False))
    return tcn_migrate.plan(
        found.source, architecture=options.get("--architecture"), last_step="--last-step" in found.options
    )


@law
@given(networks)
def test_every_variable_gets_its_own_array_whatever_the_session_counted(tmp_path: Path, drawn: Drawn) -> None:
    path = tmp_path / "old.keras"
    write(drawn, path)

    plan = tcn_migrate.plan(path)

    wanted = {address: values for address, (_, values) in arrays(drawn).items()}
    assert {move.address for move in plan.moves} == set(wanted)
    assert not plan.missing
    assert not plan.ignored
    for move in plan.moves:
        np.testing.assert_array_equal(move.values(), wanted[move.address])


@law
@given(networks, st.integers(0, 1001), st.integers(0, 2**32 - 1))
def test_neither_the_counter_nor_the_order_of_writing_changes_the_new_file(
    tmp_path: Path, drawn: Drawn, first: int, shuffle: int
) -> None:
    twin = replace(drawn, first=first, shuffle=shuffle)
    files = []
    for number, network in enumerate((drawn, twin)):
        old, new = tmp_path / f"{number}-old.keras", tmp_path / f"{number}-new.keras"
        write(network, old)
        plan = tcn_migrate.plan(old)
        write_keras(replace(plan, origin=replace(plan.origin, content=Content(()))), new)
        files.append(new.read_bytes())
    assert files[0] == files[1]


@law
@given(networks, st.data())
def test_a_missing_array_is_reported_by_address_and_never_replaced(
    tmp_path: Path, drawn: Drawn, data: st.DataObject
) -> None:
    stored = arrays(drawn)
    lost = data.draw(st.sampled_from(sorted(stored)))
    del stored[lost]
    path = tmp_path / "old.keras"
    write(drawn, path, stored)

    with pytest.raises(MigrationError) as error:
        tcn_migrate.migrate(path, tmp_path / "new.keras", verify=False)

    said = str(error.value)
    assert all(part in said for part in lost[1:-1]) or lost[0] in said
    assert isinstance(error.value, DecisionNeeded if "norm" in "".join(lost) else NamingError)
    assert not (tmp_path / "new.keras").exists()


@law
@given(networks, st.data())
def test_an_array_that_nobody_asks_for_stops_the_migration(tmp_path: Path, drawn: Drawn, data: st.DataObject) -> None:
    stored = arrays(drawn)
    block = data.draw(st.integers(0, drawn.stacks * len(drawn.dilations) - 1))
    name = data.draw(st.sampled_from(["conv1D_2", "batch_normalization_5000", "matching_conv1D_1", "extra"]))
    path = f"layers/tcn/residual_block_{block}/{name}/vars/0"
    stored[("extra",)] = (path, np.ones(drawn.filters, np.float32))
    write(drawn, tmp_path / "old.keras", stored)

    with pytest.raises(NamingError):
        tcn_migrate.plan(tmp_path / "old.keras")


@pytest.mark.parametrize("found", EXACT, ids=lambda found: found.name)
def test_every_stored_array_is_claimed_once_or_ignored_with_a_reason(found: Case) -> None:
    from tcn_migrate.containers import read_checkpoint
    from tcn_migrate.containers.architecture import read_architecture

    plan = planned(found)
    options = dict(zip(found.options[::2], found.options[1::2], strict=False))
    given_architecture = options.get("--architecture")
    architecture = read_architecture(Path(given_architecture)) if given_architecture else None
    held = set(read_checkpoint(found.source, architecture).arrays)
    claimed = [source.name for move in (*plan.moves, *plan.optimizer) for source in move.sources]
    assert len(claimed) == len(set(claimed)) or any("spectral" in name for name in claimed)
    flags = {a.name for r in plan.tcns.values() for p, a in r.found.items() if p[-1] == "initialized"}
    assert set(claimed) | set(plan.ignored) | flags == held
    assert not set(claimed) & set(plan.ignored)
    assert all(plan.ignored.values())


def stored(weights: bytes) -> dict[str, tuple[Any, ...]]:
    """The arrays of an HDF5 file by path, bit for bit; their order in the file says nothing."""
    found: dict[str, tuple[Any, ...]] = {}

    def take(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = (item.shape, str(item.dtype), item[()].tobytes())

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(take)
    return found


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("keras3/numbered-from-20-k38", "layer"),
        ("keras2/tanh-layer-norm-302", "layer"),
        ("keras2/two-named-293", "layer"),
        ("calls/training-true", "layer"),
        ("calls/training-false", "layer"),
        ("calls/training-true-plain", "layer"),
        ("calls/training-true-plain", "plain"),
    ],
)
def test_a_migrated_file_migrates_to_itself(name: str, target: str, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.keras", tmp_path / "twice.keras"
    tcn_migrate.migrate(case(name).source, once, verify=False, target=target)
    tcn_migrate.migrate(once, twice, verify=False, target=target)

    with zipfile.ZipFile(once) as first, zipfile.ZipFile(twice) as second:
        assert first.read("config.json") == second.read("config.json")
        assert stored(first.read("model.weights.h5")) == stored(second.read("model.weights.h5"))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    source = case("keras2/weight-norm-321").source
    for name in ("a.keras", "b.keras"):
        tcn_migrate.migrate(source, tmp_path / name, verify=False)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


@pytest.mark.parametrize("name", ["keras3/numbered-from-20-k38", "keras2/batch-norm-tf1-names-292"])
def test_two_arrays_exchanged_in_the_new_file_fail_verification(name: str, tmp_path: Path) -> None:
    plan = tcn_migrate.plan(case(name).source)
    pairs = [
        (a, b)
        for i, a in enumerate(plan.moves)
        for b in plan.moves[i + 1 :]
        if a.shape == b.shape and not np.array_equal(a.values(), b.values())
    ]
    rng = np.random.default_rng(0)
    for a, b in [pairs[i] for i in rng.choice(len(pairs), size=min(4, len(pairs)), replace=False)]:
        path = tmp_path / "swapped.keras"
        write_keras(plan, path)
        exchange(path, a.target, b.target)
        with pytest.raises(VerificationError):
            verify(path, plan)


@pytest.mark.parametrize("name", ["keras3/numbered-from-20-k38", "keras2/weight-norm-321"])
def test_two_sources_exchanged_in_the_plan_fail_verification(name: str, tmp_path: Path) -> None:
    plan = tcn_migrate.plan(case(name).source)
    moves = list(plan.moves)
    first = next(i for i, m in enumerate(moves) if m.address[-2:] == ("conv1D_0", "bias"))
    second = next(i for i, m in enumerate(moves) if m.address[-2:] == ("conv1D_1", "bias"))
    moves[first], moves[second] = (
        replace(moves[first], sources=moves[second].sources, make=moves[second].make),
        replace(moves[second], sources=moves[first].sources, make=moves[first].make),
    )
    wrong = replace(plan, moves=tuple(moves))
    path = tmp_path / "swapped.keras"
    write_keras(wrong, path)
    with pytest.raises(VerificationError, match="something else than the old library did"):
        verify(path, wrong)


@pytest.mark.parametrize("wrong", [lambda v, g: v * g, lambda v, g: v / np.linalg.norm(v, axis=(0, 1)) * g * 1.001])
def test_a_weight_norm_that_is_folded_wrongly_fails_verification(
    wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluation normalises the directions itself."""
    monkeypatch.setattr("tcn_migrate.planning.folded_kernel", lambda v, g: wrong(v, g).astype(v.dtype))

    with pytest.raises(VerificationError, match="something else than the old library did"):
        tcn_migrate.migrate(case("keras2/weight-norm-321").source, tmp_path / "new.keras")
    assert not (tmp_path / "new.keras").exists()


def exchange(path: Path, one: str, other: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        a, b = file[one][()], file[other][()]
        file[one][...], file[other][...] = b, a
    members["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_metadata_says_what_was_done(tmp_path: Path) -> None:
    tcn_migrate.migrate(case("keras2/weight-norm-321").source, tmp_path / "new.keras", verify=False)
    with zipfile.ZipFile(tmp_path / "new.keras") as archive:
        said = json.loads(archive.read("metadata.json"))["tcn_migrate"]
    assert said["generations"] == {"tcn": "E"}
    assert said["variables"]["folded"] == len([n for n in said["not_copied"] if n.endswith("kernel")])
