"""Recorded inputs and predictions out of files: .npz, .npy, .csv and .parquet. No Keras."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tcn_migrate.containers.bounds import ALWAYS_ALLOWED, LARGEST_EXPANSION, MIB
from tcn_migrate.containers.keras_zip import open_archive
from tcn_migrate.errors import MigrationError, UnsafeError, quoted
from tcn_migrate.recovery.data import Batch, numeric

Array = np.ndarray[Any, Any]
_LONGEST_LINE = 1 << 20


def is_files(source: Any) -> bool:
    """Whether `source` names files and is no data itself."""
    if isinstance(source, str | Path):
        return True
    return isinstance(source, list | tuple) and bool(source) and all(isinstance(item, str | Path) for item in source)


def refuse_absent(source: Any) -> None:
    """Raises where a file that is named is not there.

    Args:
        source: a path, several, or data.

    Raises:
        MigrationError: there is no such file.
    """
    for path in () if not is_files(source) else [source] if isinstance(source, str | Path) else source:
        if not Path(path).exists():
            raise MigrationError("there is no such file", address=quoted(path))


def read_inputs(source: Any, names: Sequence[str], shapes: Sequence[tuple[int | None, ...]]) -> Batch:
    """A model's inputs out of one or several files, joined along the samples.

    Args:
        source: a path, or several.
        names: the model's inputs.
        shapes: their shapes, (None, ...).

    Returns:
        One array an input, (samples, ...).

    Raises:
        MigrationError: a file that cannot be read, or does not hold what the model takes.
    """
    paths = [source] if isinstance(source, str | Path) else list(source)
    parts = [pick(load(Path(path)), "x", names, shapes, Path(path)) for path in paths]
    return [_joined(arrays) for arrays in zip(*parts, strict=True)]


def _joined(arrays: Sequence[Array]) -> Array:
    """Arrays in one, along the samples; a single one stays as it is, mapped if it was.

    Raises:
        MigrationError: their samples differ in shape.
    """
    if len(arrays) == 1:
        return arrays[0]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or not all(array.ndim for array in arrays):
        raise MigrationError(
            "the files hold samples of different shapes", found=", ".join(str(array.shape) for array in arrays[:8])
        )
    return np.concatenate(arrays)


def read_recorded(
    source: Any, names: Sequence[str], shapes: Sequence[tuple[int | None, ...]], outputs: int
) -> tuple[Batch, Batch]:
    """Recorded inputs and the old model's predictions: `x` and `y`, or `x0`, `x1`, ... and `y0`, `y1`, ...

    Raises:
        MigrationError: as `read_inputs`.
    """
    paths = [source] if isinstance(source, str | Path) else list(source)
    inputs, predictions = [], []
    for path in paths:
        held = load(Path(path))
        inputs.append(pick(held, "x", names, shapes, Path(path)))
        predictions.append(pick(held, "y", [""] * outputs, [()] * outputs, Path(path)))
    return (
        [_joined(arrays) for arrays in zip(*inputs, strict=True)],
        [_joined(arrays) for arrays in zip(*predictions, strict=True)],
    )


def load(path: Path) -> dict[str, Array]:
    """The arrays in a file by name; a file without names holds one, `x`. Never unpickles.

    Raises:
        MigrationError: it cannot be read.
    """
    where = quoted(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe may never end
            raise MigrationError("is no regular file", address=where)
        if path.suffix == ".npz":
            _check_archive(path)
            with np.load(path, allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # NumPy hands on the bytes of a member that is no array
                    raise MigrationError("holds a member that is no array", address=where, found=quoted(name))
            return arrays
        if path.suffix == ".npy":
            # Mapped, so that data larger than memory are read as they are used.
            return {"x": np.load(path, mmap_mode="r", allow_pickle=False)}
        if path.suffix == ".csv":
            return {"x": _table(path)}
        if path.suffix == ".parquet":
            return {"x": _parquet(path)}
    except MigrationError:
        raise
    except FileNotFoundError:
        raise MigrationError("there is no such file", address=where) from None
    except Exception as error:
        raise MigrationError(f"cannot be read ({type(error).__name__}: {quoted(error, 120)})", address=where) from None
    raise MigrationError("is of no known kind", address=where, expected=".npz, .npy, .csv or .parquet")


def _check_archive(path: Path) -> None:
    """Refuses arrays that are far larger than what is stored of them.

    Raises:
        MigrationError: zeros by the gigabyte, out of a file of megabytes.
    """
    with open_archive(path) as archive:
        declared = sum(member.file_size for member in archive.infolist())
    if declared > max(ALWAYS_ALLOWED, LARGEST_EXPANSION * path.stat().st_size):
        raise UnsafeError(
            f"declares {declared // MIB} MiB of arrays",
            address=quoted(path),
            expected=f"at most {LARGEST_EXPANSION} times the size of the file",
            hint="If the data are like that, write them with numpy.savez, uncompressed",
        )


def _table(path: Path) -> Array:
    """Numbers of a table, one step a row; a first row of names is left out."""
    with path.open() as file:
        first = file.readline(_LONGEST_LINE)
    if len(first) == _LONGEST_LINE:
        raise UnsafeError("begins with a line that is no row of a table", address=quoted(path))
    named = not all(_is_number(cell) for cell in first.split(","))
    return np.loadtxt(path, delimiter=",", skiprows=1 if named else 0, ndmin=2, dtype=np.float32)


def _is_number(cell: str) -> bool:
    """Whether a cell of a table is a number, NaN and infinity among them, or empty."""
    try:
        float(cell.strip() or "nan")
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> Array:
    try:
        from pyarrow import parquet
    except ImportError:
        raise MigrationError(
            "needs pyarrow to be read", address=quoted(path), hint="Install it: pip install pyarrow"
        ) from None
    table = parquet.read_table(path)
    return np.stack([column.to_numpy().astype(np.float32) for column in table.columns], axis=1)


def pick(
    held: dict[str, Array],
    letter: str,
    names: Sequence[str],
    shapes: Sequence[tuple[int | None, ...]],
    path: Path,
) -> Batch:
    """The arrays of a file in the model's order: by the inputs' names, `x0`, `x1`, ..., or the only one.

    A table, (steps, features), is cut into the windows that the model takes; a rest at the end is left out.
    """
    if all(name in held for name in names) and any(names):
        chosen = list(names)
    else:
        chosen = sorted((k for k in held if re.fullmatch(letter + r"\d{0,9}", k)), key=lambda k: int(k[1:] or 0))
        if not chosen and len(held) == 1 and letter == "x":
            chosen = list(held)
    if len(chosen) != len(names):
        raise MigrationError(
            f"does not hold the model's {'inputs' if letter == 'x' else 'predictions'}",
            address=quoted(path),
            expected=f"{len(names)} arrays: {', '.join(f'{letter}{i}' for i in range(len(names)))}",
            found=", ".join(quoted(name, 30) for name in held) or "none",
        )
    return [_windows(_checked(held[name], name, path), shape) for name, shape in zip(chosen, shapes, strict=True)]


def _checked(member: Any, name: str, path: Path) -> Array:
    """A member of a file that is an array of numbers with samples in it.

    Raises:
        MigrationError: it is no array (NumPy hands such a member out as bytes), not of numbers, or empty.
    """
    where = f"{quoted(path)}, array {quoted(name, 30)}"
    if not isinstance(member, np.ndarray):
        raise MigrationError("is no array in NumPy's format", address=where)
    if not member.size:
        raise MigrationError("is empty", address=where, found=f"shape {member.shape}")
    return numeric(member, where)


def _windows(array: Array, shape: tuple[int | None, ...]) -> Array:
    if array.ndim == 2 and len(shape) == 3 and shape[2] == array.shape[1] and shape[1] is not None:
        steps, features = shape[1], array.shape[1]
        count = len(array) // steps
        return array[: count * steps].reshape(count, steps, features)
    return array
