"""The pages of the site that are made of what is written elsewhere: README, help, docstrings of the repairs."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
SITE = "https://github.com/tcn-migrate/tcn-migrate/blob/main/"
RAW = "https://raw.githubusercontent.com/tcn-migrate/tcn-migrate/main/"
API = ("migrate", "inspect", "plan", "load_model", "load_weights", "migrate_many", "MigrationError", "TCN")


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages."""
    sys.path.insert(0, str(ROOT))
    pages = {
        "index.md": (ROOT / "README.md").read_text().replace(f"{SITE}docs/", "").replace(f"{RAW}docs/", ""),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "api.md": "# In Python\n\n" + "\n\n".join(f"::: tcn_migrate.{name}" for name in API),
        "commands.md": commands(),
        "repairs.md": repairs(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links out of docs/ lead to the repository."""
    return re.sub(r"\]\(\.\./", f"]({SITE}", markdown)


def commands() -> str:
    """The help of every command."""
    from tests.manual import helps

    return "# Commands\n\n" + "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in helps().items())


def repairs() -> str:
    """A section for each repair: what it does, since when, and why; from its docstring, with a link to its code."""
    from tcn_migrate.config.repairs import INDEX

    sections = ["# Repairs of a config", "What is changed in a layer of Keras 2, so that Keras 3 computes the same."]
    for repair in INDEX:
        file = Path(str(inspect.getsourcefile(repair))).relative_to(ROOT)
        line = inspect.getsourcelines(repair)[1]
        text = inspect.getdoc(repair) or ""
        text = re.sub(r"^(Since|Issue): ", r"\n**\1**: ", text, flags=re.MULTILINE).partition("\nRaises:")[0]
        sections.append(f"## {repair.__name__.replace('_', ' ')}\n\n{text}\n\n[The code]({SITE}{file}#L{line})")
    return "\n\n".join(sections)
