"""One JSON line for each file that was tried, written as soon as it is decided.

The journal is how a run that was stopped goes on, at any moment and however it was stopped: a line that is missing or
torn costs the repetition of one file.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.errors import MigrationError, quoted

NAME = "migration.jsonl"
LONGEST_LINE = 1 << 20
_BEGINNING = b'{"source": "'


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole; none if there is no such file.

    Raises:
        MigrationError: it cannot be read, or is no journal.
    """
    _check_place(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b"")):
                entry = _parsed(line)
                if entry is not None:
                    yield entry
                elif number == 0 and not _BEGINNING.startswith(line[: len(_BEGINNING)]):  # torn, it begins like that
                    raise MigrationError(
                        "is no journal of a batch", address=quoted(path), hint="Name another one: --journal FILE"
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise MigrationError(f"cannot be read ({error.strerror})", address=quoted(path)) from None


def _check_place(path: Path) -> None:
    """Refuses a journal that is a link, which may lead to anybody's file, or no regular file.

    Raises:
        MigrationError: as said.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # there is none yet, or whoever opens it says what is wrong
    if not stat.S_ISREG(mode):
        what = "is a symbolic link, which is not followed" if stat.S_ISLNK(mode) else "is no regular file"
        raise MigrationError(f"the journal {what}", address=quoted(path, 200), hint="Name another one: --journal FILE")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """An entry, if the line is one."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("source"), str) else None


def _is_done(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is of a file that need not be tried again, with values such as a run notes."""
    texts = [entry.get(name) for name in ("sha256", "mark", "container", "keras_version")]
    return (
        entry.get("exit_code") == 0
        and isinstance(entry.get("target"), str | None)
        and all(text is None or (isinstance(text, str) and text.isprintable() and len(text) < 1000) for text in texts)
    )


def done(path: Path, sources: frozenset[str]) -> dict[str, dict[str, Any]]:
    """The entries of sources that need not be tried again, by source; and drops the others' lines from the journal.

    A source of this run that failed will get a new line; so at the end there is one line for each file.

    Raises:
        MigrationError: as `lines`, or it cannot be written.
    """
    kept: dict[str, dict[str, Any]] = {}
    for entry in lines(path):
        kept[entry["source"]] = entry
    kept = {source: e for source, e in kept.items() if source not in sources or _is_done(e)}
    if path.exists():
        _replace(path, (f"{json.dumps(entry)}\n" for entry in kept.values()))
    return {source: entry for source, entry in kept.items() if source in sources}


def _replace(path: Path, content: Iterable[str]) -> None:
    """Writes a file anew, whole or not at all, by way of one of a name that nobody else has."""
    replacement = None
    try:
        handle, replacement = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with open(handle, "w", encoding="ascii") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, replacement)
        os.replace(replacement, path)
    except OSError as error:
        if replacement is not None:
            with contextlib.suppress(OSError):
                os.unlink(replacement)
        raise _unwritable(path, error) from None


def begin_anew(path: Path) -> None:
    """Removes the journal of an earlier run, and nothing else.

    Raises:
        MigrationError: as `lines`.
    """
    next(lines(path), None)
    path.unlink()


@contextlib.contextmanager
def appended(path: Path | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that adds an entry to the journal; one that does nothing if there is to be none.

    Raises:
        MigrationError: it cannot be written.
    """
    if path is None:
        yield lambda entry: None
        return
    _check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a", encoding="ascii", opener=_unlinked)  # noqa: SIM115  (closed below)
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


def _unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _unwritable(path: Path, error: OSError) -> MigrationError:
    return MigrationError(
        f"the journal cannot be written ({error.strerror})",
        address=quoted(path, 200),
        hint="What was migrated is there; --resume goes on from it, once there is room",
    )
