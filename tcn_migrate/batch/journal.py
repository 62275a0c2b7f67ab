"""One JSON line for each file that was tried, written as soon as it is decided.

The journal is how a run that was stopped goes on, at any moment and however it was stopped: a line that is missing or
torn costs the repetition of one file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.errors import MigrationError, quoted

NAME = "migration.jsonl"
LONGEST_LINE = 1 << 20


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole; none if there is no such file.

    Raises:
        MigrationError: it cannot be read, or is no journal.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b"")):
                entry = _parsed(line)
                if entry is not None:
                    yield entry
                elif number == 0 and line.endswith(b"\n") and line.strip():
                    raise MigrationError(
                        "is no journal of a batch", address=quoted(path), hint="Name another one: --journal FILE"
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise MigrationError(f"cannot be read ({error.strerror})", address=quoted(path)) from None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("source"), str) else None


def done(path: Path, sources: frozenset[str]) -> dict[str, dict[str, Any]]:
    """The entries of sources that need not be tried again, by source; and drops the others' lines from the journal.

    A source of this run that failed will get a new line; so at the end there is one line for each file.
    """
    kept: dict[str, dict[str, Any]] = {}
    for entry in lines(path):
        kept[entry["source"]] = entry
    kept = {source: e for source, e in kept.items() if source not in sources or e.get("exit_code") == 0}
    if path.exists():
        replacement = path.with_name(f"{path.name}.part")
        with replacement.open("w", encoding="ascii") as file:
            file.writelines(f"{json.dumps(entry)}\n" for entry in kept.values())
            file.flush()
            os.fsync(file.fileno())
        os.replace(replacement, path)
    return {source: entry for source, entry in kept.items() if source in sources}


@contextlib.contextmanager
def appended(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds an entry to the journal; one that does nothing if there is to be none.

    Raises:
        MigrationError: it cannot be written.
    """
    if path is None:
        yield lambda entry: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="ascii")
    except OSError as error:
        raise _unwritable(path, error) from None

    def note(entry: Mapping[str, Any]) -> None:
        try:
            file.write(f"{json.dumps(entry)}\n")
            file.flush()
        except OSError as error:
            raise _unwritable(path, error) from None

    with file:
        yield note


def _unwritable(path: Path, error: OSError) -> MigrationError:
    return MigrationError(
        f"the journal cannot be written ({error.strerror})",
        address=quoted(path, 200),
        hint="What was migrated is there; --resume goes on from it, once there is room",
    )
