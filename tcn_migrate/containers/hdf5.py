"""HDF5 from strangers: attributes and arrays, nothing followed out of the file, nothing trusted unread.

What can go wrong is not an exception in all cases: an array behind a filter without parameters kills the process
(HDF5 1.14.6 and 2.0.0), and an array that was declared and never written reads as zeros. So the header of an array is
looked at first, and its values only when somebody claims them. HDF5's filters never run: see `chunks`.
"""

from __future__ import annotations

import atexit
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tcn_migrate.checkpoint import Array, Box, StoredArray
from tcn_migrate.containers import chunks
from tcn_migrate.containers.bounds import (
    ALWAYS_ALLOWED,
    DEEPEST_GROUP,
    LARGEST_EXPANSION,
    LARGEST_JSON,
    MIB,
    MOST_OBJECTS,
)
from tcn_migrate.errors import ContainerError, UnsafeError, quoted

_FLOAT32 = np.dtype("<f4")
_NUMBERS = {"i": "int", "u": "uint", "f": "float"}
_EARLY = "was allocated when it was declared, and nothing tells whether it was ever written"
_REWRITE = "If you know that these values were written, copy them into a new array of h5py in a copy of the file"
_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)
"""What h5py raises for a file that is cut off or lies about itself."""


def open_hdf5(source: Path | io.RawIOBase | io.BufferedIOBase, what: str) -> h5py.File:
    """Opens an HDF5 file for reading.

    Raises:
        ContainerError: cut off, or not HDF5.
    """
    try:
        # No locking: a read-only folder or a network share must do, and nothing is ever written here.
        file = h5py.File(source, "r", **({"locking": False} if isinstance(source, Path) else {}))
        len(file)  # raises where the root is no group
        return file
    except _BROKEN as error:
        detail = "truncated" if "truncated" in str(error) else "damaged or cut off"
        raise ContainerError(
            f"cannot be read as HDF5, it is {detail}",
            address=what,
            hint="Copy it again from where it came",
        ) from None


@atexit.register
def _close_archives() -> None:
    """Closes what is still open in an archive when Python ends.

    HDF5's library would close it later, by way of a Python object that is no longer there, and crash (h5py 3.14).
    """
    for thing in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_DATASET | h5py.h5f.OBJ_FILE):
        if thing.valid:
            file = h5py.File(h5py.h5i.get_file_id(thing))
            if file.driver == "fileobj":
                file.close()


def attribute(holder: h5py.Group, name: str, what: str) -> Any:
    """An attribute as text, as a list of texts or as it is; None if there is none.

    Raises:
        ContainerError: the attribute lies about itself.
    """
    try:
        key = name.encode()
        if not h5py.h5a.exists(holder.id, key):
            return None
        header = h5py.h5a.open(holder.id, key)
        count = header.get_space().get_simple_extent_npoints()
        # Texts of variable length are 16 bytes each here, and may all be the same long one.
        variable = count > 1 and header.get_type().get_class() in (h5py.h5t.STRING, h5py.h5t.VLEN)
        if count * header.dtype.itemsize > LARGEST_JSON or (variable and count > MOST_OBJECTS):
            raise UnsafeError(f"attribute {quoted(name)} is too large", address=what)
        value = holder.attrs[name]
    except _BROKEN:
        raise ContainerError(f"attribute {quoted(name)} is damaged", address=what) from None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v) for v in value.ravel()]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if not isinstance(value, np.generic) else value.item()


def text_list(holder: h5py.Group, name: str, what: str) -> list[str] | None:
    """A list of texts that Keras may have split into `name0`, `name1`, ... where it was over 64 kB."""
    whole = attribute(holder, name, what)
    if whole is not None:
        return [str(text) for text in whole] if isinstance(whole, list) else []
    chunks: list[str] = []
    for number in range(MOST_OBJECTS):
        chunk = attribute(holder, f"{name}{number}", what)
        if chunk is None:
            return chunks if number else None
        chunks += [str(text) for text in chunk] if isinstance(chunk, list) else []
    raise UnsafeError(f"attribute {quoted(name)} is split too often", address=what)


