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
from pathlib import Path

from tcn_migrate.checkpoint import Checkpoint, Json
from tcn_migrate.containers import probe, strangers
from tcn_migrate.errors import ContainerError, quoted

_CONTAINERS = ("keras_zip", "h5", "saved_model", "tf_checkpoint", "tensorflowjs")
_OF_HDF5 = ("keras_zip", "h5")


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
        architecture: the model's config, for containers that hold weights alone.
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
            other = strangers.recognize(path) if name == "keras_zip" else None
            if other is not None:
                break
            if name in _OF_HDF5:
                probe.withstands(path, meanwhile)
            checkpoint: Checkpoint = container.read(path, architecture)
            return checkpoint
    known = strangers.recognize(path)
    raise ContainerError(
        f"not a Keras checkpoint: {known[0] if known else _what(path)}",
        expected="a .keras archive, an HDF5 file, a SavedModel, a TensorFlow checkpoint or a folder of TensorFlow.js",
        hint=known[1] if known else None,
    )


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder without saved_model.pb, checkpoint, .index or model.json"
    return "an unknown format"
