"""Every command and every line of code that a page or a message advises works on the file that it is about."""

from __future__ import annotations

import html
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import tcn_migrate
from tcn_migrate.cli.main import main
from tests.cases import FIXTURES, case
from tests.readme import ENVIRONMENT, ROOT, modules

NUMBERED = "keras3/numbered-from-20-k38"
LOST = "keras3/one-norm-stripped-357"
OWN = "mixed/tf215-own-layer-refused"
LAMBDA = "formulas/untranslatable-refused"
WEIGHTS = "keras2/weight-norm-weights-340"
PLACE = "it's an old $folder"
"""Where the sources are; a name that a shell would read otherwise if it were not quoted."""

SCALING = """
import keras


@keras.saving.register_keras_serializable(name="doubled")
class Scaling(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""

DERIVED = """
from tcn_migrate import TCN


class ScaledTCN(TCN):
    def call(self, inputs, **settings):
        return 2.0 * super().call(inputs, **settings)
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def advised(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<code tabindex="0">(.*?)</code>', page)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user works: with modules of layers, and nothing else."""
    for name, text in modules((ROOT / "docs" / "cookbook.md").read_text()).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "scaling.py").write_text(SCALING)
    (tmp_path / "derived.py").write_text(DERIVED)
    (tmp_path / PLACE).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("my_layers", "derived", "scaling"):  # of an earlier folder
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def staged(name: str) -> Path:
    """A copy of a fixture's source where the user works."""
    source = case(name).source
    copy = Path(PLACE) / source.name
    if source.is_dir():
        shutil.copytree(source, copy)
    else:
        shutil.copy(source, copy)
    return copy


def record(outcome_model: Any, path: str) -> None:
    """Recorded predictions of a model, as an old environment would have recorded them."""
    shapes = [tuple(size or 10 for size in tensor.shape[1:]) for tensor in outcome_model.inputs]
    x = [np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32) for shape in shapes]
    y = outcome_model.predict(x if len(x) > 1 else x[0], verbose=0)
    ys = y if isinstance(y, list) else [y]
    arrays = {f"x{n}": one for n, one in enumerate(x)} | {f"y{n}": one for n, one in enumerate(ys)}
    np.savez(path, **arrays)


def worked(lines: Sequence[str], folder: Path) -> None:
    """Runs each line as a user would type it, in a new process."""
    assert lines
    for line in lines:
        words = ["bash", "-c", line] if line.startswith("tcn-migrate ") else [sys.executable, "-c", line]
        environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr[-2000:]}"


MIGRATED: dict[str, tuple[str, list[str], int]] = {
    "layer": (NUMBERED, [], 3),
    "plain": (NUMBERED, ["--target", "plain"], 3),
    "not verified": (NUMBERED, ["--no-verify"], 3),
    "legacy TCN": ("keras2/elu-skip-312", [], 3),
    "fixed training": ("calls/training-true", [], 3),
    "last step": ("keras2/same-last-step-291", ["--last-step"], 3),
    "own classes": (OWN, ["--custom-objects", "my_layers"], 3),
    "weights and architecture": (WEIGHTS, ["--architecture", f"{PLACE}/model.json"], 3),
    "saved model": ("keras2/savedmodel-weight-norm-tf28-341", [], 3),
    "derived from TCN": ("keras3/subclass-of-tcn", ["--custom-objects", "derived"], 3),
    "reinitialized": (LOST, ["--reinitialize"], 2),
}


@pytest.mark.parametrize("kind", MIGRATED)
def test_all_that_the_page_of_a_migration_advises_works(kind: str, folder: Path) -> None:
    name, options, count = MIGRATED[kind]
    old = staged(name)
    if "--architecture" in options:
        shutil.copy(FIXTURES / name / "model.json", PLACE)
    new = Path("new 'model'.keras")
    done = run("migrate", old, new, *options, "--report", "page.html")
    assert done.exit_code == 0, done.output
    lines = advised(Path("page.html").read_text())
    assert len(lines) == count
    loaded: dict[str, Any] = {}
    exec(lines[0], loaded)
    record(loaded["model"], "recorded.npz")
    worked(lines, folder)


def test_the_page_of_suspect_norms_that_were_fitted_offers_no_comparison_that_fails(folder: Path) -> None:
    """The old file holds other values there, and the fit is exact within the error that the page names."""
    old = staged("keras3/batch-norms-h5-cross-10")
    record(tcn_migrate.load_model(old), "recorded.npz")
    done = run(
        "migrate", old, "new.keras", "--remeasure", "all", "--calibrate", "recorded.npz", "--report", "page.html"
    )
    assert done.exit_code == 0, done.output
    lines = advised(Path("page.html").read_text())
    assert len(lines) == 1
    worked(lines, folder)


