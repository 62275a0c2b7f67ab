"""What a plan may ask of the machine and of Keras: nothing that the file does not hold itself."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tcn_migrate.checkpoint import Json, StoredArray
from tcn_migrate.config.features import Shape, features_of, input_shapes, layers_with_features
from tcn_migrate.containers.bounds import ALWAYS_ALLOWED, MIB
from tcn_migrate.errors import MigrationError, NamingError, SettingError, UnsafeError
from tcn_migrate.naming.entries import Address, spoken

DEFAULT_BYTES = 8 << 30
"""Size of a source, and of the arrays in it, unless `max_bytes` says otherwise."""
LARGEST_EXPANSION = 50
"""All arrays together may be this many times larger than the source, once they are above 64 MiB. Trained weights hardly
shrink at all when they are compressed."""
MOST_UNROLLED = 2_000
_MOST_FILES = 10_000
_ITEMSIZE = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "uint64": 8}
_UNITS = {
    "": 1,
    "k": 1000,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


def parse_bytes(text: str) -> int:
    """A number of bytes out of words such as `4GiB`, `500 MB` or `1073741824`.

    Raises:
        ValueError: anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,6})?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"{text[:40]!r} is no number of bytes; write 4GiB, 500MB or 1073741824")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def source_bytes(path: Path) -> int:
    """The size of a source: of the file, of all files in the folder, or of all that begin with a checkpoint's prefix.

    Links are not followed, but for `path` itself.
    """
    if path.is_file():
        return path.stat().st_size
    total = count = 0
    waiting = [path if path.is_dir() else path.parent]
    while waiting and count < _MOST_FILES:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    if path.is_dir():
                        waiting.append(Path(entry.path))
                elif path.is_dir() or entry.name.startswith(path.name):
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def check_source(path: Path, most: int = DEFAULT_BYTES) -> None:
    """Refuses a source beyond the budget before anything of it is read.

    Raises:
        UnsafeError: too large.
    """
    try:
        size = source_bytes(path)
    except OSError:
        return  # whoever opens it says what is wrong
    if size > most:
        raise _beyond("the source", size, most)


def check_arrays(arrays: Iterable[StoredArray], source: int, most: int = DEFAULT_BYTES) -> None:
    """Refuses arrays that are together beyond the budget, or beyond what the source can hold.

    Two filters in a row, arrays that share their bytes, and archives in archives all come out as the same: more bytes
    of arrays than a source of this size ever had.

    Args:
        arrays: all that will be read.
        source: the source's size in bytes.
        most: the budget in bytes.

    Raises:
        UnsafeError: too large.
    """
    total = sum(math.prod(array.shape) * _ITEMSIZE.get(array.dtype, 4) for array in arrays)
    if total > most:
        raise _beyond("the arrays", total, most)
    if total > max(ALWAYS_ALLOWED, LARGEST_EXPANSION * source):
        raise UnsafeError(
            f"declares {total // MIB} MiB of arrays, more than a source of {source // 1024} KiB can have stored",
            expected=f"at most {LARGEST_EXPANSION} times its size",
        )


def _beyond(what: str, size: int, most: int) -> MigrationError:
    return UnsafeError(
        f"{what} would be {size // MIB} MiB, more than the limit",
        expected=f"at most {most // MIB} MiB",
        hint=f"If you trust the file, raise it: --max-bytes {-(-size // (1 << 30))}GiB",
    )


def check_features(model: Json, arrays: Mapping[Address, StoredArray], tcn_widths: Mapping[Address, int]) -> None:
    """Holds what the config lets enter each layer against what the layer's arrays were made for.

    Keras would make variables for the config's features, however many, before it reads an array.

    Args:
        model: in normal form, before a TCN is rewritten.
        arrays: what was found, by address.
        tcn_widths: the features of each TCN's first convolution, by the TCN's address.

    Raises:
        NamingError: they do not agree.
        SettingError: a recurrent layer that Keras would unroll for ever.
    """
    shapes = input_shapes(model)
    for address, entry in layers_with_features(model):
        _check_unrolled(address, entry, shapes.get(address, []))
        made_for = tcn_widths.get(address)
        if made_for is None:
            here = address

            def of_variable(name: str, here: Address = here) -> tuple[int, ...] | None:
                array = arrays.get((*here, name))
                return None if array is None else array.shape

            made_for = features_of(entry, of_variable)
        if made_for is None:
            continue
        for shape in shapes.get(address, []):
            if shape and shape[-1] is not None and shape[-1] != made_for:
                raise NamingError(
                    "the config and the arrays disagree on the features that enter this layer",
                    address=spoken(address),
                    expected=f"{made_for}, for which its arrays were made",
                    found=shape[-1],
                )


def _check_unrolled(address: Address, entry: Json, shapes: list[Shape]) -> None:
    """An unrolled layer makes operations for every step of its input."""
    longest = max((shape[1] or 0 for shape in shapes if shape is not None and len(shape) > 1), default=0)
    if entry["config"].get("unroll") and longest > MOST_UNROLLED:
        raise SettingError(
            f"unroll = true for {longest} time steps", address=spoken(address), expected=f"at most {MOST_UNROLLED}"
        )
