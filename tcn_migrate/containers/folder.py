"""Files of a container that is a folder: none is opened that lies outside of it or is no regular file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tcn_migrate.errors import ContainerError, UnsafeError, quoted


def member(folder: Path, name: str) -> Path:
    """The file `name` of the folder, with all links resolved.

    Args:
        folder: the container; it may itself be reached over a link.
        name: path within the folder, with "/" between its parts.

    Raises:
        ContainerError: there is no such file, or nobody may look at it.
        UnsafeError: `name` leads out of the folder, over ".." or over a link, or to a device or pipe.
    """
    try:
        path = (folder / name).resolve(strict=True)
        inside = path.is_relative_to(folder.resolve(strict=True))
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        raise ContainerError("the file is missing", address=quoted(name)) from None
    except (OSError, RuntimeError, ValueError) as error:  # loops of links, no permission, NUL in the name
        raise _unreadable(name, error) from None
    if not inside:
        raise UnsafeError(
            "the file is a link that leads outside of its folder, and is not read",
            address=quoted(name),
            hint="If you trust it, copy the folder with its links resolved: cp -rL OLD COPY",
        )
    if not regular:
        raise UnsafeError("this is no regular file, and is not read", address=quoted(name))
    return path


def open_member(folder: Path, name: str) -> BinaryIO:
    """Open the file `name` of the folder for reading. Raises as `member`."""
    path = member(folder, name)
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(name, error) from None


def read_member(folder: Path, name: str, limit: int) -> bytes:
    """The whole file `name`, which may hold at most `limit` bytes.

    Raises:
        ContainerError, UnsafeError: as `member`; UnsafeError also where the file is longer than `limit`.
    """
    with open_member(folder, name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UnsafeError(
            "the file is too large to be what it claims to be", address=quoted(name), expected=f"at most {limit} bytes"
        )
    return content


def has_member(folder: Path, name: str) -> bool:
    """Whether the folder lists `name`, be it a file, a link or anything else."""
    try:
        return os.path.lexists(folder / name)
    except (OSError, ValueError):
        return False


def _unreadable(name: str, error: Exception) -> ContainerError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ContainerError("the file cannot be read", address=quoted(name), found=reason)
