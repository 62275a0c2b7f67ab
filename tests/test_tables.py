"""The generated tables of the documentation are of today."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import cases
from tests.tables import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_generated_table_is_up_to_date(page: Path) -> None:
    assert page.read_text() == PAGES[page](), "write it anew: python -m tests.tables"


CONTAINERS = {
    "functional era, .h5": ("functional", "old.h5"),
    "functional era, .keras": ("functional", "old.keras"),
    "Keras 2, .h5": ("keras2", "old.h5"),
    "Keras 2, .keras": ("keras2", "old.keras"),
    "Keras 2, .weights.h5": ("keras2", "old.weights.h5"),
    "Keras 2, SavedModel": ("keras2", "old"),
    "Keras 2, checkpoint": ("keras2", "old.index"),
    "TensorFlow.js": ("tensorflowjs", "old"),
    "Keras 3, .keras": ("keras3", "old.keras"),
    "Keras 3, .h5": ("keras3", "old.h5"),
    "Keras 3, .weights.h5": ("keras3", "old.weights.h5"),
}


@pytest.mark.parametrize("claim", CONTAINERS)
def test_every_container_that_the_readme_names_has_a_fixture(claim: str) -> None:
    folder, source = CONTAINERS[claim]
    assert any(c.folder.parent.name == folder and c.facts["source"] == source for c in cases())
    assert "SavedModel" in (ROOT / "README.md").read_text()
