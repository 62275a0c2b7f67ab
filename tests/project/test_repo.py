"""A project's models, the code that loads them, and a patch with which the code runs in today's Keras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tcn_migrate.cli.main import main
from tests.cases import case
from tests.project.repositories import REPOSITORIES, make


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def run(*words: str) -> Any:
    return CliRunner().invoke(main, ["repo", *words])


def printed(path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a script or notebook prints at its end; it runs in this process, which has Keras already."""
    text = path.read_bytes().decode()
    if path.suffix == ".ipynb":
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
        text = "\n".join(line for cell in cells for line in cell.splitlines() if line[:1] not in ("%", "!"))
    capsys.readouterr()
    exec(compile(text, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("name", REPOSITORIES)
def test_the_patched_code_runs_and_predicts_what_the_old_library_did(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, patch = tmp_path / "the project", tmp_path / "keras3.patch"
    folder.mkdir()
    made = make(name, folder, lambda *words: git(folder, *words))
    monkeypatch.chdir(folder)

    result = run(str(folder), *(made.options or ("--write",)), "--patch", str(patch), "--no-verify")

    assert result.exit_code == 0, result.output
    assert git(folder, "diff", "--name-only") == ""  # no file of the repository was changed
    git(folder, "apply", str(patch))
    assert not {"tcn", "tf_keras"} & set(sys.modules)
    golden = np.load(case(made.fixture).folder / "golden.npz")["y0"]
    got = np.asarray(printed(folder / made.script, capsys))
    assert np.abs(got - golden).max() < 1e-4 * golden.std()
    for path, _ in made.more:
        if not path.endswith(".pkl"):
            text = (folder / path).read_text()
            assert "tcn-migrate" in text
            assert "tensorflow>=2.18" in text
            assert "keras-tcn" not in text
        else:
            assert f"{path}: called like a pickle; not opened" in result.output


def test_applying_does_what_the_patch_says(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        make("a model in the root", folder, lambda *words, folder=folder: git(folder, *words))

    assert run(str(one), "--write", "--patch", str(tmp_path / "p"), "--no-verify").exit_code == 0
    git(one, "apply", str(tmp_path / "p"))
    os.chmod(other / "app.py", 0o755)
    assert run(str(other), "--write", "--apply", "--no-verify").exit_code == 0

    assert (one / "app.py").read_bytes() == (other / "app.py").read_bytes()
    assert (other / "app.py").stat().st_mode & 0o777 == 0o755


def test_looking_changes_nothing(tmp_path: Path) -> None:
    make("a model in the root", tmp_path, lambda *words: git(tmp_path, *words))

    result = run(str(tmp_path))

    assert result.exit_code == 0
    assert "model.h5: can be migrated -> model.keras" in result.output
    assert "+model = tf.keras.models.load_model('model.keras')" in result.output
    assert git(tmp_path, "status", "--porcelain") == ""


def test_nothing_is_overwritten_and_the_code_of_what_was_not_migrated_stays(tmp_path: Path) -> None:
    make("a model in the root", tmp_path, lambda *words: git(tmp_path, *words))
    (tmp_path / "model.keras").write_bytes(b"mine")

    result = run(str(tmp_path), "--write", "--apply", "--no-verify")

    assert result.exit_code == 1
    assert (tmp_path / "model.keras").read_bytes() == b"mine"
    assert git(tmp_path, "diff", "--name-only") == ""


def test_links_out_of_the_project_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "project", tmp_path / "outside"
    folder.mkdir(), outside.mkdir()
    make("a model in the root", outside, lambda *words: git(outside, *words))
    (folder / "linked").symlink_to(outside)
    (folder / "m.h5").symlink_to(outside / "model.h5")
    (folder / "app.py").symlink_to(outside / "app.py")

    result = run(str(folder), "--write", "--apply", "--no-verify")

    assert "no Keras model was found" in result.output
    assert git(outside, "status", "--porcelain") == ""


def test_code_that_computes_the_name_is_said_and_left(tmp_path: Path) -> None:
    make("a model in the root", tmp_path, lambda *words: git(tmp_path, *words))
    code = "import sys, keras\nm = keras.models.load_model(sys.argv[1])\n"
    code += "for p in ['model.h5']:\n    keras.models.load_model(p)\n"
    (tmp_path / "app.py").write_text(code)

    result = run(str(tmp_path), "--json")

    found = json.loads(result.output)
    assert [(place["line"], place["path"], place["model"]) for place in found["code"]] == [
        (2, None, None),
        (4, None, None),
    ]
    assert found["patch"] == ""


def test_other_files_beside_a_model_are_named_with_the_next_step(tmp_path: Path) -> None:
    make("a model in the root", tmp_path, lambda *words: git(tmp_path, *words))
    (tmp_path / "big.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4194304\n")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(20))

    result = run(str(tmp_path))

    assert "big.h5: a Git LFS pointer, not the file itself. Fetch the file (4.0 MiB): git lfs pull." in result.output
    assert "model.tflite: a TensorFlow Lite model." in result.output


@pytest.mark.parametrize("code", ["def f(:\n", "\0", "(" * 3000, "x = " + "-" * 20000 + "1", "é = b'\xff'"])
def test_code_that_is_no_python_is_passed_over(code: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_bytes(code.encode("latin-1"))
    (tmp_path / "broken.ipynb").write_text('{"cells": [{"cell_type": "code", "source": [1]}, 3]}')

    assert run(str(tmp_path)).exit_code == 0
