"""The page of two files that were compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tcn_migrate.config.changes import Change
from tcn_migrate.recovery.agreement import Difference
from tcn_migrate.report.document import Document, rendered, safe

MOST_ROWS = 20_000


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings."""

    layer: str
    setting: str
    was: str
    now: str


@dataclass(frozen=True)
class Variable:
    """One row of the table of variables. `share` is the length of its bar, in hundredths."""

    name: str
    said: str
    share: int


@dataclass(frozen=True)
class Page:
    """Everything on the page, ready to print."""

    title: str
    verdict: str
    state: str
    settings: Sequence[Setting]
    variables: Sequence[Variable]
    equal: int
    left_out: int


def setting(change: Change) -> Setting:
    """A change, ready to print."""
    was, now = ("not set" if value is None else safe(value) for value in (change.was, change.now))
    return Setting(safe("/".join(change.layer)) or "the model", safe(change.setting), was, now)


def compared(old: Path, new: Path, changed: Sequence[Change], variables: Sequence[Difference]) -> Document:
    """The page of what `tcn_migrate.comparison.compare_files` found."""
    unequal = sorted((one for one in variables if not one.equal), key=_size, reverse=True)
    longest = max((one.scaled for one in unequal if math.isfinite(one.scaled)), default=0.0)
    same = not changed and not unequal
    verdict = "Both files hold the same model" if same else "The files differ"
    return rendered(
        "differences.html",
        Page(
            title=f"{safe(old.name)} and {safe(new.name)}: compared",
            verdict=f"{verdict}: {len(unequal)} of {len(variables)} variables and {len(changed)} settings differ",
            state="good" if same else "doubtful",
            settings=[setting(one) for one in changed[:MOST_ROWS]],
            variables=[
                Variable(one.name, one.note or f"{one.scaled:.2g}", _share(one, longest)) for one in unequal[:MOST_ROWS]
            ],
            equal=len(variables) - len(unequal),
            left_out=max(0, len(unequal) - MOST_ROWS) + max(0, len(changed) - MOST_ROWS),
        ),
    )


def _size(one: Difference) -> float:
    return math.inf if math.isnan(one.scaled) else one.scaled


def _share(one: Difference, longest: float) -> int:
    return 100 if not math.isfinite(one.scaled) or longest <= 0 else round(100 * one.scaled / longest)
