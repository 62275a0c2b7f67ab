"""Every old file among the fixtures ends as its case.json says; a migrated one predicts what the old library did."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate.cli.main import main
from tests.cases import Case, cases

EXIT_CODES = {"exact": 0, "recovered": 0, "refused": 1, "decision": 3}


def hash_of(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()


def predictions(path: Path, golden: Any) -> list[Any]:
    from tcn_migrate.verify import load

    model = load(path)
    inputs = [golden[key] for key in sorted(key for key in golden.files if key.startswith("x"))]
    outputs = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_an_old_file_comes_out_exactly_or_is_refused_with_the_reason(case: Case, tmp_path: Path) -> None:
    new, before = tmp_path / "new.keras", hash_of(case.source)

    result = CliRunner().invoke(main, [str(case.source), str(new), *case.options])

    assert result.exit_code == EXIT_CODES[case.facts["expect"]], result.output
    said = " ".join(result.output.lower().split())
    for word in case.facts.get("mentions", []):
        assert word.lower() in said
    assert hash_of(case.source) == before
    assert [p.name for p in tmp_path.iterdir()] == (["new.keras"] if result.exit_code == 0 else [])
    if result.exit_code or not (case.folder / "golden.npz").exists():
        return
    golden = np.load(case.folder / "golden.npz")
    wanted = [golden[key] for key in sorted(key for key in golden.files if key.startswith("y"))]
    for got, old in zip(predictions(new, golden), wanted, strict=True):
        got = np.asarray(got, np.float64)
        assert got.shape == old.shape
        error = np.abs(got - old).max() / max(old.std(), 1e-6)
        assert error <= case.facts.get("tolerance", 1e-4)
