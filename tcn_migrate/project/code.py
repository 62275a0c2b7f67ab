"""Which code loads which file, and what has to change in it. Code is parsed (`ast`), never run."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

LOADERS = frozenset(
    f"{root}.{place}.load_model"
    for root in ("keras", "tensorflow.keras", "tf_keras", "tensorflow.python.keras")
    for place in ("models", "saving")
)
"""Functions of Keras that load a whole model."""
_MOVED = {"tf_keras": "keras", "tensorflow.python.keras": "tensorflow.keras"}
"""Packages of Keras 2, and what stands for them in today's Keras."""
_NOT_IN_KERAS_3 = {
    "compile": {"experimental_run_tf_function", "sample_weight_mode", "target_tensors", "distribute", "cloning"},
    "fit": {"workers", "use_multiprocessing", "max_queue_size"},
    "predict": {"workers", "use_multiprocessing", "max_queue_size"},
    "evaluate": {"workers", "use_multiprocessing", "max_queue_size"},
}
"""Arguments of a model's methods that Keras 2 took and Keras 3 refuses."""
_LONGEST = 1_000_000
"""How many characters of code are parsed."""

Kind = Literal["load_model", "load_weights", "TFSMLayer"]


@dataclass(frozen=True)
class Edit:
    """Characters from `start` to `end` of a text that become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Constant:
    """A text in the code.

    Attributes:
        value: the text.
        start, end: where its literal stands in the code; None where it is put together from others.
    """

    value: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Load:
    """One place in the code that loads a file.

    Attributes:
        kind: what it calls.
        line: of the call, from 1.
        path: the file's name as the code has it, with "/" between its parts; None where the code computes it.
        literal: the literal that holds the end of the path.
        call: the call itself.
    """

    kind: Kind
    line: int
    path: str | None
    literal: Constant | None
    call: ast.Call = field(repr=False, compare=False)


@dataclass(frozen=True)
class Source:
    """A piece of code: a module, or the cells of a notebook in a row.

    Attributes:
        text: the code.
        tree: the code, parsed.
        names: what each imported name stands for, with dots.
        loads: the places that load a file.
    """

    text: str
    tree: ast.Module = field(repr=False)
    names: dict[str, str]
    loads: tuple[Load, ...]

    def span(self, node: ast.AST) -> tuple[int, int]:
        return _span(self.text, node)


def without_magics(text: str) -> str:
    """A notebook's cell whose lines for IPython (`%matplotlib`, `!pip`) are comments, each of its old length."""
    lines = text.splitlines(keepends=True)
    return "".join("#" + line[1:] if line.lstrip()[:1] in ("%", "!") and line[:1] in "%!" else line for line in lines)


def parse(text: str) -> Source | None:
    """The code in a text; None if it is no Python of this version, or too long."""
    if len(text) > _LONGEST:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    try:
        names = _imports(tree)
        constants = _constants(text, tree, names)
        loads = tuple(_loads(text, tree, names, constants))
    except RecursionError:
        return None
    return Source(text, tree, names, loads)


