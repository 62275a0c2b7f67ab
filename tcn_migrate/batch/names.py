"""Where each new file goes: below `--to` as its source lies below the folder that all sources have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from tcn_migrate.batch import storage
from tcn_migrate.batch.find import Source
from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.migration import SUFFIX, without_suffix


def targets(sources: Sequence[Source], to: str) -> list[str | MigrationError]:
    """A new file's path or URL for each source, no two the same.

    `a.h5` becomes `a.keras`. Where that is also what another source would become, as with `a.h5` and `a.keras` in one
    folder, each keeps its suffix: `a.h5.keras`, `a.keras.keras`. Names depend on the set of sources alone, never on
    their order.

    Returns:
        In the place of a name that cannot be, the error that says why.
    """
    bases = {place: _common(source for source in sources if _place(source) == place) for place in map(_place, sources)}
    parts = [_relative(source, bases[_place(source)]) for source in sources]
    short = [(*folders, f"{without_suffix(name)}{SUFFIX}") for *folders, name in parts]
    long = [(*folders, f"{name}{SUFFIX}") for *folders, name in parts]
    wanted = Counter(short)
    chosen = [s if wanted[s] == 1 else n for s, n in zip(short, long, strict=True)]
    taken = Counter(chosen)
    return [
        _refused(source, name, taken[name]) or _below(to, name) for source, name in zip(sources, chosen, strict=True)
    ]


def _place(source: Source) -> str:
    """The machine or bucket that a source is on."""
    if storage.is_remote(source.path):
        scheme, _, rest = source.path.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"
    return os.path.splitdrive(source.path)[0]


def _split(path: str) -> list[str]:
    if storage.is_remote(path):
        return [part for part in path.partition("?")[0].partition("://")[2].split("/") if part][1:]
    return [part for part in os.path.splitdrive(path)[1].split(os.sep) if part]


def _common(sources: Iterable[Source]) -> list[str]:
    """The parts of the path that the folders which were asked for have in common."""
    roots = [_split(root) for root in {source.root for source in sources}]
    common = roots[0]
    for root in roots[1:]:
        length = next((i for i, (a, b) in enumerate(zip(common, root, strict=False)) if a != b), None)
        common = common[: min(len(common), len(root)) if length is None else length]
    return common


def _relative(source: Source, base: list[str]) -> tuple[str, ...]:
    return tuple(_split(source.path)[len(base) :]) or ("model",)


def _refused(source: Source, name: tuple[str, ...], count: int) -> MigrationError | None:
    if ".." in name or "." in name:
        return MigrationError(
            "its name leads out of the folder of the new files", found=quoted("/".join(name)), hint="Rename it"
        )
    if count > 1:
        return twice("/".join(name))
    return None


def twice(name: str) -> MigrationError:
    """What is said of each of two sources that would become one new file."""
    return MigrationError(
        "another source would get the same new file",
        found=quoted(name),
        hint="Rename one of them, or migrate them apart",
    )


def is_name_for(source: Source, target: str, to: str) -> bool:
    """Whether `targets` could have given a source this new file, whatever the other sources were."""
    separator = "/" if storage.is_remote(to) else os.sep
    start = to.rstrip(separator) + separator
    if not target.startswith(start):
        return False
    *folders, name = target[len(start) :].split(separator)
    *above, own = _split(source.path) or ["model"]
    fits = name in (f"{without_suffix(own)}{SUFFIX}", f"{own}{SUFFIX}") and ".." not in folders
    return fits and folders == above[len(above) - len(folders) :]


def _below(to: str, name: tuple[str, ...]) -> str:
    return "/".join((to.rstrip("/"), *name)) if storage.is_remote(to) else os.path.join(to, *name)
