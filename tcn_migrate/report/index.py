"""The page of many files: what came of each, and what to do next.

It is made from the lines of a batch's journal and is printed while they are read, so that the number of files costs the
memory of their names alone.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.errors import as_file
from tcn_migrate.report.document import command, safe, streamed, ways

MOST_ROWS = 20_000
"""Beyond it a browser takes seconds to show the page."""

Entry = Mapping[str, Any]

_COLOURS = {0: "copied", 3: "measured"}
"""The colour of an exit code, as that of a grade; every other is that of what is lost."""

_NOT_TO_BE_SEEN = ("container", "unsafe", "architecture", "class", "setting", "array")
"""Kinds of failure that an inspection would end in, too."""


MOST_CAUSES = 100
"""Kinds of failure that are told apart; the rest is one group."""

_CAUSES = {
    "decision": "variables of norms are missing or suspect",
    "architecture": "the file holds weights alone, and no JSON of the model lies beside it",
    "class": "a class is neither built into Keras nor supplied",
    "container": "the file is damaged, or no checkpoint",
    "setting": "a setting that no release could have written",
    "array": "the arrays do not fit the config",
    "verification": "the new file did not compute the same, and was removed",
    "unexpected": "a form that tcn-migrate does not foresee",
    "disk": "there was no room for the new file",
    "environment": "Keras or its backend is not installed",
}
"""What the kinds of failure are in words. Every other kind is told apart by its message."""

_HELP: Mapping[str, tuple[str, ...]] = {
    "timed out": ("--time-limit", "0"),
    "crashed": ("--workers", "1"),
    "out of memory": ("--workers", "1"),
    "disk": (),
    "environment": (),
}
"""What the same batch is begun again with, where the message names no option."""

_OF_BATCH = ("--reinitialize", "--keep-suspect", "--architecture", "--custom-objects", "--last-step", "--target")
"""Options that a message may name and the command batch has."""


@dataclass(frozen=True)
class Group:
    """Files that failed in the same way."""

    verdict: str
    colour: str
    cause: str
    count: int
    example: str
    said: str
    next: str


@dataclass(frozen=True)
class Row:
    """One file in the table."""

    source: str
    target: str
    verdict: str
    colour: str
    origin: str
    releases: str
    said: tuple[str, ...]
    next: str


@dataclass
class Index:
    """Everything on the page.

    Attributes:
        title: of the page.
        verdict: what came of all, in one sentence.
        state: "good", "doubtful" or "bad".
        counts: how many files ended how, with the colour of it.
        origins: how many files are of which container and release of Keras.
        groups: the failures by their cause, the most frequent first.
        unverified: how many new files were not loaded to verify them.
        rows: a file each, those first that need something; read when they are printed.
        folder: that the files have in common.
        left_out: how many there was no room for.
    """

    title: str
    verdict: str
    state: str
    folder: str = ""
    counts: list[tuple[str, int, str]] = field(default_factory=list)
    origins: list[tuple[str, int]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    unverified: int = 0
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    left_out: int = 0


def indexed(entries: Callable[[], Iterator[Entry]], again: Sequence[str] = ()) -> Iterator[str]:
    """The page of a batch, in pieces.

    Args:
        entries: opens the journal anew each time it is called, and yields its lines. Of several lines for one source
            the last one counts.
        again: the words of the command that goes on with the batch; none where there is no going on.
    """
    last: dict[str, int] = {}
    for number, entry in enumerate(entries()):
        last[entry["source"]] = number
    kept, count, folder = frozenset(last.values()), len(last), _folder(last)
    last = {}
    verdicts: Counter[tuple[str, str]] = Counter()
    origins: Counter[str] = Counter()
    causes: Counter[tuple[str, str, str, str]] = Counter()
    examples: dict[tuple[str, str, str, str], tuple[str, str]] = {}
    unverified = 0
    for entry in _of(entries, kept):
        unverified += entry.get("verified") is False
        if _colour(entry) != "copied":
            cause = _cause(entry)
            if cause not in causes and len(causes) >= MOST_CAUSES:
                cause = ("", _colour(entry), "", "other causes")
            causes[cause] += 1
            examples.setdefault(cause, (str(entry["source"]), str(entry.get("message") or "")))
        verdicts[str(entry.get("verdict")), _colour(entry)] += 1
        if entry.get("container"):
            origins[_origin(entry)] += 1
    done = sum(number for (_, colour), number in verdicts.items() if colour == "copied")
    files = "1 file" if count == 1 else f"{count} files"
    state = "good" if done == count else "bad" if any(c == "initialized" for _, c in verdicts) else "doubtful"
    page = Index(
        title=f"{files}: {', '.join(f'{n} {safe(verdict, 40)}' for (verdict, _), n in verdicts.most_common())}",
        verdict="Nothing is left to do" if done == count else f"Left to do: {count - done} of {files}",
        state=state,
        counts=[(safe(verdict, 40), number, colour) for (verdict, colour), number in verdicts.most_common()],
        origins=[(safe(origin), number) for origin, number in origins.most_common(100)],
        groups=[_group(cause, number, *examples[cause], folder, again) for cause, number in causes.most_common()],
        unverified=unverified,
        rows=_rows(entries, kept, folder),
        folder=safe(folder),
        left_out=max(0, count - MOST_ROWS),
    )
    return streamed("index.html", page)


def _cause(entry: Entry) -> tuple[str, str, str, str]:
    """Verdict, colour, kind, and the kind in words."""
    kind, message = str(entry.get("error"))[:40], str(entry.get("message") or "")
    words = _CAUSES.get(kind)
    if words is None:
        # Names and numbers are of the file; what is left is the sentence.
        words = re.sub(r"\d+", "…", re.sub(r"'[^']*'", "…", message[:400])).partition(". ")[0][:200]
    return str(entry.get("verdict")), _colour(entry), kind, words


def _group(
    cause: tuple[str, str, str, str], count: int, source: str, message: str, folder: str, again: Sequence[str]
) -> Group:
    verdict, colour, kind, words = cause
    named = [way for _, way in ways(message) if way[0] in _OF_BATCH and "--remeasure" not in way]
    more = named[0] if named else _HELP.get(kind)
    typed = "" if more is None or not again else command(*again, *(() if more and more[0] in again else more))
    return Group(
        verdict=safe(verdict, 40),
        colour=colour,
        cause=safe(words),
        count=count,
        example=safe(source.removeprefix(folder)),
        said=safe(message, 600),
        next=typed,
    )


def _folder(sources: Collection[str]) -> str:
    """What the paths have in common, up to the last slash."""
    first, last = min(sources, default=""), max(sources, default="")
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return first[: first.rfind("/", 0, same) + 1]


def _of(entries: Callable[[], Iterator[Entry]], kept: frozenset[int]) -> Iterator[Entry]:
    return (entry for number, entry in enumerate(entries()) if number in kept)


def _rows(entries: Callable[[], Iterator[Entry]], kept: frozenset[int], folder: str) -> Iterator[Row]:
    left = MOST_ROWS
    for colour in ("initialized", "measured", "copied"):
        for entry in _of(entries, kept):
            if _colour(entry) != colour:
                continue
            if not left:
                return
            left -= 1
            yield _row(entry, folder)


def _row(entry: Entry, folder: str) -> Row:
    source, target, message = str(entry["source"]), entry.get("target"), entry.get("message")
    done = _colour(entry) == "copied"
    said = _listed(entry.get("warnings")) if done else [str(message)] if message else []
    return Row(
        source=safe(source.removeprefix(folder)),
        target=safe(target) if target and done else "",
        verdict=safe(entry.get("verdict"), 40),
        colour=_colour(entry),
        origin=safe(_origin(entry)),
        releases=safe(", ".join(dict.fromkeys(_listed(entry.get("releases"))))),
        said=tuple(safe(sentence, 1000) for sentence in said[:20]),
        next=_next(entry, source, target),
    )


def _next(entry: Entry, source: str, target: Any) -> str:
    """The command that goes on with a file; none where there is nothing to do."""
    old = as_file(source)
    if _colour(entry) == "copied":
        return command("migrate", old) if target is None else ""
    named = ways(str(entry.get("message")))
    new = (as_file(target),) if target else ()
    if named:
        return command("migrate", old, *new, *named[0][1])
    return "" if entry.get("error") in _NOT_TO_BE_SEEN else command("inspect", old)


def _origin(entry: Entry) -> str:
    if not entry.get("container"):
        return ""
    return f"{entry['container']}{', Keras ' + str(entry['keras_version']) if entry.get('keras_version') else ''}"


def _colour(entry: Entry) -> str:
    code = entry.get("exit_code")
    return _COLOURS.get(code, "initialized") if isinstance(code, int) else "initialized"


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
