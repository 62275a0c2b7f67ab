"""Everything that a migration opens, connects to, runs and imports, written down while it happens.

Python's audit hook sees what Python does. HDF5 opens files behind Python's back, which Linux's inotify sees.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_RUNS = (
    *(
        "exec",
        "compile",
        "import",
        "marshal.",
        "pickle.",
        "subprocess.",
        "os.system",
        "os.exec",
        "os.spawn",
        "os.posix_spawn",
    ),
    *(
        "socket.",
        "urllib.",
        "ctypes.",
        "code.",
        "builtins.input",
        "os.startfile",
        "shutil.unpack_archive",
        "webbrowser.",
    ),
)
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.mkdir", "os.truncate", "os.chmod")

_watching: list[Watch] = []


class Watch:
    """What happened in one `watched` block, as (event, arguments)."""

    def __init__(self, allowed: tuple[Path, ...]) -> None:
        self.allowed = tuple(path.resolve() for path in allowed)
        self.offences: list[str] = []

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_RUNS):
            self.offences.append(f"{event} {arguments!r:.200}")
        elif event in ("open", *_CHANGES):
            for path in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
                if isinstance(path, str | bytes | os.PathLike) and not self.allows(Path(os.fsdecode(path))):
                    self.offences.append(f"{event} {path!r}")

    def allows(self, path: Path) -> bool:
        # resolve() would be seen again; what a link leads to is seen by HDF5's and the system's own opens.
        absolute = Path(os.path.normpath(Path.cwd() / path))
        return str(path).startswith("/proc/self/") or any(absolute.is_relative_to(place) for place in self.allowed)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watching:
        watch.see(event, arguments)


@contextlib.contextmanager
def watched(*allowed: Path) -> Iterator[Watch]:
    """Watches what the block does; `allowed`, and what lies below, may be opened and changed."""
    if not getattr(sys, "_tcn_migrate_watched", False):
        sys.addaudithook(_hook)
        sys._tcn_migrate_watched = True  # type: ignore[attr-defined]  (a hook stays for the life of the process)
    watch = Watch(allowed)
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)


@contextlib.contextmanager
def opens_of(folder: Path) -> Iterator[list[str]]:
    """The names of the files in a folder that anybody opens during the block, also from C.

    Nothing is seen where there is no inotify.
    """
    names: list[str] = []
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        yield names
        return
    handle = libc.inotify_init1(os.O_NONBLOCK)
    libc.inotify_add_watch(handle, os.fsencode(folder), 0x20)  # IN_OPEN
    try:
        yield names
        with contextlib.suppress(BlockingIOError):
            while events := os.read(handle, 1 << 16):
                place = 0
                while place < len(events):
                    length = struct.unpack_from("I", events, place + 12)[0]
                    names.append(os.fsdecode(events[place + 16 : place + 16 + length].rstrip(b"\0")))
                    place += 16 + length
    finally:
        os.close(handle)