REFUSED: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "lost norms": (LOST, [], {"inputs.npz": "inputs.npz"}),
    "lost norms, plain": (LOST, ["--target", "plain", "--drop-optimizer"], {}),
    "own classes": (OWN, [], {"package.module": "my_layers"}),
    "own classes, wrong module": (OWN, ["--custom-objects", "scaling"], {"package.module": "my_layers"}),
    "Lambda": (LAMBDA, [], {"package.module": "scaling"}),
    "weights alone": (WEIGHTS, [], {"model.json": str(FIXTURES / WEIGHTS / "model.json")}),
    "exists": (NUMBERED, [], {}),
    "cut off": ("keras3/cut-off-keras", [], {}),
    "always training": ("calls/training-true", ["--target", "plain"], {}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_all_that_the_page_of_a_refusal_advises_works(kind: str, folder: Path) -> None:
    """Each command as it stands there, with what the user has in the place of the names in it."""
    name, options, own = REFUSED[kind]
    old, new = staged(name), Path("new 'model'.keras")
    if kind == "exists":
        new.write_text("somebody's")
    refused = run("migrate", old, new, *options, "--report", "page.html")
    assert refused.exit_code in (1, 3), refused.output
    if kind == "lost norms":
        record(tcn_migrate.migrate(old, "afresh.keras", reinitialize=True).model, "recorded.npz")
    lines = [line for line in advised(Path("page.html").read_text()) if "--calibrate" not in line]
    assert bool(lines) != (kind == "cut off")
    for line in lines:
        words = shlex.split(line)[1:]
        if words[-1] in ("sibling.h5", "module:function"):  # tests/test_architectures.py follows these two
            continue
        words = [own.get(word, word) for word in words]
        if words[0] == "migrate":
            assert words[1:3] == [str(old), str(new)]
            if "--reference" in words and kind != "lost norms":
                continue
            done = run(*words, *([] if "--overwrite" in words else ["--overwrite"]))
            assert done.exit_code == 0, (line, done.output)
            assert new.stat().st_size > 1000
        else:
            assert words[0] == "inspect"
            done = run(*words)
            assert done.exit_code == refused.exit_code if kind.startswith("lost") else done.exit_code == 0, line


def test_inspect_takes_the_classes_that_a_migration_takes(folder: Path) -> None:
    old = staged(OWN)
    assert run("inspect", old).exit_code == 1
    assert run("inspect", old, "--custom-objects", "my_layers").exit_code == 0


def test_the_pages_of_a_plan_and_an_inspection_migrate_as_they_read(folder: Path) -> None:
    old = staged(WEIGHTS)
    old.rename(old.parent / "w.h5")
    old, architecture = old.parent / "w.h5", FIXTURES / WEIGHTS / "model.json"
    plan = tcn_migrate.plan(old, architecture=architecture, target="plain")
    seen = tcn_migrate.inspect(old, architecture=architecture)
    for shown, target in ((plan, "plain"), (seen, "layer")):
        (line,) = advised(html.unescape(shown._repr_html_()))
        done = run(*shlex.split(line)[1:], "--no-verify", "--overwrite", "--json")
        assert done.exit_code == 0, (line, done.output)
        assert f'"target": "{target}"' in done.output


BROKEN = """
import keras


class TimeWeights(keras.layers.Layer):
    def __init__(self, **settings):
        super().__init__(**settings)
        {init}

    def build(self, shape):
        {build}

    def call(self, x):
        return x
"""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (8, {"init": "raise ValueError('the width of my layer is gone')", "build": "pass"}),
        (8, {"init": "self.n = self.get_config()['my_width']", "build": "pass"}),
        (11, {"init": "pass", "build": "raise ValueError('the width of my layer is gone')"}),
        (11, {"init": "pass", "build": "raise ValueError('x' * 5000 + 'my layer is gone')"}),
    ],
)
def test_a_class_of_the_users_that_fails_is_said_with_its_reason(line: int, code: dict[str, str], folder: Path) -> None:
    (folder / "my_layers.py").write_text(BROKEN.format(**code))
    old = staged(OWN)

    refused = run("migrate", old, "new.keras", "--custom-objects", "my_layers")

    assert refused.exit_code == 4
    message = " ".join(refused.output.split())
    assert "my layer is gone'" in message or "TimeWeights: 'my_width''" in message
    assert f"Your own code raised it: {folder / 'my_layers.py'}, line {line}" in message
    assert "deserialized properly" not in message
    assert len(message) < 1000
    assert not Path("new.keras").exists()
