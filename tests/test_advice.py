"""What a refusal advises works on the file that it refuses."""

from __future__ import annotations

import html
import io
import re
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.recovery import decide
from tests.cases import FIXTURES

BATCH = FIXTURES / "keras3" / "numbered-from-20-k38" / "old.keras"
LAYER = FIXTURES / "keras3" / "layer-norm-354-k310" / "old.keras"
INITIAL = (1.0, 0.0, 0.0, 1.0)
Damage = Callable[[h5py.File, str, int, int], None]
"""Called with the weights, the path of a norm's variable, the norm's number in the file and the variable's."""


def damaged(source: Path, target: Path, damage: Damage) -> Path:
    """A copy of a `.keras` file with something done to every variable of its norms."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "model.weights.h5":
                memory = io.BytesIO(content)
                with h5py.File(memory, "r+") as weights:
                    found: list[str] = []
                    weights.visit(found.append)
                    places = [re.fullmatch(r"(.*normalization[^/]*/vars)/(\d)", name) for name in found]
                    norms = list(dict.fromkeys(place[1] for place in places if place))
                    for place in filter(None, places):
                        damage(weights, place[0], norms.index(place[1]), int(place[2]))
                content = memory.getvalue()
            new.writestr(member, content)
    return target


def stripped(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    del weights[path]


def without_statistics(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    if variable > 1:
        del weights[path]


def reset(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    weights[path][...] = INITIAL[variable]


def statistics_reset(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    if variable > 1:
        weights[path][...] = INITIAL[variable]


def neighbour(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    """The first norm of each block holds what the second was stored under, and the second is at its start."""
    if norm % 2:
        first = re.sub(r"_(\d+)/vars", lambda found: f"_{int(found[1]) - 1}/vars", path)
        weights[first][...] = weights[path][...]
        weights[path][...] = INITIAL[variable]


def first_stripped_and_second_reset(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    if norm == 0:
        del weights[path]
    if norm == 1:
        weights[path][...] = INITIAL[variable]


def poisoned(weights: h5py.File, path: str, norm: int, variable: int) -> None:
    if variable > 1:
        weights[path][...] = np.nan


CASES = [(source, damage) for damage in (stripped, reset, first_stripped_and_second_reset) for source in (BATCH, LAYER)]
CASES += [(BATCH, damage) for damage in (neighbour, without_statistics, statistics_reset, poisoned)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """For each file a folder with a recording and inputs of its model."""
    folders = {}
    for source in (BATCH, LAYER):
        folder = tmp_path_factory.mktemp("recorded")
        model = tcn_migrate.migrate(source, folder / "healthy.keras").model
        shape = [size or 10 for size in model.inputs[0].shape[1:]]
        x = np.random.default_rng(0).normal(size=(300, *shape)).astype(np.float32)
        np.savez(folder / "recorded.npz", x=x, y=model.predict(x, verbose=0))
        np.savez(folder / "inputs.npz", x=x)
        folders[source] = folder
    return folders


@pytest.mark.parametrize(("source", "damage"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_every_command_of_a_refusal_works(
    source: Path, damage: Damage, recordings: dict[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(recordings[source])
    old = damaged(source, tmp_path / "old.keras", damage)
    new, page = tmp_path / "new.keras", tmp_path / "page.html"
    refused = run(old, new, "--report", page)
    assert refused.exit_code == 3, refused.output
    advised = [
        shlex.split(html.unescape(found)) for found in re.findall(r"tcn-migrate migrate [^<]+", page.read_text())
    ]
    assert len(advised) >= 2
    for command in advised:
        added = command[command.index(str(page)) + 1 :]  # to the command that was refused
        assert all(word in refused.output for word in added)
        result = CliRunner().invoke(main, [*command[1:], "--no-verify", "--overwrite"])
        assert result.exit_code == 0, (command, result.output)
    for way in re.findall(r"(--(?:reference|calibrate|reinitialize|keep)[^(]*) \(", refused.output):
        result = run(old, new, *shlex.split(way), "--no-verify", "--overwrite")
        assert result.exit_code == 0, (way, result.output)


def test_inputs_alone_are_advised_with_what_they_need(
    recordings: dict[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the second refusal advises works as well: nothing leads in a circle."""
    monkeypatch.chdir(recordings[BATCH])
    for damage, options in ((stripped, []), (reset, ["--remeasure", "suspect"])):
        old, new = damaged(BATCH, tmp_path / "old.keras", damage), tmp_path / "new.keras"
        refused = run(old, new, "--calibrate", "inputs.npz", "--overwrite", *options)
        assert refused.exit_code == 3
        for way in re.findall(r"(--(?:reference|calibrate|reinitialize)[^(]*) \(", refused.output):
            result = run(old, new, *shlex.split(way), "--no-verify", "--overwrite")
            assert result.exit_code == 0, (way, result.output)


def test_more_than_can_be_refitted_is_not_advised_to_be(
    recordings: dict[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(recordings[BATCH])
    monkeypatch.setattr(decide, "MOST_REFITTED", 31)
    old, new = damaged(BATCH, tmp_path / "old.keras", stripped), tmp_path / "new.keras"
    for options in ([], ["--reference", "recorded.npz"]):
        refused = run(old, new, "--overwrite", *options)
        assert refused.exit_code == 3
        assert "--reference" not in refused.output
        ways = re.findall(r"(--(?:reference|calibrate|reinitialize)[^(]*) \(", refused.output)
        assert len(ways) == 2
        for way in ways:
            assert run(old, new, *shlex.split(way), "--no-verify", "--overwrite").exit_code == 0
    monkeypatch.setattr(decide, "MOST_REFITTED", 32)
    assert run(old, new, "--reference", "recorded.npz", "--no-verify", "--overwrite").exit_code == 0


def test_norms_that_go_back_to_their_own_place_are_verified_there(
    recordings: dict[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The evaluation of the old model has them there, too; the others are refitted."""
    monkeypatch.chdir(recordings[BATCH])
    old = damaged(BATCH, tmp_path / "old.keras", neighbour)

    done = run(old, tmp_path / "new.keras", "--reference", "recorded.npz", "--remeasure", "suspect")

    assert done.exit_code == 0, done.output
    assert "agree with the old library's arithmetic" in done.output
