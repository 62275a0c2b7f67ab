"""How many bytes a migration may read: nothing else is imported for it, since every command asks."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tcn_migrate.errors import MigrationError, UnsafeError

DEFAULT_BYTES = 8 << 30
"""Size of a source, and of the arrays in it, unless `max_bytes` says otherwise."""
_MOST_FILES, _MIB = 10_000, 1 << 20
_UNITS = {
    "": 1,
    "k": 1000,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


def parse_bytes(text: str) -> int:
    """A number of bytes out of words such as `4GiB`, `500 MB` or `1073741824`.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,6})?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"{text[:40]!r} is no number of bytes; write 4GiB, 500MB or 1073741824")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def source_bytes(path: Path) -> int:
    """The size of a source: of the file, of all files in the folder, or of all that begin with a checkpoint's prefix.

    Links are not followed, but for `path` itself.
    """
    if path.is_file():
        return path.stat().st_size
    total = count = 0
    waiting = [path if path.is_dir() else path.parent]
    while waiting and count < _MOST_FILES:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    if path.is_dir():
                        waiting.append(Path(entry.path))
                elif path.is_dir() or entry.name.startswith(path.name):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def check_source(path: Path, most: int = DEFAULT_BYTES) -> None:
    """Refuses a source beyond the budget before anything of it is read.

    Raises:
        UnsafeError: too large.
    """
    try:
        size = source_bytes(path)
    except OSError:
        return  # whoever opens it says what is wrong
    if size > most:
        raise beyond("the source", size, most)


def beyond(what: str, size: int, most: int) -> MigrationError:
    """What is said where something is larger than the budget."""
    return UnsafeError(
        f"{what} would be {_shown(size)}, more than the limit",
        expected=f"at most {_shown(most)}",
        hint=f"If you trust the file, raise it: --max-bytes {-(-size // (1 << 30))}GiB",
    )


def _shown(size: int) -> str:
    """A size in MiB, where it is not smaller than that."""
    return f"{size // _MIB} MiB" if size >= _MIB else f"{size} bytes"
