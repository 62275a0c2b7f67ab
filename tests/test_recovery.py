"""Recovery from the command line to the file: what is promised is what the new file does, and a miss writes nothing."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.errors import MigrationError, VerificationError
from tcn_migrate.recovery import recover as module
from tcn_migrate.verify import load
from tests.cases import FIXTURES

HEALTHY = FIXTURES / "keras3" / "numbered-from-20-k38" / "old.keras"
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 10, 3)).astype(np.float32)
UNSEEN = RANDOM.normal(size=(200, 10, 3)).astype(np.float32)


def without(source: Path, target: Path, variables: tuple[str, ...]) -> Path:
    """A copy of a `.keras` file without some variables of its batch norms, numbered as Keras does."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "model.weights.h5":
                memory = io.BytesIO(content)
                with h5py.File(memory, "r+") as weights:
                    found: list[str] = []
                    weights.visit(found.append)
                    for name in found:
                        if re.fullmatch(rf".*batch_normalization.*/vars/({'|'.join(variables)})", name):
                            del weights[name]
                content = memory.getvalue()
            new.writestr(member, content)
    return target


class Old:
    """An old model: its file, the file without its norms, and what it predicts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = tcn_migrate.migrate(HEALTHY, folder / "healthy.keras").model
        self.y = self.model.predict(X, verbose=0)
        self.unseen = self.model.predict(UNSEEN, verbose=0)
        self.lost = without(HEALTHY, folder / "lost.keras", ("0", "1", "2", "3"))
        self.no_statistics = without(HEALTHY, folder / "no-statistics.keras", ("2", "3"))

    def recording(self, name: str, x: np.ndarray = X, y: np.ndarray | None = None) -> Path:
        path = self.folder / f"{name}.npz"
        np.savez(path, x=x, y=self.y if y is None else y)
        return path

    def off(self, new: Path) -> float:
        """How far a new file's predictions are from the old ones, on inputs that were not recorded."""
        got = load(new).predict(UNSEEN, verbose=0)
        return float(np.sqrt(np.mean((got - self.unseen) ** 2)) / self.unseen.std())


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Old:
    return Old(tmp_path_factory.mktemp("old"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


def refused(result: Result, new: Path, code: int = 1) -> str:
    """The one sentence that a refusal ends in, with nothing written."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert list(new.parent.glob("*new*")) == []
    (sentence,) = result.output.strip().splitlines()
    assert sentence.startswith("error: ")
    return sentence


def test_lost_norms_come_back_from_a_recording(old: Old, tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    result = run(old.lost, new, "--reference", old.recording("whole"))
    assert result.exit_code == 0, result.output
    assert "should come back exactly" in result.output
    told = re.search(
        r"the worst of 2 outputs, differ by \S+ standard deviations, and should by at most (\S+) on", result.output
    )
    assert told is not None
    assert float(told[1]) < 1e-5
    off = np.abs(load(new).predict(UNSEEN, verbose=0) - old.unseen).max(axis=1) / old.unseen.std()
    # One of the 200 opens a channel that no recorded input opens as far, and is 6e-4 off.
    assert np.mean(off < 1e-5) >= 0.99
    assert off.max() < 1e-3


def test_lost_statistics_come_back_from_inputs(old: Old, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    result = run(old.no_statistics, tmp_path / "new.keras", "--calibrate", tmp_path / "x.npy")
    assert result.exit_code == 0, result.output
    assert "measured from 300 inputs" in result.output
    assert "16 copied" not in result.output
    assert "8 measured" in result.output


def test_the_same_recording_gives_the_same_file(old: Old, tmp_path: Path) -> None:
    recording = old.recording("again")
    contents = []
    for name in ("one.keras", "other.keras"):
        assert run(old.lost, tmp_path / name, "--reference", recording, "--no-verify").exit_code == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_no_clock_has_a_part_in_a_fit(old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that runs a million times too fast changes nothing."""
    import time

    recording = old.recording("clock")
    assert run(old.lost, tmp_path / "one.keras", "--reference", recording, "--no-verify").exit_code == 0
    for name in ("monotonic", "perf_counter", "process_time", "time"):
        clock = getattr(time, name)
        monkeypatch.setattr(time, name, lambda clock=clock: 1e6 * clock())
    assert run(old.lost, tmp_path / "other.keras", "--reference", recording, "--no-verify").exit_code == 0
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other.keras").read_bytes()


def foreign(old: Old) -> np.ndarray:
    """What another model predicts for the same inputs."""
    import keras

    keras.utils.set_random_seed(5)
    other = keras.Sequential([keras.Input((10, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "tanh")])
    return np.asarray(other.predict(X, verbose=0))


SPOILED = {
    "as if shuffled": lambda old: (X, RANDOM.permutation(old.y)),
    "they seem to be of another model": lambda old: (X, foreign(old)),
    "the recorded inputs seem to be scaled": lambda old: (3 * X + 1, old.y),
    "the recorded predictions seem to be scaled": lambda old: (X, 5 * old.y + 3),
    "seem to carry noise": lambda old: (X, old.y + 0.05 * old.y.std() * RANDOM.normal(size=old.y.shape)),
}
"""What was done to a recording, by what is to be said of it."""


@pytest.mark.parametrize("cause", SPOILED)
def test_recordings_that_no_fit_explains_write_nothing(cause: str, old: Old, tmp_path: Path) -> None:
    recording = old.recording("spoiled", *SPOILED[cause](old))
    sentence = refused(run(old.lost, tmp_path / "new.keras", "--reference", recording), tmp_path / "new.keras", 4)
    assert "should come back exactly" not in sentence
    assert cause in sentence
    advised = re.search(r"--accept-error (\S+?)\.?$", sentence)
    assert advised is not None
    written = run(old.lost, tmp_path / "new.keras", "--reference", recording, "--accept-error", advised[1])
    assert written.exit_code == 0, written.output
    assert "larger than expected, and accepted" in written.output
    assert "should come back" not in written.output


def test_an_accepted_error_is_a_limit(old: Old, tmp_path: Path) -> None:
    recording = old.recording("limit", X, RANDOM.permutation(old.y))
    new = tmp_path / "new.keras"
    refused(run(old.lost, new, "--reference", recording, "--accept-error", "1e-3"), new, 4)
    with pytest.raises(VerificationError):
        tcn_migrate.migrate(old.lost, new, reference=recording, accept_error=1e-3)
    assert run(old.lost, new, "--accept-error", "1e-3").exit_code == 2


@pytest.mark.parametrize(
    ("how", "rounded"),
    [("3 decimals", lambda y: np.round(y, 3)), ("float16", lambda y: y.astype(np.float16))],
)
def test_rounded_recordings_are_told_and_met(how: str, rounded: object, old: Old, tmp_path: Path) -> None:
    assert callable(rounded)
    new = tmp_path / "new.keras"
    result = run(old.lost, new, "--reference", old.recording(how, X, rounded(old.y)))
    assert result.exit_code == 0, result.output
    told = re.search(r"should come back to (\S+) standard deviations, since those recorded are rounded", result.output)
    assert told is not None
    assert old.off(new) <= float(told[1])


def test_a_recording_is_compared_with_a_healthy_file(old: Old, tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    for options in ((), ("--no-verify",)):
        result = run(HEALTHY, new, "--reference", old.recording("healthy"), "--overwrite", *options)
        assert result.exit_code == 0, result.output
        assert "300 recorded predictions agree" in result.output
    new.unlink()
    wrong = old.recording("wrong", X, RANDOM.permutation(old.y))
    sentence = refused(run(HEALTHY, new, "--reference", wrong), new, 4)
    advised = re.search(r"--accept-error (\S+) ", sentence)
    assert advised is not None
    assert run(HEALTHY, new, "--reference", wrong, "--accept-error", advised[1]).exit_code == 0
    rounded = old.recording("rounded", X, np.round(old.y, 2))
    assert run(HEALTHY, new, "--reference", rounded, "--overwrite").exit_code == 0


def test_calibration_that_nothing_needs_is_said(old: Old, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    result = run(HEALTHY, tmp_path / "new.keras", "--calibrate", tmp_path / "x.npy", "--no-verify")
    assert result.exit_code == 0
    assert "no moving statistics are lost" in result.output


@pytest.mark.parametrize("option", ["--reference", "--calibrate"])
@pytest.mark.parametrize("healthy", [True, False])
def test_a_file_that_is_not_there_is_an_error(option: str, healthy: bool, old: Old, tmp_path: Path) -> None:
    source, new = HEALTHY if healthy else old.lost, tmp_path / "new.keras"
    sentence = refused(run(source, new, option, tmp_path / "absent.npz"), new)
    assert "absent.npz': there is no such file" in sentence


def archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)


def saved(array: np.ndarray) -> bytes:
    memory = io.BytesIO()
    np.save(memory, array)
    return memory.getvalue()


BAD = {
    "y is text": (lambda old: {"x": saved(X), "y": saved(np.array(["a"] * 300))}, "not numeric"),
    "empty": (lambda old: {"x": saved(X[:0]), "y": saved(old.y[:0])}, "is empty"),
    "no array": (lambda old: {"x": saved(X), "y": b"no array at all"}, "is no array"),
    "all zero": (lambda old: {"x": saved(0 * X), "y": saved(0 * old.y)}, "are all the same"),
    "y is constant": (lambda old: {"x": saved(X), "y": saved(0 * old.y + 3)}, "are all the same"),
    "huge inputs": (lambda old: {"x": saved(X * np.float32(5e37)), "y": saved(old.y)}, "not finite"),
    "huge": (lambda old: {"x": saved(X * np.float32(5e37)), "y": saved(old.y * np.float32(5e37))}, "not finite"),
    "y is NaN": (lambda old: {"x": saved(X), "y": saved(old.y * np.nan)}, "not finite"),
    "scalars": (lambda old: {"x": saved(np.float32(1)), "y": saved(np.float32(1))}, "shape"),
    "complex": (lambda old: {"x": saved(X), "y": saved(old.y * 1j)}, "not numeric"),
    "no y": (lambda old: {"x": saved(X)}, "does not hold"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_recording_ends_in_one_sentence(how: str, old: Old, tmp_path: Path) -> None:
    content, words = BAD[how]
    archive(tmp_path / "bad.npz", **content(old))
    new = tmp_path / "new.keras"
    assert words in refused(run(old.lost, new, "--reference", tmp_path / "bad.npz"), new)
    if how not in ("all zero", "y is constant"):
        result = run(HEALTHY, new, "--reference", tmp_path / "bad.npz")
        refused(result, new, result.exit_code)
        assert result.exit_code in (1, 4)


@pytest.mark.parametrize("first", ["nan,1,2", "inf,-inf,0", "1e3,2,NaN"])
def test_a_first_row_of_numbers_is_no_header(first: str, old: Old, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\n".join([first] + ["1,2,3"] * 399))
    new = tmp_path / "new.keras"
    assert "not finite" in refused(run(old.no_statistics, new, "--calibrate", tmp_path / "x.csv"), new)


def test_in_python_a_pair_of_arrays_is_checked_like_a_file(old: Old, tmp_path: Path) -> None:
    new = tmp_path / "new.keras"
    for bad in ((X,), (X, [old.y, old.y]), (X, np.array(["a"] * 300)), (X[:0], old.y[:0]), X):
        with pytest.raises(MigrationError):
            tcn_migrate.migrate(old.lost, new, reference=bad)
    outcome = tcn_migrate.migrate(HEALTHY, new, reference=(X, old.y))
    assert outcome.agreement is not None
    assert outcome.as_json()["agreement"] == outcome.agreement
    assert "recorded predictions agree" in str(outcome.report())


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(28, "No space left on device")])
def test_whatever_fails_in_a_recovery_ends_in_a_sentence(
    error: Exception, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(module, "_refitted", fails)
    new = tmp_path / "new.keras"
    refused(run(old.lost, new, "--reference", old.recording("any")), new)


def test_an_interrupt_leaves_nothing_behind(old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_refitted", interrupted)
    shutil.copy(old.lost, tmp_path / "old.keras")
    with contextlib.suppress(KeyboardInterrupt):
        assert run(tmp_path / "old.keras", tmp_path / "new.keras", "--reference", old.recording("any")).exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["old.keras"]
