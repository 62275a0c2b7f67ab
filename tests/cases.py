"""The fixtures as test cases: real old files with the old library's own predictions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "legacy_fixtures"


@dataclass(frozen=True)
class Case:
    """One fixture: its folder, and what its case.json says."""

    folder: Path
    facts: dict[str, Any]

    @property
    def source(self) -> Path:
        return self.folder / self.facts["source"]

    @property
    def options(self) -> list[str]:
        return [option.replace("{case}", str(self.folder)) for option in self.facts.get("options", [])]

    @property
    def name(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"


def case(name: str) -> Case:
    folder = FIXTURES / name
    return Case(folder, json.loads((folder / "case.json").read_text()))


def cases() -> list[Case]:
    return [case(str(spec.parent.relative_to(FIXTURES))) for spec in sorted(FIXTURES.rglob("case.json"))]
