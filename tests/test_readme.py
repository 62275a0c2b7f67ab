"""The README is true: every command in it was run, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.readme import ROOT, console_blocks, played, python_blocks, stage

PAGES = [path for path in (ROOT / "README.md", ROOT / "docs" / "cookbook.md") if path.exists()]


def steady(text: str) -> str:
    """Rounding differs from machine to machine: the last digits of small differences do not count."""
    return re.sub(r"\d(\.\d+)?e-\d+", "~", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_page_shows_is_what_the_commands_print(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    for block in console_blocks(text):
        assert steady(played(block, tmp_path)) == steady(block)
    for block in python_blocks(text):
        exec(compile(block, str(page), "exec"), {})


def test_the_page_leads_nowhere_wrong() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
