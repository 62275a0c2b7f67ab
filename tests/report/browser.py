"""Pages in a real browser, which is Chromium where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def tried(folder: Path, document: str, trial: str, width: int) -> list[int]:
    """The numbers that a script writes into `data-found` of the body, after it used the page."""
    # The page lets no other script run, so the trial goes in without that policy.
    document = re.sub(r"<meta http-equiv=.*?>\n", "", document).replace("</body>", f"{trial}</body>")
    (folder / "page.html").write_text(document)
    found = dumped(folder, width)
    said = re.search(r'data-found="([\d ]+)"', found)
    assert said, found[-500:]
    return [int(number) for number in said[1].split()]


def dumped(folder: Path, width: int) -> str:
    """The document as it is in the browser after its scripts ran."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--dump-dom",
        (folder / "page.html").as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