def datasets(root: h5py.Group, what: str, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], StoredArray]]:
    """Every array below `root`, by its path with `above` in front.

    Links are reported as arrays with a flaw and never followed.
    A group that is reached twice (hard links can make a cycle) is walked once.

    Raises:
        UnsafeError: more objects or levels than any checkpoint has.
        ContainerError: damaged.
    """
    seen: set[tuple[int, int]] = set()
    chunked: dict[tuple[int, int], str | None] = {}
    stack: list[tuple[tuple[str, ...], h5py.h5g.GroupID]] = [(above, root.id)]
    count = 0
    try:
        end = int(h5py.h5i.get_file_id(root.id).get_filesize())
    except _BROKEN:
        raise ContainerError("is damaged", address=what) from None
    while stack:
        path, group = stack.pop()
        if len(path) > DEEPEST_GROUP:
            raise UnsafeError("groups are nested too deeply", address=what, expected=f"at most {DEEPEST_GROUP} levels")
        keys: list[bytes] = []
        try:
            place = h5py.h5o.get_info(group)
            if (place.fileno, place.addr) in seen:
                continue
            seen.add((place.fileno, place.addr))
            group.links.iterate(keys.append)
        except _BROKEN:
            raise ContainerError("a group is damaged", address=f"{what}: {quoted('/'.join(path))}") from None
        for key in keys:
            count += 1
            if count > MOST_OBJECTS:
                raise UnsafeError("too many groups and arrays", address=what, expected=f"at most {MOST_OBJECTS}")
            below = (*path, key.decode("utf-8", "surrogateescape"))  # a name need not be UTF-8
            try:
                link = group.links.get_info(key).type
                if link != h5py.h5l.TYPE_HARD:
                    kind = "a soft link" if link == h5py.h5l.TYPE_SOFT else "an external link"
                    yield below, _flawed(below, f"is {kind}; everything must be in the file itself")
                    continue
                thing = h5py.h5o.open(group, key)
            except _BROKEN:
                yield below, _flawed(below, "is damaged")
                continue
            if isinstance(thing, h5py.h5g.GroupID):
                stack.append((below, thing))
            elif isinstance(thing, h5py.h5d.DatasetID):
                yield below, _stored_array("/".join(below), thing, end, chunked)


def _flawed(path: tuple[str, ...], flaw: str) -> StoredArray:
    def read() -> Array:
        raise UnsafeError(flaw, address=quoted("/".join(path)))

    return StoredArray("/".join(path), (), "float32", read, 0, flaw)


def _stored_array(
    name: str, dataset: h5py.h5d.DatasetID, end: int, chunked: dict[tuple[int, int], str | None]
) -> StoredArray:
    """The header of one dataset, each part of it asked for once, and a way to its values.

    Args:
        end: the size of the file in bytes.
        chunked: the flaws of chunked datasets that were met before, by their place: one may have many names.
    """
    try:
        space, properties, type_ = dataset.get_space(), dataset.get_create_plist(), dataset.get_type()
        # h5py makes a NumPy dtype anew for each array, which takes as long as all else here, and they are all the same.
        kind = _FLOAT32 if type_.equal(h5py.h5t.IEEE_F32LE) else dataset.dtype
        stored, layout = int(dataset.get_storage_size()), properties.get_layout()
        shape: tuple[int, ...] = ()
        flaw: str | None = "has no values"
        if space.get_simple_extent_type() != h5py.h5s.NULL:
            shape = tuple(map(int, space.get_simple_extent_dims()))
            flaw = _flaw(dataset, properties, layout, math.prod(shape) * type_.get_size(), stored, end)
            if flaw is None and layout == h5py.h5d.CHUNKED and math.prod(shape):
                place = h5py.h5o.get_info(dataset)
                key = (place.fileno, place.addr)
                if key not in chunked:
                    chunked[key] = chunks.flaw(dataset, properties, shape, kind.itemsize, end)
                flaw = chunked[key]
        dtype = _dtype(dataset, kind, type_)
    except _BROKEN:
        return _flawed((name,), "is damaged")
    if flaw is None and dtype == "":
        flaw = f"holds values of type {quoted(kind, 40)} in a form that Keras does not store"

    def read() -> Array:
        return _values(dataset, name, kind, flaw, shape, None)

    def part(start: Box, size: Box) -> Array:
        return _values(dataset, name, kind, flaw, size, start)

    contiguous = flaw is None and layout == h5py.h5d.CONTIGUOUS and shape != ()
    return StoredArray(
        name,
        shape,
        dtype or "float32",
        read,
        stored,
        flaw,
        part if contiguous else None,
        proved_by_reading=flaw is None and layout != h5py.h5d.CONTIGUOUS,
    )


