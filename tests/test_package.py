"""What is published is whole: licence, types, the manual page, metadata, and everything that the tests need."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess

import pytest

from tests.manual import PAGE, manual
from tests.readme import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def test_the_manual_page_says_what_help_says() -> None:
    """`python -m tests.manual` writes it anew. How lines are broken depends on the release of click."""
    assert set(PAGE.read_text().split()) - {"..."} == set(manual().split()) - {"..."}


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
def test_the_manual_page_is_roff() -> None:
    subprocess.run(["mandoc", "-Tlint", "-W", "error", str(PAGE)], check=True)


def test_the_licence_is_there_and_is_the_one_that_is_named() -> None:
    assert (ROOT / "LICENSE").read_text().startswith(f"{SETUP['metadata']['license']} License\n")


def test_types_are_published() -> None:
    assert (ROOT / "tcn_migrate" / "py.typed").exists()
    assert "py.typed" in SETUP["options.package_data"]["tcn_migrate"]


def test_every_file_beside_the_code_is_package_data() -> None:
    patterns = [one.strip() for one in SETUP["options.package_data"]["tcn_migrate"].split(",")]
    package = ROOT / "tcn_migrate"
    published = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == published


def test_the_pythons_that_are_named_are_those_that_are_tried() -> None:
    named = re.findall(r"Python :: (3\.\d+)", SETUP["metadata"]["classifiers"])
    for file in (".github/workflows/ci.yml", "noxfile.py"):
        if (ROOT / file).exists():
            assert all(f'"{version}"' in (ROOT / file).read_text() for version in named), file
    assert SETUP["options"]["python_requires"] == f">={named[0]}"


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [number for number, line in enumerate(lines) if line.startswith("USER ")]
    assert users
    assert lines[users[-1]] != "USER root"
    assert users[-1] < next(number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
