"""One command for everything: `nox -l` lists, `nox -s tests`, `nox -s range`, `nox -s backends`, `nox -s newcomer`.

`range` and `backends` print the Markdown tables of docs/range.md. They download TensorFlow, JAX and PyTorch.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]

TENSORFLOW = "tensorflow==2.21.0"
TORCH = "torch==2.13.0"
KERAS = ("3.0.5", "3.3.3", "3.5.0", "3.8.0", "3.10.0", "3.12.0", "3.14.0", "3.15.1")
FIRST = (3, 8)
"""The oldest Keras in which the package itself runs."""
KERAS_TCN = "keras-tcn==3.5.7"
CHECK = "tests/range/check.py"
PYTHONS = ("3.11", "3.12", "3.13")


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
def range(session: nox.Session) -> None:
    """Files of both targets in every release of Keras: load, and predict what the old library did."""
    # The files were made by the newest Keras that the package takes; TensorFlow stays while Keras is replaced.
    session.install(TENSORFLOW, "dm-tree", ".")
    session.install("--no-deps", KERAS_TCN)
    files = _files(session)
    table = [_row("Keras", "plain", f"layer, {KERAS_TCN}", "layer, tcn_migrate", "migrating"), _row(*["---"] * 5)]
    failed: list[str] = []
    for keras in KERAS:
        session.install("--quiet", "--no-deps", f"keras=={keras}")
        checks = [("read", files, "plain"), ("read", files, "keras-tcn")]
        if tuple(map(int, keras.split(".")[:2])) >= FIRST:
            checks += [("read", files, "tcn_migrate"), ("migrate", str(Path(files).with_name("migrated")), "")]
        cells = [_checked(session, *check, failed=failed, where=f"Keras {keras}") for check in checks]
        table.append(_row(keras, *cells, *["-"] * (4 - len(cells))))
    _printed(session, table, failed)


@nox.session
def backends(session: nox.Session) -> None:
    """Both targets on each backend: load, predict, fit, save, load again."""
    session.install(TENSORFLOW, "jax", TORCH, ".")
    files = _files(session)
    table = [_row("backend", *(f"{target}: {what}" for target in ("plain", "layer") for what in ("predict", "train")))]
    table.append(_row(*["---"] * 5))
    failed: list[str] = []
    for backend in ("torch", "jax", "tensorflow"):
        cells = [
            _checked(session, *check, failed=failed, where=backend, KERAS_BACKEND=backend)
            for what in ("plain", "tcn_migrate")
            for check in (("read", files, what, "functional", "keras3"), ("train", files, what))
        ]
        table.append(_row(backend, *cells))
    _printed(session, table, failed)


@nox.session(python=PYTHONS)
def newcomer(session: nox.Session) -> None:
    """What a new user does: install the wheel, unpack the sdist, run its tests with every block of the README."""
    place = Path(session.create_tmp()).resolve()
    shutil.rmtree(place / "dist", ignore_errors=True)
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", str(place / "dist"))
    (wheel,), (sdist,) = (place / "dist").glob("*.whl"), (place / "dist").glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    session.install(f"{wheel}[test]")
    unpacked = place / "sdist"
    shutil.rmtree(unpacked, ignore_errors=True)
    shutil.unpack_archive(sdist, unpacked)
    (root,) = unpacked.iterdir()
    session.chdir(place)  # and not where the package lies as a folder
    session.run("tcn-migrate", "--version")
    session.run("python", "-W", "error", "-m", "compileall", "-q", str(root / "tcn_migrate"))
    session.chdir(root)
    session.run("pytest", *session.posargs)


@nox.session
def without_keras(session: nox.Session) -> None:
    """Everything but the proof and recovery, where neither Keras nor TensorFlow is installed."""
    session.install("--no-deps", ".")
    session.install("click>=8.1", "google-crc32c>=1.5", "h5py>=3.10", "jinja2>=3.1", "numpy>=1.26", "pebble>=5.1")
    session.install("rich>=13")
    session.run("python", "-m", "tests.without_keras")


@nox.session
def docs(session: nox.Session) -> None:
    """The site of the documentation, in which every link leads somewhere."""
    session.install("mkdocs-material>=9.5", "mkdocstrings[python]>=0.26")
    session.install("--no-deps", ".")
    session.install("click>=8.1", "google-crc32c>=1.5", "h5py>=3.10", "jinja2>=3.1", "numpy>=1.26", "rich>=13")
    session.run("mkdocs", "build", "--strict", "--site-dir", str(Path(session.create_tmp()).resolve() / "site"))


def _files(session: nox.Session) -> str:
    """A folder with every fixture migrated to both targets."""
    files = Path(session.create_tmp()).resolve() / "files"
    shutil.rmtree(files, ignore_errors=True)
    session.run("python", CHECK, "write", str(files), silent=True)
    return str(files)


def _checked(session: nox.Session, *check: str, failed: list[str], where: str, **environment: str) -> str:
    """A cell of the table: what `check.py` counted. What failed is added to `failed`."""
    printed = session.run(
        "python",
        CHECK,
        *check,
        env=environment,
        silent=True,
        success_codes=[0, 1],
        stderr=subprocess.DEVNULL,
    )
    found = json.loads(str(printed).strip().splitlines()[-1])
    failed += [f"{where}: {problem}" for problem in found["failed"]]
    passed = f"{found['passed']} of {found['passed'] + len(found['failed'])}"
    return "; ".join([passed, *(f"{count}: {reason}" for reason, count in found["limits"].items())])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _printed(session: nox.Session, table: list[str], failed: list[str]) -> None:
    """Prints a Markdown table, and fails if anything did."""
    print("\n".join(table))
    if failed:
        session.error("; ".join(failed))