def _values(
    dataset: h5py.h5d.DatasetID, name: str, kind: np.dtype[Any], flaw: str | None, shape: Box, start: Box | None
) -> Array:
    """All values, which have this shape, or those of the box of this shape that begins at `start`."""
    if flaw:
        raise UnsafeError(flaw, address=quoted(name))
    try:
        values = np.empty(shape, kind)
        if start is not None:
            there = dataset.get_space()
            there.select_hyperslab(start, shape)
            dataset.read(h5py.h5s.create_simple(shape), there, values)
        elif values.size:
            properties = dataset.get_create_plist()
            if properties.get_layout() == h5py.h5d.CHUNKED:
                values = chunks.read(dataset, properties, shape, kind)
            else:
                dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
            flaw = _never_written(dataset, properties, values)
    except chunks.DamagedChunk as error:
        raise ContainerError(str(error), address=quoted(name)) from None
    except _BROKEN:
        raise ContainerError("its bytes are damaged", address=quoted(name)) from None
    if flaw:
        raise UnsafeError(flaw, address=quoted(name), hint=_REWRITE)
    if kind.kind == "V":
        bits = np.frombuffer(values.tobytes(), "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    return np.asarray(values, dtype=kind.newbyteorder("="))


def _never_written(dataset: h5py.h5d.DatasetID, properties: h5py.h5p.PropDCID, values: Array) -> str | None:
    """Why values look as if nobody had written them, where the header cannot tell; None if they do not.

    A compact array, and one whose chunks were allocated when it was declared, has values from the start: the fill value
    over and over. So has the end of an array that was made longer. Keras writes neither.
    """
    fill = np.zeros((), values.dtype)
    if properties.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED:
        properties.get_fill_value(fill)

    def is_fill(part: Array) -> bool:
        return part.tobytes() == fill.tobytes() * part.size

    if properties.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY and (
        is_fill(values) or properties.get_fill_time() == h5py.h5d.FILL_TIME_NEVER
    ):
        return _EARLY
    longest = dataset.get_space().get_simple_extent_dims(True)
    for axis, (length, most) in enumerate(zip(values.shape, longest, strict=True)):
        if most != length and is_fill(values.take([-1], axis)):
            return "can grow, and its end holds nothing that tells whether it was ever written"
    return None


def _dtype(dataset: h5py.h5d.DatasetID, kind: np.dtype[Any], type_: h5py.h5t.TypeID) -> str:
    """The name of the values' type; "" if Keras stores none like it.

    Args:
        kind: what h5py makes of the type. It takes a float of 24 bits for one of 32.
        type_: as it is stored.
    """
    two_bytes = kind.kind == "V" and kind.itemsize == 2
    if two_bytes and attribute(h5py.Dataset(dataset), "dtype", "dtype") == "bfloat16":
        return "bfloat16"
    if kind is not _FLOAT32 and kind.kind != "V" and not type_.equal(h5py.h5t.py_create(kind, logical=True)):
        return ""
    if kind.kind in "iu" or (kind.kind == "f" and kind.itemsize in (2, 4, 8)):
        return f"{_NUMBERS[kind.kind]}{8 * kind.itemsize}"
    return "bool" if kind.kind == "b" else ""


def _flaw(
    dataset: h5py.h5d.DatasetID, properties: h5py.h5p.PropDCID, layout: int, size: int, stored: int, end: int
) -> str | None:
    """Why the values of a dataset cannot be had from this file alone, by its header.

    Args:
        size, stored: bytes of all values, as declared and as they lie in the file.
        end: the size of the file in bytes.
    """
    if layout == h5py.h5d.VIRTUAL:
        return "is a virtual dataset, made of other arrays or files; everything must be in the file itself"
    if properties.get_external_count():
        return "is stored outside, in another file; everything must be in the file itself"
    if size and dataset.get_space_status() != h5py.h5d.SPACE_STATUS_ALLOCATED:
        return "was declared, but not (or not wholly) written; it would read as zeros"
    if size > ALWAYS_ALLOWED and size > LARGEST_EXPANSION * max(stored, 1):
        return f"declares {size // MIB} MiB of which {stored // 1024} KiB are stored"
    if layout != h5py.h5d.CHUNKED and stored < size:
        return f"declares {size} bytes of which {stored} are stored"
    if layout == h5py.h5d.CONTIGUOUS and size and dataset.get_offset() + size > end:
        return "lies beyond the end of the file"
    if layout == h5py.h5d.CONTIGUOUS and size and properties.get_alloc_time() == h5py.h5d.ALLOC_TIME_EARLY:
        return _EARLY  # and what it has then is whatever was in this place of the file before
    return None
