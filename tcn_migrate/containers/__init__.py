"""What kind of file is it? Content decides, never the suffix.

Each container is a module with two functions, `matches(path)` and `read(path, architecture)`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tcn_migrate.checkpoint import Checkpoint, Json
from tcn_migrate.containers import probe
from tcn_migrate.containers.architecture import find_architecture, read_architecture
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, quoted

_CONTAINERS = ("keras_zip", "h5", "saved_model", "tf_checkpoint")
_OF_HDF5 = ("keras_zip", "h5")

_STRANGERS = {
    b"\x80": "a pickle",
    b"(lp": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"TFL3": "a TensorFlow Lite model",
}


@contextlib.contextmanager
def open_checkpoint(
    path: Path, architecture: Json | None = None, meanwhile: Callable[[], None] = probe.nothing
) -> Iterator[Checkpoint]:
    """`read_checkpoint`, and beside what is then done with the checkpoint its archive's checksum is compared.

    If it does not agree, this is what is raised in the end, whatever else was found: it may have come of the damage.

    Args:
        path, architecture, meanwhile: as for `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path, architecture, meanwhile)
    compare = checkpoint.origin.content.compare

    def beside() -> None:
        with contextlib.suppress(Exception):  # which is raised again below
            compare()

    threading.Thread(target=beside, daemon=True).start()  # an interrupt need not wait for it
    try:
        yield checkpoint
    except Exception:
        compare()
        raise
    compare()


def read_checkpoint(
    path: Path, architecture: Json | None = None, meanwhile: Callable[[], None] = probe.nothing
) -> Checkpoint:
    """Opens a checkpoint of any container, for reading only.

    Args:
        path: a file, the folder of a SavedModel or checkpoint, or a checkpoint's prefix.
        architecture: the model's config, for containers that hold weights alone. If it is needed and not given, it is
            looked for beside the file.
        meanwhile: what `probe.withstands` calls while a copy of this process tries the file, if it is HDF5.

    Raises:
        ContainerError: not a checkpoint, or damaged.
        ArchitectureNeeded: weights alone.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ContainerError("is neither a file nor a folder; pipes and devices are not opened")
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError:
        if not Path(f"{path}.index").is_file():
            raise ContainerError("there is no such file or folder", address=quoted(path)) from None
    except OSError as error:
        raise ContainerError(f"cannot be read ({error.strerror})", address=quoted(path)) from None
    for name in _CONTAINERS:
        container = importlib.import_module(f"tcn_migrate.containers.{name}")
        if container.matches(path):
            if name in _OF_HDF5:
                probe.withstands(path, meanwhile)
            try:
                checkpoint: Checkpoint = container.read(path, architecture)
            except ArchitectureNeeded:
                beside = find_architecture(path)
                if beside is None:
                    raise
                checkpoint = container.read(path, read_architecture(beside))
                checkpoint = replace(checkpoint, hints={**checkpoint.hints, "architecture_beside": beside.name})
            return checkpoint
    raise ContainerError(
        f"not a Keras checkpoint: {_what(path)}",
        expected="a .keras archive, an HDF5 file, a SavedModel or a TensorFlow checkpoint",
    )


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder without saved_model.pb, checkpoint or .index"
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return "an empty file"
    for mark, name in _STRANGERS.items():
        if start.startswith(mark):
            return name
    if start.lstrip()[:1] in (b"{", b"["):
        return "JSON; a model's architecture holds no weights"
    return "an unknown format"
