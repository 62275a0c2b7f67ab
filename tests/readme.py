"""The README's console examples: found, run, and written anew (`python -m tests.readme README.md docs/cookbook.md`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""With the tcn-migrate of this Python first."""
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of a console block, which begin with `$ `."""
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def console_blocks(text: str) -> list[str]:
    return _CONSOLE.findall(text)


def python_blocks(text: str) -> list[str]:
    return _PYTHON.findall(text)


def modules(text: str) -> dict[str, str]:
    """The Python blocks that begin with a comment that is a file's name, by that name."""
    return {found[1]: block for block in python_blocks(text) if (found := re.match(r"# (\w+\.py)\n", block))}


def played(block: str, folder: Path) -> str:
    """A console block with what its commands really print in `folder`."""
    lines = []
    for command in commands(block):
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, check=False
        )
        printed = (done.stdout + done.stderr).replace(f"{folder}{os.sep}", "")
        lines += [f"$ {command}", *printed.rstrip().splitlines()]
        if done.returncode:
            lines.append(f"(exit code {done.returncode})")
    return "\n".join(lines) + "\n"


def stage(folder: Path, text: str) -> None:
    """A folder as a new user of a page has it: with the fixtures, and the modules of the page."""
    shutil.copytree(ROOT / "legacy_fixtures", folder / "legacy_fixtures")
    for name, module in modules(text).items():
        (folder / name).write_text(module)


def main() -> None:
    for name in sys.argv[1:]:
        path = ROOT / name
        with tempfile.TemporaryDirectory() as scratch:
            text = path.read_text()
            stage(Path(scratch), text)
            path.write_text(_CONSOLE.sub(lambda m: f"```console\n{played(m[1], Path(scratch))}```", text))


if __name__ == "__main__":
    main()
