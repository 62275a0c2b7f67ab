"""A checkout, looked through: its models, the code that loads them, the files beside them."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tcn_migrate.batch.find import LocalTree, below
from tcn_migrate.containers import strangers, tensorflowjs
from tcn_migrate.errors import MigrationError, UnsafeError, quoted
from tcn_migrate.project import requirements
from tcn_migrate.project.code import Change, Edit, Load, Source, applied, edits, parse, without_magics

MOST_FILES = 200_000
"""Files of one project."""
LARGEST_CODE = 8 << 20
"""The size of the largest module or notebook that is read, in bytes."""
_LEFT_OUT = frozenset((".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", "site-packages"))
_PICKLES = (".pkl", ".pickle", ".joblib", ".sav")
_OTHERS = (".pt", ".pth", ".onnx", ".tflite", ".mlmodel", ".pb", ".h5", ".hdf5", ".keras")


@dataclass(frozen=True)
class Project:
    """What is in a checkout. All paths have "/" between their parts and begin at its folder.

    Attributes:
        root: the folder, resolved.
        models: files and folders of Keras, and files that are called so.
        code: modules and notebooks.
        requirements: files that say which libraries are needed.
        pickles: pickles and files of joblib by their names, which are never opened.
        others: what is no checkpoint, by path: what it is and the next step.
    """

    root: Path
    models: tuple[str, ...]
    code: tuple[str, ...]
    requirements: tuple[str, ...]
    pickles: tuple[str, ...]
    others: dict[str, tuple[str, str]]


class _Tree(LocalTree):
    """A checkout's folders, without links, version control and installed libraries; remembers every file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []

    def walk(self, root: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, files in os.walk(root, onerror=self._note):
            folders[:] = sorted(
                name for name in folders if name not in _LEFT_OUT and not os.path.islink(os.path.join(folder, name))
            )
            kept = sorted(name for name in files if _is_regular(os.path.join(folder, name)))
            self.files += [os.path.join(folder, name) for name in kept]
            if len(self.files) > MOST_FILES:
                raise UnsafeError(
                    "the project holds too many files",
                    address=quoted(root),
                    expected=f"at most {MOST_FILES}",
                    hint="Give the folder below it in which the models are",
                )
            yield folder, folders, kept


def _is_regular(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def survey(folder: Path) -> Project:
    """Looks through a checkout; nothing of it is run, and no pickle is opened.

    Raises:
        MigrationError: no folder, or too many files.
    """
    if not folder.is_dir():
        raise MigrationError("there is no such folder", address=quoted(folder))
    root = folder.resolve()
    tree = _Tree()
    found = [source.path for source in below(tree, str(root))]

    def inside(path: str) -> str:
        return PurePosixPath(Path(path).relative_to(root)).as_posix()

    files = [inside(path) for path in tree.files]
    for path in files:
        if posixpath.basename(path) == tensorflowjs.MODEL and tensorflowjs.matches((root / path).parent):
            found.append(str((root / path).parent))
    models, others = [], {}
    for path in dict.fromkeys(map(inside, found)):
        known = None
        if (root / path).is_file():
            with contextlib.suppress(OSError):
                known = strangers.recognize(root / path)
        if known is None:
            models.append(path)
        else:
            others[path] = known
    parts = tuple(f"{path}/" for path in models)
    for path in files:
        if path.lower().endswith(_OTHERS) and path not in models and not path.startswith(parts):
            with contextlib.suppress(OSError):
                known = strangers.recognize(root / path)
                if known is not None:
                    others[path] = known
    return Project(
        root=root,
        models=tuple(models),
        code=tuple(path for path in files if path.endswith((".py", ".ipynb"))),
        requirements=tuple(path for path in files if requirements.NAMES.fullmatch(posixpath.basename(path))),
        pickles=tuple(path for path in files if path.lower().endswith(_PICKLES)),
        others=others,
    )


@dataclass(frozen=True)
class Place:
    """A place in the code that loads a file.

    Attributes:
        code: the module or notebook.
        cell: the notebook's cell, from 1; None in a module.
        load: the call.
        model: the file in the project that it loads; None if it is none of them, or the code computes its name.
    """

    code: str
    cell: int | None
    load: Load
    model: str | None


@dataclass(frozen=True)
class Module:
    """A module or a notebook.

    Attributes:
        path: in the project.
        text: all of it.
        notebook: the notebook's JSON, or None.
        source: the code.
        cells: of a notebook: where each cell's code stands in the source, by the cell's number from 0.
    """

    path: str
    text: str
    notebook: Any
    source: Source
    cells: dict[int, tuple[int, int]]


def read_code(project: Project) -> Iterator[Module]:
    """The modules and notebooks that can be read and parsed."""
    for path in project.code:
        text = read_text(project.root / path)
        if text is None:
            continue
        if path.endswith(".py"):
            source = parse(text)
            if source is not None:
                yield Module(path, text, None, source, {})
            continue
        try:
            notebook = json.loads(text)
        except (ValueError, RecursionError):
            continue
        code, cells = "", {}
        for number, cell in enumerate(_cells(notebook)):
            lines = without_magics(_cell_text(cell))
            if cell.get("cell_type") == "code" and parse(lines) is not None:
                cells[number] = (len(code), len(code) + len(lines))
                code += lines + "\n"
        source = parse(code)
        if source is not None:
            yield Module(path, text, notebook, source, cells)


def read_text(path: Path) -> str | None:
    """A file's text with its own line ends; None if it is too long or no UTF-8."""
    try:
        if path.stat().st_size > LARGEST_CODE:
            return None
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _cells(notebook: Any) -> list[Any]:
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    return [cell if isinstance(cell, dict) else {} for cell in cells] if isinstance(cells, list) else []


def _cell_text(cell: Any) -> str:
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return source if isinstance(source, str) else ""


def places(project: Project, module: Module) -> list[Place]:
    """What each place of a module loads: a file beside the module, or from the project's folder."""
    found = []
    for load in module.source.loads:
        start = module.source.span(load.call)[0]
        numbers = [number + 1 for number, (first, last) in module.cells.items() if first <= start < last]
        found.append(Place(module.path, numbers[0] if numbers else None, load, _loaded(project, module.path, load)))
    return found


def _loaded(project: Project, code: str, load: Load) -> str | None:
    if load.path is None or posixpath.isabs(load.path):
        return None
    named = {model: model for model in project.models}
    named |= {f"{model}.index": model for model in project.models if not (project.root / model).exists()}
    for folder in (posixpath.dirname(code), ""):
        path = posixpath.normpath(posixpath.join(folder, load.path))
        if path in named:
            return named[path]
    return None


def applied_code(module: Module, found: list[Place], changes: dict[str, Change]) -> str:
    """The module's code, of a notebook that of its cells, with what has to change."""
    return applied(module.source.text, _edits(module, found, changes))


def _edits(module: Module, found: list[Place], changes: dict[str, Change]) -> list[Edit]:
    model_of = {id(place.load.call): place.model for place in found}

    def change_of(load: Load) -> Change | None:
        model = model_of.get(id(load.call))
        return None if model is None else changes.get(model)

    return edits(module.source, change_of)


def patched(module: Module, found: list[Place], changes: dict[str, Change]) -> str:
    """The module's text with what has to change.

    Args:
        found: the places of this module.
        changes: what becomes of the models, by path.
    """
    made = _edits(module, found, changes)
    if module.notebook is None:
        return applied(module.text, made)
    new: dict[int, str] = {}
    for number, (first, last) in module.cells.items():
        here = [Edit(edit.start - first, edit.end - first, edit.text) for edit in made if first <= edit.start <= last]
        if here:
            new[number] = applied(_cell_text(_cells(module.notebook)[number]), here)
    return _notebook(module, new)


def _notebook(module: Module, new: dict[int, str]) -> str:
    """The notebook with new code in some cells, written as the old one was."""
    if not new:
        return module.text
    cells = [
        {**cell, "source": new[number].splitlines(keepends=True) if isinstance(cell["source"], list) else new[number]}
        if number in new
        else cell
        for number, cell in enumerate(module.notebook["cells"])
    ]
    return _dumped({**module.notebook, "cells": cells}, *_style(module))


def _style(module: Module) -> tuple[int | None, bool, str]:
    """Indentation, whether other letters than ASCII are escaped, and what stands at the end."""
    end = "\n" if module.text.endswith("\n") else ""
    for indent in (1, 2, 4, None):
        for escaped in (False, True):
            if _dumped(module.notebook, indent, escaped, end) == module.text:
                return indent, escaped, end
    return 1, False, end


def _dumped(notebook: Any, indent: int | None, escaped: bool, end: str) -> str:
    return json.dumps(notebook, indent=indent, ensure_ascii=escaped) + end
