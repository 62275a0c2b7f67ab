"""The house is as its plan says: one direction of dependency, and Keras only where it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.readme import ROOT


def test_the_import_contracts_hold() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("command", ["inspect", "plan", "migrate --no-verify --overwrite"])
def test_a_migration_without_verification_imports_no_framework(command: str) -> None:
    name, *options = command.split()
    old = ROOT / "legacy_fixtures" / "keras2" / "weight-norm-321" / "old.h5"
    script = (
        "import sys, tempfile, pathlib\n"
        "from click.testing import CliRunner\n"
        "from tcn_migrate.cli.main import main\n"
        "new = pathlib.Path(tempfile.mkdtemp()) / 'new.keras'\n"
        f"arguments = [{name!r}, {str(old)!r}, *([str(new)] if {name!r} == 'migrate' else []), *{options!r}]\n"
        "result = CliRunner().invoke(main, arguments)\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_importing_the_package_imports_no_framework() -> None:
    script = "import sys, tcn_migrate; assert not {'keras', 'tensorflow', 'numpy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
