"""The files that a command reads, none of which anything that it writes may be.

A checkpoint is one file, the files of a folder, or all that begin with a prefix; and beside it are read a model's JSON,
recordings, and the modules of custom classes. Files are compared by device and inode, so that a hard link, a symbolic
link or another spelling of a path is the same file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tcn_migrate.errors import MigrationError, quoted

Mark = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True)
class Inputs:
    """What is read.

    Attributes:
        files: marks of all files.
        folders: marks of the folders that are sources as a whole.
    """

    files: frozenset[Mark]
    folders: frozenset[Mark]


def inputs(sources: Iterable[Path], others: Iterable[Path] = ()) -> Inputs:
    """All that a command reads, as far as it is there.

    Args:
        sources: checkpoints: files, folders, and prefixes of TensorFlow checkpoints.
        others: files that are read beside them.
    """
    files: set[Mark] = set()
    folders: set[Mark] = set()
    for source in sources:
        folder = saved_model_of(source)
        if folder is not None:
            folders |= _marks([folder])
            files |= _marks(_below(folder))
        files |= _marks(_parts(source))
    return Inputs(frozenset(files | _marks(others)), frozenset(folders))


def saved_model_of(source: Path) -> Path | None:
    """The folder that is the source as a whole, if it is one: `source`, or the SavedModel that it names a part of."""
    if source.is_dir():
        return source
    if source.suffix == ".pb" or source.parent.name == "variables":
        from tcn_migrate.containers.saved_model import GRAPH, METADATA

        folder = source.absolute().parent
        above = folder.parent
        if source.name in (GRAPH, METADATA) and source.is_file():
            return folder
        if folder.name == "variables" and any((above / name).is_file() for name in (GRAPH, METADATA)):
            return above
    return None


def modules_of(custom_objects: Mapping[str, Any] | None) -> Iterator[Path]:
    """The files of the modules that custom classes come from."""
    for thing in (custom_objects or {}).values():
        module = sys.modules.get(getattr(thing, "__module__", None) or "")
        file = getattr(module, "__file__", None)
        if file is not None:
            yield Path(file)


def check_output(place: Path, read: Inputs) -> None:
    """Refuses to write to a place.

    Raises:
        MigrationError: it is a file that is read, or lies inside a folder that is.
    """
    if _marks([place]) & read.files:
        raise MigrationError("is one of the files that are read, which are never changed", address=quoted(place))
    resolved = place.resolve()
    if _marks((resolved, *resolved.parents)) & read.folders:
        raise MigrationError("lies inside the source, which is never changed", address=quoted(place))
    if _is_architecture(place):
        raise MigrationError(
            "is a model's architecture, which is read where weights lie beside it, and never changed",
            address=quoted(place),
        )


def check_apart(places: Iterable[Path]) -> None:
    """Refuses to write two things to one place.

    Raises:
        MigrationError: two of the places are one.
    """
    seen: set[Path | Mark] = set()
    for place in places:
        marks: set[Path | Mark] = {place.resolve(), *_marks([place])}
        if marks & seen:
            raise MigrationError("would be written twice, by two different things", address=quoted(place))
        seen |= marks


def _parts(source: Path) -> Iterator[Path]:
    """The file itself, and the others of a TensorFlow checkpoint that it names a part of."""
    yield source
    prefix = source.name
    if ".data-" in prefix or prefix.endswith(".index") or not source.exists():
        from tcn_migrate.containers.tf_checkpoint import prefix_of

        prefix = prefix_of(prefix)
        yield source.with_name(f"{prefix}.index")
        yield from _named(source.parent, f"{prefix}.data-")


def _named(folder: Path, start: str) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from (Path(entry.path) for entry in entries if entry.name.startswith(start))
    except OSError:
        return


def _below(folder: Path) -> Iterator[Path]:
    for here, _, names in os.walk(folder):
        yield from (Path(here, name) for name in names)


def _marks(paths: Iterable[Path]) -> set[Mark]:
    found: set[Mark] = set()
    for path in paths:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def _is_architecture(place: Path) -> bool:
    if not place.is_file():
        return False
    from tcn_migrate.containers.architecture import read_architecture

    try:
        read_architecture(place)
    except MigrationError:
        return False
    return True
