"""Checkpoints at URLs (`s3://`, `gs://`, `hf://`, `https://` and whatever else fsspec opens), by way of local files.

A source is fetched into a local folder and migrated there; a new file is made and verified locally, and put whole.
fsspec comes with the extra `[remote]`; who names no URL needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tcn_migrate.containers.keras_zip import WEIGHTS
from tcn_migrate.errors import MigrationError, UnsafeError, quoted

WEIGHTS_MEMBER = WEIGHTS.encode()
DIRECTORY = 1 << 20
"""How much of an archive's end is searched for the list of its members."""
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:// is a drive
_HDF5, _ZIP, _TABLE = b"\x89HDF\r\n\x1a\n", b"PK", bytes.fromhex("57fb808b247547db")
MOST_ARCHITECTURES = 100
LARGEST_ARCHITECTURE = 64 << 20


def is_remote(path: str) -> bool:
    return _REMOTE.match(path) is not None and not path.lower().startswith("file://")


def local_path(path: str) -> str:
    """The path that a `file://` URL stands for; any other text is one already."""
    return unquote(urlsplit(path).path) if path.lower().startswith("file://") else path


def opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        MigrationError: fsspec or its driver is not installed, or it knows no such protocol.
    """
    try:
        import fsspec
    except ImportError:
        raise MigrationError(
            "a URL needs the package fsspec",
            address=shown(url),
            hint="pip install 'tcn-migrate[remote]', or name a local path",
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise MigrationError(
            f"cannot be opened ({quoted(error, 200)[1:-1]})",
            address=shown(url),
            hint="pip install 'tcn-migrate[remote]', or the package of this protocol",
        ) from None
    system.invalidate_cache()  # what was listed a while ago need not be there any more
    return system, path


def shown(url: str) -> str:
    """A URL for a message: without user, password and query, which may be secrets."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return quoted(f"{scheme}://{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}", 200)


def _failed(url: str, error: Exception) -> MigrationError:
    if isinstance(error, FileNotFoundError):
        return MigrationError("there is no such file or folder", address=shown(url))
    return MigrationError(
        f"cannot be reached ({type(error).__name__}: {quoted(error, 200)[1:-1]})",
        address=shown(url),
        hint="Check the address and the credentials; --resume tries again",
    )


class RemoteTree:
    """Folders at a URL."""

    def __init__(self, url: str) -> None:
        self.unreadable: list[str] = []
        self._system, _ = opened(url)
        self._flat = url.lower().startswith(("http://", "https://"))  # a page of links is no folder

    def walk(self, root: str) -> Iterator[tuple[str, list[str], list[str]]]:
        try:
            for folder, folders, files in self._system.walk(self._path(root), on_error="raise"):
                # Keys like "a//b" and the marks of empty folders have no name of their own.
                folders[:] = [name for name in folders if name]
                yield self._url(folder), folders, [name for name in files if name]
        except Exception as error:
            raise _failed(root, error) from None

    def is_folder(self, path: str) -> bool:
        return not self._flat and self._answer(path, "isdir")

    def is_file(self, path: str) -> bool:
        return self._flat or self._answer(path, "isfile")

    def _answer(self, path: str, question: str) -> bool:
        try:
            return bool(getattr(self._system, question)(self._path(path)))
        except Exception as error:
            raise _failed(path, error) from None

    def are_checkpoints(self, folder: str, names: list[str]) -> list[bool]:
        paths = [self._path(f"{folder.rstrip('/')}/{name}") for name in names]
        starts = self._parts(paths, 0, 8)
        archives = [path for path, start in zip(paths, starts, strict=True) if start[:2] == _ZIP]
        ends = dict(zip(archives, self._parts(archives, -DIRECTORY, None), strict=True))
        return [
            start == _HDF5 or WEIGHTS_MEMBER in ends.get(path, b"") for path, start in zip(paths, starts, strict=True)
        ]

    def is_index(self, folder: str, name: str) -> bool:
        if self._flat:
            return False
        return self._parts([self._path(f"{folder.rstrip('/')}/{name}")], -8, None) == [_TABLE]

    def _parts(self, paths: list[str], start: int, end: int | None) -> list[bytes]:
        """A part of each file; nothing where it cannot be read."""
        if not paths:
            return []
        parts = self._system.cat_ranges(paths, [start] * len(paths), [end] * len(paths), on_error="return")
        return [part if isinstance(part, bytes) else b"" for part in parts]

    def _path(self, url: str) -> str:
        return str(self._system._strip_protocol(url))

    def _url(self, path: str) -> str:
        return str(self._system.unstrip_protocol(path)).rstrip("/")


