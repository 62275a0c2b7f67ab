"""Writing a `.keras` file without Keras: metadata.json, config.json and model.weights.h5 in a stored zip archive.

The weights are written by HDF5 in place, at their offset inside the archive, so that memory does not grow with the
model. The same plan gives the same bytes. The file appears at its name only when it is whole and on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.containers.window import Window
from tcn_migrate.errors import MigrationError, NoRoomError, quoted
from tcn_migrate.moves import Move, Plan
from tcn_migrate.naming.entries import Address

_UNTIMED = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
_UNTIMED.set_obj_track_times(False)  # else two equal migrations would differ
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: a date of its own would make two equal migrations differ."""

KERAS_VERSION = "3.0.5"
"""What metadata.json names: the file is plain enough for this release of Keras and every later one."""


@contextlib.contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path for the new file, not there yet; what is written to it becomes `target` if all goes well, else it is gone.

    It lies in a folder `.NAME.*.part` beside the target, which only a killed process leaves behind.

    Raises:
        MigrationError: the target exists (also if it appeared meanwhile), its folder cannot be written, or the disk is
            full.
    """
    if not overwrite and os.path.lexists(target):
        raise exists(target)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise _kind_of(error)(
            f"cannot write to the folder ({error.strerror})",
            address=quoted(target.parent),
            hint="Name another place for the new file",
        ) from None
    temporary = folder / "model.keras"  # Keras, which verifies it, opens no other suffix
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, target)
        else:
            _link(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _kind_of(error)(
            f"the new file could not be written ({error.strerror or error})", address=quoted(target.name)
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _kind_of(error: OSError) -> type[MigrationError]:
    return NoRoomError if error.errno in (errno.ENOSPC, errno.EDQUOT) else MigrationError


def exists(target: Path) -> MigrationError:
    return MigrationError(
        "exists already", address=quoted(target), hint="Name another file, or give --overwrite to replace it"
    )


def _link(temporary: Path, target: Path) -> None:
    """Gives the file its name, unless the name was taken meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise exists(target) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise exists(target) from None
        os.replace(temporary, target)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_keras(plan: Plan, path: Path, progress: Callable[[int], None] = lambda count: None) -> list[Address]:
    """Writes the planned file.

    Args:
        plan: complete.
        path: of the new file.
        progress: called after each of the plan's moves, with their count so far.

    Returns:
        The variables that hold NaN or infinity.

    Raises:
        MigrationError: an array of the source turned out damaged.
        OSError: the disk is full, or the like.
    """
    with (
        path.open("w+b") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ThreadPoolExecutor(2) as beside,
    ):
        # The source is hashed while its arrays are copied, and what says so is written last.
        hashed = beside.submit(lambda: plan.origin.content.sha256)
        compiled = {} if plan.compile_config is None else {"compile_config": plan.compile_config}
        _text(archive, "config.json", {**plan.config, **compiled})
        member = zipfile.ZipInfo("model.weights.h5", _EPOCH)
        member.external_attr = 0o644 << 16
        # A size that may pass 4 GiB has a longer header, which must be there before the size is known.
        long = plan.bytes > (1 << 31)
        member.CRC = 0
        member.header_offset = file.tell()
        file.write(member.FileHeader(zip64=long))
        window = Window(file, file.tell())
        odd = _weights(plan, window, progress)
        file.flush()
        kept = beside.submit(os.fsync, file.fileno())  # the disk has work while the checksum is made
        member.file_size = member.compress_size = window.size
        member.CRC = window.crc32()
        end = window.start + window.size
        file.seek(member.header_offset)
        file.write(member.FileHeader(zip64=long))
        file.seek(end)
        archive.filelist.append(member)
        archive.NameToInfo[member.filename] = member
        archive.start_dir = end
        for done in (hashed, kept):
            done.result()
        _text(archive, "metadata.json", metadata(plan))
        return odd


def _weights(plan: Plan, window: Window, progress: Callable[[int], None]) -> list[Address]:
    """Writes the HDF5 file of all variables; returns those that hold NaN or infinity."""
    odd = []
    with h5py.File(window, "w", track_order=False) as store:
        groups = {"": store}
        _group(groups, "vars")  # the model's own: Keras up to 3.5 fails where it is not, though it is empty
        for number, move in enumerate((*plan.moves, *plan.optimizer)):
            folder, _, name = move.target.rpartition("/")
            finite = _variable(_group(groups, folder), name, move)
            if number < len(plan.moves):
                if not finite:
                    odd.append(move.address)
                progress(number + 1)
    return odd


def _group(groups: dict[str, h5py.Group], path: str) -> h5py.Group:
    """The group at a path, made if there is none yet, and those above it."""
    if path not in groups:
        above, _, name = path.rpartition("/")
        groups[path] = _group(groups, above).create_group(name)
    return groups[path]


def _variable(group: h5py.Group, name: str, move: Move) -> bool:
    """Writes the values of one variable; returns whether all are finite.

    What h5py does for `group[name] = values`, without what it does for other kinds of values, which many small arrays
    feel.
    """
    space, finite = h5py.h5s.create_simple(move.shape), True
    dataset: h5py.h5d.DatasetID | None = None
    for start, piece in move.pieces():
        values = np.asarray(piece, order="C")
        if dataset is None:
            kind = h5py.h5t.py_create(values.dtype, logical=True)
            dataset = h5py.h5d.create(group.id, name.encode(), kind, space, _UNTIMED)
        if values.shape != move.shape:
            space.select_hyperslab(start, values.shape)
        if values.size:
            dataset.write(h5py.h5s.create_simple(values.shape), space, values)
        finite = finite and _finite(values)
    return finite


def _finite(values: Array) -> bool:
    """Whether no value is NaN or infinite: seen in one quick pass, if the sum does not overflow."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _text(archive: zipfile.ZipFile, name: str, content: Any) -> None:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = 0o644 << 16
    archive.writestr(member, json.dumps(content, allow_nan=False).encode("ascii"))


def metadata(plan: Plan) -> dict[str, Any]:
    """What metadata.json says: what every Keras reads, and what was done."""
    return {
        "keras_version": KERAS_VERSION,
        "date_saved": "1980-01-01@00:00:00",
        "tcn_migrate": {
            "source": {
                "sha256": plan.origin.sha256,
                "container": plan.origin.container,
                "keras_version": plan.origin.keras_version,
            },
            "target": plan.target,
            "generations": {"/".join(address): r.generation.name for address, r in plan.tcns.items()},
            "variables": plan.grades,
            "not_copied": {"/".join(m.address): m.grade for m in plan.moves if m.grade != "copied"},
            "repairs": [repair.name for repair in plan.repairs],
        },
    }
