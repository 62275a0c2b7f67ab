"""A unified diff that `git apply` takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unified(changes: Iterable[tuple[str, str, str]]) -> str:
    """The patch.

    Args:
        changes: of each file its path in the project with "/" between its parts, its old and its new text.
    """
    pieces: list[str] = []
    for path, old, new in changes:
        if old == new:
            continue
        a, b = _name(f"a/{path}"), _name(f"b/{path}")
        lines = difflib.unified_diff(_lines(old), _lines(new), n=3)
        next(lines), next(lines)  # whose names are not quoted
        pieces += [f"diff --git {a.rstrip(chr(9))} {b.rstrip(chr(9))}\n", f"--- {a}\n", f"+++ {b}\n"]
        for line in lines:
            pieces.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(pieces)


def _lines(text: str) -> list[str]:
    """The lines of a text as git divides it: at line feeds alone."""
    lines = text.split("\n")
    return [*(f"{line}\n" for line in lines[:-1]), *([lines[-1]] if lines[-1] else [])]


def _name(path: str) -> str:
    """A path as git writes it: quoted as in C where characters need it, and ended by a tab if it has spaces."""
    raw = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte < 127 and byte not in b'"\\' for byte in raw):
        return f"{path}\t" if " " in path else path
    spelled = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in raw)
    return f'"{spelled}"'
