"""Which checkpoints are there? In files, folders and patterns, here and at URLs; content decides.

A folder's walk takes what is a checkpoint by content, and what is called like one, so that a broken file is reported
and not passed over. A SavedModel is one source, and so is a TensorFlow checkpoint's prefix; their parts are none.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tcn_migrate.batch import storage
from tcn_migrate.containers import h5, keras_zip, tensor_bundle
from tcn_migrate.errors import MigrationError, quoted

_LOG = logging.getLogger(__name__)

Kind = Literal["file", "savedmodel", "prefix"]

SUFFIXES = (".h5", ".hdf5", ".keras")
"""Names of checkpoints, whatever is inside."""
_GRAPHS = {"saved_model.pb", "keras_metadata.pb"}
_PARTS_OF_SAVED_MODEL = {*_GRAPHS, "fingerprint.pb", "saved_model.pbtxt", "variables", "assets", "assets.extra"}
_UNFINISHED = re.compile(r"\..*\.part")
"""The folder into which a migration writes until it is done; a killed one leaves it."""
_DATA_FILE = re.compile(r"\.data-[0-9]{5}-of-[0-9]{5}$")


@dataclass(frozen=True, slots=True)
class Source:
    """One checkpoint.

    Attributes:
        path: a path or URL: of a file, of a SavedModel's folder, or of a TensorFlow checkpoint's prefix.
        kind: which of these.
        root: the folder that was asked for and holds it; the file's own folder if the file itself was asked for.
    """

    path: str
    kind: Kind
    root: str


class Tree(Protocol):
    """Folders that can be walked: on this machine or at a URL."""

    unreadable: list[str]
    """Folders that the walk could not list."""

    def walk(self, root: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Each folder with the names of its folders, which may be removed to leave them out, and of its files."""

    def is_folder(self, path: str) -> bool: ...

    def is_file(self, path: str) -> bool: ...

    def are_checkpoints(self, folder: str, names: list[str]) -> list[bool]:
        """Which of these files are HDF5 or a `.keras` archive by content."""

    def is_index(self, folder: str, name: str) -> bool:
        """Whether this file is the index of a TensorFlow checkpoint by content."""


class LocalTree:
    """Folders on this machine. Links to files are followed, links to folders are not: they may lead round."""

    def __init__(self, leave_out: str | None = None) -> None:
        self.unreadable: list[str] = []
        self._leave_out = leave_out

    def walk(self, root: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in os.walk(root, onerror=self._note):
            if self._leave_out is not None:
                folders[:] = [f for f in folders if not _same(os.path.join(folder, f), self._leave_out)]
            for name in folders:
                link = os.path.join(folder, name)
                if os.path.islink(link):
                    _LOG.warning(
                        "%s is a link to a folder and was not searched; name it to have it searched", quoted(link, 200)
                    )
            yield folder, folders, files

    def _note(self, error: OSError) -> None:
        self.unreadable.append(str(error.filename))

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def is_file(self, path: str) -> bool:
        return os.path.lexists(path)

    def are_checkpoints(self, folder: str, names: list[str]) -> list[bool]:
        return [_is_checkpoint(Path(folder, name)) for name in names]

    def is_index(self, folder: str, name: str) -> bool:
        return tensor_bundle.is_bundle_index(Path(folder), name)


def _same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _is_checkpoint(path: Path) -> bool:
    try:
        if h5.matches(path):
            return True
        if not keras_zip.matches(path):
            return False
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - storage.DIRECTORY))
            return storage.WEIGHTS_MEMBER in file.read(storage.DIRECTORY)
    except (OSError, ValueError):
        return False


