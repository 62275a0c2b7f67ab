"""A model's config in a file of its own: what `model.to_json()` wrote."""

from __future__ import annotations

import stat
from pathlib import Path

from tcn_migrate.checkpoint import Json
from tcn_migrate.containers.bounds import LARGEST_JSON, MIB, parse_model
from tcn_migrate.errors import ContainerError, MigrationError, UnsafeError, quoted


def read_architecture(path: Path) -> Json:
    """The config in `path`.

    Raises:
        ContainerError: not JSON, or not a model's.
        UnsafeError: too large.
    """
    name = f"architecture {quoted(path.name)}"
    try:
        if not path.is_file():
            raise ContainerError("there is no such file", address=name)
        if path.stat().st_size > LARGEST_JSON:
            raise UnsafeError("is too large", address=name, expected=f"at most {LARGEST_JSON // MIB} MiB")
        text = path.read_bytes()
    except OSError as error:
        raise ContainerError(f"cannot be read ({error.strerror})", address=name) from None
    if text[:1] not in (b"{", b'"') and text.lstrip()[:1] not in (b"{", b'"'):
        raise ContainerError(
            "is not JSON; YAML and pickles can hold code and are never read",
            address=name,
            hint="Write it anew in the old environment: open('model.json', 'w').write(model.to_json())",
        )
    return parse_model(text, name)


def find_architecture(path: Path) -> Path | None:
    """The one JSON file beside `path` that holds a model's config.

    Links are not followed, since they may lead out of the folder.

    Returns:
        None if there is none, or more than one, or if all JSON files together are larger than one may be.
    """
    found = []
    folder = path.parent
    try:
        candidates = [file for file in sorted(folder.glob("*.json"))[:100] if stat.S_ISREG(file.lstat().st_mode)]
        if sum(file.lstat().st_size for file in candidates) > LARGEST_JSON:
            return None
    except OSError:
        return None
    for candidate in candidates:
        try:
            read_architecture(candidate)
        except MigrationError:
            continue
        found.append(candidate)
    return found[0] if len(found) == 1 else None
