"""What runs without Keras, on h5py, NumPy and click; run by `nox -s without_keras`, not by pytest.

Migrates every fixture that has to be exact with `--no-verify`, after `inspect`, `plan` and `check`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cases import cases


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["tcn-migrate", *map(str, words)], capture_output=True, text=True, check=False)


def main() -> None:
    assert importlib.util.find_spec("keras") is None, "Keras is installed here"
    assert importlib.util.find_spec("tensorflow") is None, "TensorFlow is installed here"
    failed = []
    exact = [case for case in cases() if case.facts["expect"] == "exact" and "--custom-objects" not in case.options]
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "new.keras"
        for case in exact:
            reading = [word for word in case.options if word not in ("--drop-optimizer",)]
            commands = [
                ["migrate", case.source, new, "--no-verify", "--overwrite", *case.options],
                ["inspect", case.source, *_without_target(reading)],
            ]
            for command in commands:
                done = run(*command)
                if done.returncode != 0:
                    failed.append(f"{case.name}: {command[0]}: {done.stderr.strip()}")
        done = run("check", *(case.source for case in exact if not case.options))
        failed += [] if done.returncode == 1 else [f"check: {done.returncode}: {done.stderr}"]
        done = run("diff", exact[0].source, exact[0].source)
        failed += [] if done.returncode == 0 else [f"diff: {done.stderr}"]
        done = run("migrate", exact[0].source, Path(folder) / "other.keras")
        one_sentence = (
            done.returncode == 1 and "pip install keras" in done.stderr and len(done.stderr.splitlines()) == 1
        )
        failed += [] if one_sentence else [f"migrate without Keras: {done.returncode}: {done.stderr}"]
    print(f"{len(exact)} files, {len(failed)} failures")
    sys.exit("\n".join(failed) or None)


def _without_target(options: list[str]) -> list[str]:
    """The options of a migration that `inspect` has, too."""
    kept, rest = [], iter(options)
    for word in rest:
        if word in ("--target", "--report"):
            next(rest, None)
        else:
            kept.append(word)
    return kept


if __name__ == "__main__":
    main()
