"""The fuzz target for a few seconds, and the faults that it found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.run import executed, sources


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sources()), seed=st.integers(0, 2**32))
def test_a_damaged_file_ends_in_a_migration_error_or_in_a_file(tmp_path: Path, name: str, seed: int) -> None:
    _, fault = executed(name, range(seed, seed + 3), tmp_path / "progress")

    assert fault is None, f"python -m tests.fuzz --again {fault.source} {fault.seed}: {fault.what}"


def test_a_fault_is_found_and_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise KeyError("module")

    monkeypatch.setattr("tests.fuzz.run.inspect", broken)

    _, fault = executed("keras3/one-block/old.keras", range(7, 9), tmp_path / "progress")

    assert fault is not None
    assert (fault.seed, "KeyError" in fault.what) == (7, True)


@pytest.mark.parametrize(("what", "harm"), [("a hang", "while True: pass"), ("a crash", "os.kill(os.getpid(), 11)")])
def test_hangs_and_crashes_are_faults(what: str, harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.run.inspect", lambda path: exec(f"import os\n{harm}"))

    _, fault = executed("keras3/one-block/old.keras", range(7, 9), tmp_path / "progress", seconds=0.3)

    assert fault is not None
    assert fault.what.startswith(what)
