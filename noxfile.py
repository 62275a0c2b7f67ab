"""One command for everything: `nox -l` lists, `nox -s tests`, `nox -s range`, `nox -s backends`.

`range` and `backends` print Markdown tables.
"""

from __future__ import annotations

import json
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]

TENSORFLOW = "tensorflow==2.21.0"
KERAS = ("3.0.5", "3.3.3", "3.5.0", "3.8.0", "3.10.0", "3.12.0", "3.14.0", "3.15.1")
FIRST = (3, 8)
"""The oldest Keras in which the package itself runs."""
KERAS_TCN = "keras-tcn==3.5.7"
CHECK = "tests/range/check.py"


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, and which room may import which."""
    session.install(".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
@nox.parametrize("keras", KERAS)
def range(session: nox.Session, keras: str) -> None:
    """Files of both targets in one release of Keras: load, and predict what the old library did."""
    files = Path(session.cache_dir).resolve() / "range-files"
    if not files.exists():
        session.install(".")
        session.run("python", CHECK, "write", str(files))
    fresh = Path(session.create_tmp())
    rows = []
    bare = [TENSORFLOW, "dm-tree", "optree", "h5py", "absl-py", "rich", "namex", "ml-dtypes", "packaging"]
    # TensorFlow asks for a younger Keras than some of these, which none of them needs.
    session.run("python", "-m", "venv", "--clear", str(fresh / "venv"))
    python = str(fresh / "venv" / "bin" / "python")

    def run(*arguments: str) -> str:
        return str(session.run(python, *arguments, external=True, silent=True, success_codes=[0, 1]))

    run("-m", "pip", "install", "--quiet", *bare)
    run("-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", f"keras=={keras}")
    rows.append(("plain, nothing but Keras", run(CHECK, "read", str(files), "plain")))
    run("-m", "pip", "install", "--quiet", "--no-deps", KERAS_TCN)
    rows.append((f"layer, {KERAS_TCN}", run(CHECK, "read", str(files), "keras-tcn")))
    if tuple(map(int, keras.split(".")[:2])) >= FIRST:
        run("-m", "pip", "install", "--quiet", "click")
        run("-m", "pip", "install", "--quiet", "--no-deps", ".")
        rows.append(("layer, tcn_migrate", run(CHECK, "read", str(files), "tcn_migrate")))
        rows.append(("migrating", run(CHECK, "migrate", str(fresh / "migrated"))))
    _table(session, f"Keras {keras}", rows)


@nox.session
@nox.parametrize("backend", ["tensorflow", "jax", "torch"])
def backends(session: nox.Session, backend: str) -> None:
    """Both targets and the layer on each backend: predict, fit, save, load."""
    session.install(".")
    if backend == "torch":
        session.install("torch==2.13.0")
    elif backend == "jax":
        session.install("jax")
    files = Path(session.create_tmp()).resolve() / "files"
    session.run("python", CHECK, "write", str(files))
    environment = {"KERAS_BACKEND": backend}
    rows = [
        (what, str(session.run("python", CHECK, how, str(files), target, env=environment, silent=True)))
        for what, how, target in (
            ("plain: load, predict", "read", "plain"),
            ("layer: load, predict", "read", "tcn_migrate"),
            ("plain: fit, save, load", "train", "plain"),
            ("layer: fit, save, load", "train", "tcn_migrate"),
        )
    ]
    _table(session, backend, rows)


def _table(session: nox.Session, heading: str, rows: list[tuple[str, str]]) -> None:
    """Prints what `check.py` found as rows of a Markdown table, and fails if anything did."""
    failed = []
    for what, printed in rows:
        found = json.loads(printed.strip().splitlines()[-1])
        failed += found["failed"]
        print(f"| {heading} | {what} | {found['passed']} of {found['passed'] + len(found['failed'])} |")
    if failed:
        session.error("; ".join(failed))
