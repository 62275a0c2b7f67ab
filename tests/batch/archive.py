"""A small archive as strangers keep them: good files and bad, of all containers, in folders of folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cases import FIXTURES

FILES = {
    "2023/plain.keras": "keras3/one-block/old.keras",
    "2023/numbered.keras": "keras3/numbered-from-20-k38/old.keras",
    "2023/deep/er/functional.h5": "functional/batch-norm-281/old.h5",
    "2023/cut-off.keras": "keras3/cut-off-keras/old.keras",
    "2021/stripped.keras": "keras3/norms-stripped/old.keras",
    "2021/own.keras": "keras3/subclass-of-tcn/old.keras",
    "2021/saved": "keras2/savedmodel-tf26-340/old",
    "2021/weights/last.weights.h5": "keras3/weights-only-numbered/old.weights.h5",
    "2021/weights/model.json": "keras3/weights-only-numbered/model.json",
    "2020/old-1.index": "keras2/checkpoint-manager-344/old-1.index",
    "2020/old-1.data-00000-of-00001": "keras2/checkpoint-manager-344/old-1.data-00000-of-00001",
    "2020/checkpoint": "keras2/checkpoint-manager-344/checkpoint",
    "2020/model.json": "keras2/checkpoint-manager-344/model.json",
}
SOURCES = {
    "2020/old-1": "2020/old-1.keras",
    "2021/own.keras": "2021/own.keras",
    "2021/saved": "2021/saved.keras",
    "2021/stripped.keras": "2021/stripped.keras",
    "2021/weights/last.weights.h5": "2021/weights/last.keras",
    "2023/cut-off.keras": "2023/cut-off.keras",
    "2023/deep/er/functional.h5": "2023/deep/er/functional.keras",
    "2023/numbered.keras": "2023/numbered.keras",
    "2023/plain.keras": "2023/plain.keras",
}
"""Every checkpoint of the archive, and the name of its new file."""
EXIT_CODES = {"2021/own.keras": 1, "2021/stripped.keras": 3, "2023/cut-off.keras": 1}
"""Of those that are not migrated."""


def make(folder: Path) -> Path:
    """Copies the archive into a new folder."""
    for name, fixture in FILES.items():
        new = folder / name
        new.parent.mkdir(parents=True, exist_ok=True)
        source = FIXTURES / fixture
        if source.is_dir():
            shutil.copytree(source, new)
        else:
            shutil.copy(source, new)
    (folder / "2023" / "notes.txt").write_text("not a checkpoint")
    return folder


def copies(folder: Path, count: int, names: str = "model-{:04}.keras") -> Path:
    """A folder of `count` small checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    content = (FIXTURES / "keras3/one-block/old.keras").read_bytes()
    for k in range(count):
        (folder / names.format(k)).write_bytes(content)
    return folder


def verdicts(journal: Path) -> dict[str, tuple[str, int, str | None]]:
    """What the journal says of each source; fails if it says it twice."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    said = {entry["source"]: (entry["verdict"], entry["exit_code"], entry["message"]) for entry in entries}
    assert len(said) == len(entries)
    return said


def new_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the journal, and what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "migration.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