def fitting(pattern: str) -> list[str]:
    """The URLs that fit a pattern."""
    system, path = opened(pattern)
    try:
        return sorted(str(system.unstrip_protocol(found)) for found in system.glob(path))
    except Exception as error:
        raise _failed(pattern, error) from None


def fetch(url: str, kind: str, folder: Path, most: int | None = None) -> Path:
    """Copies a source into a local folder.

    Args:
        kind: "file", "savedmodel" or "prefix".
        most: how many bytes it may have, as far as the store tells.

    Returns:
        The local path of the source, as the containers take it.

    Raises:
        MigrationError: it is not there, or cannot be read, or is too large.
    """
    system, path = opened(url)
    local = folder / name_of(url)
    if most is not None:
        _check_size(system, path, kind, most, url)
    try:
        if kind == "file":
            system.get_file(path, str(local))
        elif kind == "prefix":
            for part in system.glob(f"{_literal(path)}.data-?????-of-?????"):
                system.get_file(part, f"{local}{str(part)[len(path) :]}")
            system.get_file(f"{path}.index", f"{local}.index")
        else:
            _fetch_saved_model(system, path, local)
    except Exception as error:
        raise _failed(url, error) from None
    return local


def _check_size(system: Any, path: str, kind: str, most: int, url: str) -> None:
    try:
        if kind == "file":
            size = system.info(path).get("size") or 0
        else:
            size = sum(system.du(path, total=False).values()) if kind == "savedmodel" else 0
    except Exception as error:
        raise _failed(url, error) from None
    if size > most:
        raise UnsafeError(
            "the source is larger than the limit, and was not fetched",
            address=shown(url),
            expected=f"at most {most >> 20} MiB",
            found=f"{size >> 20} MiB",
            hint=f"If you trust it, raise the limit: --max-bytes {-(-size // (1 << 30))}GiB",
        )


def _fetch_saved_model(system: Any, path: str, local: Path) -> None:
    """The files that are read of a SavedModel: the graph, the config, and the variables."""
    (local / "variables").mkdir(parents=True)
    (local / "assets").mkdir()
    for name in ("saved_model.pb", "keras_metadata.pb", "assets/saved_model.json"):
        if system.isfile(f"{path}/{name}"):
            system.get_file(f"{path}/{name}", str(local / name))
    if system.isdir(f"{path}/variables"):
        for part in system.ls(f"{path}/variables", detail=False):
            name = str(part).rpartition("/")[2]
            if name.startswith("variables."):
                system.get_file(part, str(local / "variables" / name))


def fetch_architectures(url: str, folder: Path) -> None:
    """Copies the JSON files beside a source into a local folder, where a file that holds weights alone finds them."""
    system, path = opened(url)
    try:
        beside = system.ls(path.rpartition("/")[0], detail=True)
        for info in beside[:10_000]:
            name = str(info["name"]).rpartition("/")[2]
            if name.endswith(".json") and (info.get("size") or 0) <= LARGEST_ARCHITECTURE:
                system.get_file(info["name"], str(folder / name))
                if len(list(folder.glob("*.json"))) >= MOST_ARCHITECTURES:
                    return
    except Exception:  # a server that lists nothing has nothing beside
        return


def _literal(path: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", path)


def name_of(url: str) -> str:
    """The last name in a URL, fit to name a local file."""
    name = unquote(url.partition("://")[2].partition("?")[0].rstrip("/").rpartition("/")[2])
    name = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name)[-150:]
    return name if name.strip(". ") else "source"


def exists(url: str) -> bool:
    system, path = opened(url)
    try:
        return bool(system.exists(path))
    except Exception as error:
        raise _failed(url, error) from None


def put(local: Path, url: str) -> None:
    """Copies a finished file to a URL; object stores show it when it is there as a whole."""
    system, path = opened(url)
    try:
        try:
            system.put_file(str(local), path)
        except FileNotFoundError:  # a file system with real folders
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            system.put_file(str(local), path)
    except Exception as error:
        raise _failed(url, error) from None


def mark_of(url: str) -> str | None:
    """What the store itself knows a file's content by, such as an ETag; None where there is no such thing."""
    try:
        system, path = opened(url)
        info = system.info(path)
    except Exception:
        return None
    mark = info.get("ETag") or info.get("etag") or info.get("blob_id")
    return str(mark) if mark else None