def find(asked: Iterable[str], *, leave_out: str | None = None) -> list[Source]:
    """The checkpoints in everything that was asked for, each once, in the order of their names.

    Args:
        asked: paths and URLs of files, folders and checkpoint prefixes, and patterns of them ("models/**/*.h5"). What
            is named itself is a source whatever it holds; folders are searched.
        leave_out: a folder of this machine that is not searched: where the new files go.

    Raises:
        MigrationError: a pattern fits nothing, a name is empty, or a URL cannot be listed.
    """
    found: dict[str, Source] = {}
    for text in asked:
        for source in _asked(text, leave_out):
            found.setdefault(source.path, source)
    return sorted(found.values(), key=lambda source: source.path)


def _asked(text: str, leave_out: str | None) -> Iterator[Source]:
    if not text:
        raise MigrationError("an empty name is no source")
    remote = storage.is_remote(text)
    path = text if remote else os.path.abspath(storage.local_path(text))
    tree: Tree = storage.RemoteTree(text) if remote else LocalTree(leave_out)
    if glob.has_magic(path) and not tree.is_file(path) and not tree.is_folder(path):
        fitting = storage.fitting(path) if remote else sorted(glob.glob(path, recursive=True))
        if not fitting:
            raise MigrationError("nothing fits this pattern", address=quoted(text))
        files = []
        for found in fitting:
            if tree.is_folder(found):
                yield from below(tree, found)
            else:
                files.append(found)
        for folder in sorted({_parted(file)[0] for file in files}):
            names = [name for file in files for parent, name in [_parted(file)] if parent == folder]
            yield from _in_folder(tree, folder, folder, [], names)
    elif tree.is_folder(path):
        yield from below(tree, path)
    else:
        yield _named(tree, path)


def below(tree: Tree, root: str) -> Iterator[Source]:
    for folder, folders, files in tree.walk(root):
        yield from _in_folder(tree, root, folder, folders, files)
    for folder in tree.unreadable:
        yield Source(folder, "file", root)
    tree.unreadable.clear()


def _named(tree: Tree, path: str) -> Source:
    """The source that a file's own name stands for."""
    folder, name = _parted(path)
    if name in _GRAPHS:
        return Source(folder, "savedmodel", _parted(folder)[0])
    prefix = _DATA_FILE.sub("", name.removesuffix(".index"))
    if (prefix != name or not tree.is_file(path)) and tree.is_index(folder, f"{prefix}.index"):
        return Source(_joined(folder, prefix), "prefix", folder)
    return Source(path, "file", folder)


def _in_folder(tree: Tree, root: str, folder: str, folders: list[str], files: list[str]) -> Iterator[Source]:
    """The sources among a folder's files, and the folder itself; removes from `folders` what is a part of one."""
    files = sorted(files)
    if _GRAPHS.intersection(files) or (
        "variables" in folders and tree.is_index(_joined(folder, "variables"), "variables.index")
    ):
        yield Source(folder, "savedmodel", root if folder != root else _parted(root)[0])
        folders[:] = [name for name in folders if name not in _PARTS_OF_SAVED_MODEL]
        files = [name for name in files if name not in _PARTS_OF_SAVED_MODEL]
    folders[:] = sorted(name for name in folders if not _UNFINISHED.fullmatch(name))
    prefixes = {
        name.removesuffix(".index") for name in files if name.endswith(".index") and tree.is_index(folder, name)
    }
    for prefix in sorted(prefixes):
        yield Source(_joined(folder, prefix), "prefix", root)
    parts = {name for name in files if _DATA_FILE.sub("", name.removesuffix(".index")) in prefixes}
    called = {name for name in files if name.endswith(SUFFIXES)}
    others = [name for name in files if name not in parts | called]
    held = {name for name, is_one in zip(others, tree.are_checkpoints(folder, others), strict=True) if is_one}
    for name in sorted(called | held):
        yield Source(_joined(folder, name), "file", root)


def _parted(path: str) -> tuple[str, str]:
    """Folder and name."""
    if storage.is_remote(path):
        folder, _, name = path.rpartition("/")
        return folder, name
    return os.path.split(path)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if storage.is_remote(folder) else os.path.join(folder, name)