def _imports(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if alias.name != "*":
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif f"{node.module}.load_model" in LOADERS:
                    found["load_model"] = f"{node.module}.load_model"
    return found


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """What a name or attribute stands for, such as "tensorflow.keras.models.load_model"; "" for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""


def _constants(text: str, tree: ast.Module, names: dict[str, str]) -> dict[str, Constant]:
    """Names that the code gives one constant text, anywhere, and no other value."""
    given: dict[str, list[ast.expr | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        given.setdefault(part.id, []).append(node.value if target is part else None)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            given.setdefault(node.target.id, []).append(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.setdefault(node.id, [])
        elif isinstance(node, ast.arg):
            given.setdefault(node.arg, []).append(None)
        elif isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            given.setdefault(node.target.id, []).append(None)
    found: dict[str, Constant] = {}
    for _ in range(4):  # names of names
        for name, values in given.items():
            if len(values) == 1 and values[0] is not None and name not in found:
                value = _text_of(text, values[0], names, found)
                if value is not None:
                    found[name] = value
    return found


def _text_of(text: str, node: ast.expr, names: dict[str, str], constants: dict[str, Constant]) -> Constant | None:
    """The constant text of an expression: literals, names of them, `os.path.join`, `Path`, `/`, `__file__`'s folder."""

    def of(inner: ast.expr) -> Constant | None:
        return _text_of(text, inner, names, constants)

    def joined(parts: list[ast.expr]) -> Constant | None:
        values = [of(part) for part in parts]
        if not values or any(value is None for value in values):
            return None
        known = [value for value in values if value is not None]
        return Constant(posixpath.join(*(value.value for value in known)), known[-1].start, known[-1].end)

    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return Constant(node.value.replace("\\", "/"), *_span(text, node))
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return joined([node.left, node.right])
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        return _here(node, names)
    if isinstance(node, ast.Call) and not node.keywords:
        name = dotted(node.func, names)
        if name in ("os.path.join", "posixpath.join", "pathlib.Path", "pathlib.PurePath", "Path", "os.path.abspath"):
            return joined(node.args) or _here(node, names)
        if name in ("str", "os.fspath") and len(node.args) == 1:
            return of(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("resolve", "as_posix", "absolute"):
            return of(node.func.value)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "joinpath":
            return joined([node.func.value, *node.args])
        return _here(node, names)
    return None


def _here(node: ast.expr, names: dict[str, str]) -> Constant | None:
    """The folder of the module, as `os.path.dirname(__file__)` or `Path(__file__).parent`, is the empty path."""
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        inner = node.value
        while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and not inner.args:
            inner = inner.func.value
        if isinstance(inner, ast.Call) and dotted(inner.func, names) in ("pathlib.Path", "Path") and _is_file(inner):
            return Constant("")
    if isinstance(node, ast.Call):
        name = dotted(node.func, names)
        if name == "os.path.dirname" and len(node.args) == 1:
            inner = node.args[0]
            if isinstance(inner, ast.Name) and inner.id == "__file__":
                return Constant("")
            if isinstance(inner, ast.Call) and dotted(inner.func, names) in ("os.path.abspath", "os.path.realpath"):
                return Constant("") if _is_file(inner) else None
        if name in ("os.path.abspath", "os.path.realpath") and len(node.args) == 1:
            return _here(node.args[0], names)
    return None


def _is_file(call: ast.Call) -> bool:
    return len(call.args) == 1 and isinstance(call.args[0], ast.Name) and call.args[0].id == "__file__"


def _loads(text: str, tree: ast.Module, names: dict[str, str], constants: dict[str, Constant]) -> Iterator[Load]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        kind: Kind
        if name in LOADERS:
            kind = "load_model"
        elif name.rpartition(".")[2] == "TFSMLayer" and "keras" in name:
            kind = "TFSMLayer"
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "load_weights":
            kind = "load_weights"
        else:
            continue
        given = {word.arg: word.value for word in node.keywords if word.arg}
        first = node.args[0] if node.args else given.get("filepath")
        value = None if first is None else _text_of(text, first, names, constants)
        yield Load(kind, node.lineno, value.value if value else None, value, node)


def _span(text: str, node: ast.AST) -> tuple[int, int]:
    """Where a node stands in the text, in characters; `ast` counts bytes of UTF-8 within a line."""
    lines = _line_starts(text)

    def place(line: int, column: int) -> int:
        start, end = lines[line - 1], lines[line] if line < len(lines) else len(text)
        return start + len(text[start:end].encode()[:column].decode("utf-8", "ignore"))

    assert isinstance(node, ast.expr | ast.stmt | ast.keyword)  # these have places
    return place(node.lineno, node.col_offset), place(node.end_lineno or node.lineno, node.end_col_offset or 0)


def _line_starts(text: str) -> list[int]:
    """Where each line begins, for the line ends that Python knows."""
    starts, place = [0], 0
    while place < len(text):
        if text[place] == "\r" and text[place + 1 : place + 2] == "\n":
            place += 1
        if text[place] in "\r\n":
            starts.append(place + 1)
        place += 1
    return starts


@dataclass(frozen=True)
class Change:
    """What becomes of a file that code loads.

    Attributes:
        new: the new file's own name; None where the code opens the old one in place.
        needs_tcn: the new file has a TCN of `tcn_migrate`.
    """

    new: str | None
    needs_tcn: bool


def imports_keras_tcn(source: Source) -> bool:
    """Whether the code imports keras-tcn."""
    return any(name.split(".")[0] == "tcn" for name in source.names.values())


def edits(source: Source, change_of: Callable[[Load], Change | None]) -> list[Edit]:
    """What has to change in a piece of code of a project whose models are migrated.

    Args:
        source: the code.
        change_of: what becomes of the file that a place loads; None where it stays as it is.
    """
    found: list[Edit] = []
    tcn = in_place = False
    first: int | None = None
    for load in source.loads:
        change = change_of(load)
        if change is None or load.kind == "TFSMLayer" or load.literal is None or load.literal.start is None:
            continue
        start = source.span(load.call)[0]
        first = start if first is None else min(first, start)
        if change.new is None:
            in_place = True
            found += _opened_in_place(source, load)
        else:
            tcn = tcn or change.needs_tcn
            assert load.literal.end is not None
            old = source.text[load.literal.start : load.literal.end]
            found.append(Edit(load.literal.start, load.literal.end, _renamed(old, load.literal.value, change.new)))
        if load.kind == "load_model":
            found += _without_tcn(source, load.call)
    found += _arguments(source)
    found += _moved_imports(source)
    tcn = tcn or source.names.get("TCN") == "tcn.TCN"
    found += _tcn_imports(source, first or 0, tcn=tcn, in_place=in_place)
    return sorted(set(found), key=lambda edit: (edit.start, edit.end))


def _renamed(literal: str, value: str, new: str) -> str:
    """The literal of a path with another last part."""
    last = value.rstrip("/").rpartition("/")[2]
    place = literal.rfind(last)
    trailing = literal[place + len(last) :].lstrip("/\\")
    spelled = new.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
    return literal[:place] + spelled + trailing if last and place >= 0 else literal


def _opened_in_place(source: Source, load: Load) -> Iterator[Edit]:
    start, end = source.span(load.call.func)
    if load.kind == "load_model":
        yield Edit(start, end, "tcn_migrate.load_model")
        return
    assert isinstance(load.call.func, ast.Attribute)
    first, last = source.span(load.call.func.value)
    model = source.text[first:last]
    bracket = source.text.index("(", end)
    yield Edit(start, bracket + 1, f"tcn_migrate.load_weights({model}, ")


def _without_tcn(source: Source, call: ast.Call) -> Iterator[Edit]:
    """`custom_objects` without TCN, which registers itself; the whole argument where nothing else is in it."""
    for word in call.keywords:
        if word.arg != "custom_objects" or not isinstance(word.value, ast.Dict):
            continue
        kept = [
            (key, value)
            for key, value in zip(word.value.keys, word.value.values, strict=True)
            if not (isinstance(key, ast.Constant) and key.value == "TCN")
        ]
        if len(kept) == len(word.value.keys):
            continue
        if kept and all(key is not None for key, _ in kept):
            spelled = ", ".join(
                f"{_code(source, key)}: {_code(source, value)}" for key, value in kept if key is not None
            )
            yield Edit(*source.span(word.value), f"{{{spelled}}}")
        elif not kept:
            yield _argument(source, call, word)


def _code(source: Source, node: ast.AST) -> str:
    start, end = source.span(node)
    return source.text[start:end]


def _argument(source: Source, call: ast.Call, word: ast.keyword) -> Edit:
    """Takes a keyword argument out of a call, with the comma that divides it from the argument before."""
    start, end = source.span(word)
    before = [source.span(other)[1] for other in (*call.args, *call.keywords) if source.span(other)[1] <= start]
    if before:
        return Edit(max(before), end, "")
    after = [source.span(other)[0] for other in (*call.args, *call.keywords) if source.span(other)[0] >= end]
    return Edit(start, min(after, default=end), "")


def _arguments(source: Source) -> Iterator[Edit]:
    """Arguments that Keras 3 does not take: of a model's methods, and `lr` of optimizers."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, source.names)
        if ".optimizers." in name and name.split(".")[0] in ("keras", "tensorflow", "tf_keras"):
            for word in node.keywords:
                if word.arg == "lr":
                    start, _ = source.span(word)
                    yield Edit(start, start + 2, "learning_rate")
        if isinstance(node.func, ast.Attribute):
            for word in node.keywords:
                if word.arg in _NOT_IN_KERAS_3.get(node.func.attr, ()):
                    yield _argument(source, node, word)


def _moved_imports(source: Source) -> Iterator[Edit]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for old, new in _MOVED.items():
                if node.module == old or node.module.startswith(f"{old}."):
                    start, end = source.span(node)
                    place = source.text.index(node.module, start, end)
                    yield Edit(place, place + len(old), new)
        elif isinstance(node, ast.Import):
            start, end = source.span(node)
            if len(node.names) == 1 and node.names[0].name == "tf_keras":
                alias = node.names[0].asname or "tf_keras"
                yield Edit(start, end, "import keras" if alias == "keras" else f"import keras as {alias}")


def _tcn_imports(source: Source, first: int, *, tcn: bool, in_place: bool) -> Iterator[Edit]:
    """The import of `tcn_migrate.TCN`, which registers the class, in the place of keras-tcn's; and of the loader.

    Args:
        first: where the first call stands that needs them.
    """
    wanted = (["import tcn_migrate"] if in_place else []) + (
        ["from tcn_migrate import TCN"] if tcn and source.names.get("TCN") != "tcn_migrate.TCN" else []
    )
    imports = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        old = isinstance(node, ast.ImportFrom) and node.module == "tcn" and not node.level
        if old and [alias.name for alias in node.names] == ["TCN"]:
            asname = node.names[0].asname
            yield Edit(*source.span(node), f"from tcn_migrate import TCN{f' as {asname}' if asname else ''}")
            wanted = [line for line in wanted if "TCN" not in line]
            break
    if not wanted:
        return
    ending = "\r\n" if "\r\n" in source.text else "\n"
    plain = [node for node in imports if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    anchor = ([node for node in plain if source.span(node)[0] < first] or imports)[-1:]
    if anchor:
        place = source.span(anchor[0])[1]
        yield Edit(place, place, "".join(f"{ending}{line}" for line in wanted))
    else:
        place = 0
        body = source.tree.body
        if body and isinstance(body[0], ast.Expr) and ast.get_docstring(source.tree) is not None:
            place = source.span(body[0])[1]
            yield Edit(place, place, "".join(f"{ending}{line}" for line in wanted))
            return
        lines = _line_starts(source.text)
        if body:
            place = lines[body[0].lineno - 1]
        yield Edit(place, place, "".join(f"{line}{ending}" for line in wanted))


def applied(text: str, changes: list[Edit]) -> str:
    """The text with the edits. Of two that overlap, the first one counts."""
    pieces, place = [], 0
    for edit in changes:
        if edit.start < place:
            continue
        pieces += [text[place : edit.start], edit.text]
        place = edit.end
    return "".join((*pieces, text[place:]))
