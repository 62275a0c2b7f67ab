"""TensorFlow's tensor bundle (`x.index` with `x.data-00000-of-00001`, ...), read without TensorFlow.

The index is a table of LevelDB's format: sorted keys, each with a BundleEntryProto that tells type, shape, and place in
a data file. Source: tensorflow/core/util/tensor_bundle, tensorflow/core/protobuf/tensor_bundle.proto, and
https://github.com/google/leveldb/blob/main/doc/table_format.md. Nothing that the index says is believed: sizes are
held against the files' own before anything is read, and each array against its checksum (masked CRC-32C) after.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tcn_migrate.checkpoint import StoredArray
from tcn_migrate.containers.crc32c import masked_crc32c
from tcn_migrate.containers.folder import open_member, read_member
from tcn_migrate.containers.protobuf import Allowance, fields, varint
from tcn_migrate.errors import ContainerError, UnsafeError, quoted

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""Key of the string that holds the object graph; bundles of TensorFlow 1's Saver have none."""

MAX_INDEX = 64 << 20
MAX_ENTRIES = 200_000
MAX_KEYS = 64 << 20
MAX_KEY = 1 << 14
MAX_GRAPH = 16 << 20
MAX_RANK = 32
"""Bounds of an index (its bytes, its keys, their length in all and each), of the object graph, and of a shape. 10 000
layers with Adam's slots have some 60 000 keys of 100 bytes, and an object graph of 8 MiB."""

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER = 48
_STRING = 7
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "object",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}


@dataclass(frozen=True)
class Entry:
    """A BundleEntryProto: what the index says of one tensor. `shape` is None where the rank is unknown."""

    dtype: int = 0
    shape: tuple[int, ...] | None = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    sliced: bool = False


@dataclass(frozen=True)
class TensorBundle:
    """A bundle whose index has been read, and none of its values.

    Attributes:
        folder: the container's folder; no file outside of it is opened.
        prefix: path of the bundle within the folder, without `.index`.
        entries: by key.
        shards: number of data files.
        byte_order: "<" or ">".
    """

    folder: Path
    prefix: str
    entries: Mapping[str, Entry]
    shards: int
    byte_order: Literal["<", ">"]

    def shard_name(self, shard: int) -> str:
        return f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"

    def files(self) -> tuple[str, ...]:
        """Names of the index and of the data files that entries point to, within the folder."""
        used = sorted({entry.shard for entry in self.entries.values()})
        return (f"{self.prefix}.index", *map(self.shard_name, used))

    def arrays(self) -> dict[str, StoredArray]:
        """Every tensor by its key, the object graph left out."""
        return {key: self._stored(key, entry) for key, entry in self.entries.items() if key != OBJECT_GRAPH}

    def object_graph(self) -> bytes | None:
        """The serialized TrackableObjectGraph, or None if the bundle has none."""
        entry = self.entries.get(OBJECT_GRAPH)
        return None if entry is None else self._scalar_string(OBJECT_GRAPH, entry)

    def _stored(self, key: str, entry: Entry) -> StoredArray:
        def read() -> np.ndarray[Any, Any]:
            return self._values(key, entry)

        dtype = _DTYPES.get(entry.dtype, f"type {entry.dtype}")
        return StoredArray(name=key, shape=entry.shape or (), dtype=dtype, read=read, stored_bytes=entry.size)

    def _values(self, key: str, entry: Entry) -> np.ndarray[Any, Any]:
        dtype = _DTYPES.get(entry.dtype)
        if entry.sliced or dtype in (None, "object") or entry.shape is None:
            what = (
                "a variable stored in slices" if entry.sliced else f"{dtype or f'TensorFlow type {entry.dtype}'} values"
            )
            raise ContainerError(
                "these values cannot be read", address=quoted(key), expected="one block of numbers", found=what
            )
        stored = np.dtype("uint16" if dtype == "bfloat16" else dtype)
        declared = math.prod(entry.shape) * stored.itemsize
        if declared != entry.size:
            raise ContainerError(
                f"shape {entry.shape} of {dtype} does not fit the stored size",
                address=quoted(key),
                expected=f"{declared} bytes",
                found=f"{entry.size} bytes",
            )
        content = self._bytes(key, entry)
        if masked_crc32c(content) != entry.crc32c:
            raise self._damaged(key)
        values = np.frombuffer(content, dtype=stored.newbyteorder(self.byte_order)).astype(stored).reshape(entry.shape)
        if dtype == "bfloat16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values

    def _scalar_string(self, key: str, entry: Entry) -> bytes:
        """Stored as its length (varint), the length's checksum (4 bytes), and its bytes; the entry's checksum takes the
        length as a fixed number of 4 bytes."""
        if entry.dtype != _STRING or entry.shape != () or entry.sliced:
            raise ContainerError("the object graph is not a string", address=quoted(key))
        if entry.size > MAX_GRAPH:
            raise UnsafeError(
                "the object graph is too large", address=quoted(key), expected=f"{MAX_GRAPH} bytes at most"
            )
        content = self._bytes(key, entry)
        length, start = varint(memoryview(content), 0)
        string = content[start + 4 :]
        if length != len(string):
            raise ContainerError(
                "the object graph is cut off",
                address=quoted(key),
                expected=f"{length} bytes",
                found=f"{len(string)} bytes",
            )
        if masked_crc32c(struct.pack("<I", length), content[start : start + 4], string) != entry.crc32c:
            raise self._damaged(key)
        return string

    def _bytes(self, key: str, entry: Entry) -> bytes:
        name = self.shard_name(entry.shard)
        with open_member(self.folder, name) as file:
            size = file.seek(0, 2)
            if entry.offset + entry.size > size:
                raise ContainerError(
                    f"{quoted(key)} lies beyond the end of the file: it is cut off, or the index lies",
                    address=quoted(name),
                    expected=f"at least {entry.offset + entry.size} bytes",
                    found=f"{size} bytes",
                    hint="Copy the checkpoint anew, with all of its files",
                )
            file.seek(entry.offset)
            content = file.read(entry.size)
        if len(content) != entry.size:
            raise ContainerError(f"{quoted(key)} could not be read whole", address=quoted(name))
        return content

    def _damaged(self, key: str) -> ContainerError:
        return ContainerError(
            "the stored bytes do not match their checksum: the file is damaged",
            address=quoted(key),
            hint="Copy the checkpoint anew from where it was written",
        )


def is_bundle_index(folder: Path, name: str) -> bool:
    """Whether the file `name` ends as a table does."""
    try:
        with open_member(folder, name) as file:
            file.seek(-len(_MAGIC), 2)
            return file.read() == _MAGIC
    except (ContainerError, UnsafeError, OSError):
        return False


def read_bundle(folder: Path, prefix: str) -> TensorBundle:
    """Read a bundle's index.

    Args:
        folder: the container's folder.
        prefix: path of the bundle within it, without `.index`.

    Raises:
        ContainerError: no index, no bundle, cut off, damaged, or a data file is missing or too short for its entries.
        UnsafeError: a file leads out of the folder, or its size or what it declares is beyond the bounds.
    """
    name = f"{prefix}.index"
    table = memoryview(read_member(folder, name, MAX_INDEX))
    entries: dict[str, Entry] = {}
    shards = 1
    byte_order: Literal["<", ">"] = "<"
    allowance = Allowance()
    try:
        for key, value in _table(table):
            if key == b"":
                shards, byte_order = _header(value, allowance)
            elif not key.startswith(b"\0"):  # the slices of a partitioned variable, which has an entry of its own
                entries[_key(key)] = _entry(value, allowance)
    except (ContainerError, UnsafeError) as error:
        raise type(error)(
            f"the index cannot be read: {error.problem}",
            address=quoted(name),
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        ) from None
    bundle = TensorBundle(folder, prefix, entries, shards, byte_order)
    _check_data_files(bundle)
    return bundle


def _check_data_files(bundle: TensorBundle) -> None:
    for entry in bundle.entries.values():
        if entry.shard >= bundle.shards:
            raise ContainerError(
                "the index points to a data file that it does not have",
                address=quoted(f"{bundle.prefix}.index"),
                expected=f"{bundle.shards} data files",
                found=f"number {entry.shard}",
            )
    ends: dict[int, int] = {}
    for entry in bundle.entries.values():
        ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)
    for shard, end in ends.items():
        name = bundle.shard_name(shard)
        try:
            with open_member(bundle.folder, name) as file:
                size = file.seek(0, 2)
        except ContainerError as error:
            raise ContainerError(
                f"the values of the variables cannot be read: {error.problem}",
                address=quoted(name),
                found=error.found,
                hint="Copy it from where the checkpoint was written: the index beside it has the variables' names only",
            ) from None
        if size < end:
            raise ContainerError(
                "the file with the values of the variables is cut off, or the index lies",
                address=quoted(name),
                expected=f"at least {end} bytes",
                found=f"{size} bytes",
                hint="Copy the checkpoint anew, with all of its files",
            )


def _header(value: memoryview, allowance: Allowance) -> tuple[int, Literal["<", ">"]]:
    shards = 0
    byte_order: Literal["<", ">"] = "<"
    for number, content in fields(value, allowance):
        if number == 1 and isinstance(content, int):
            shards = content
        elif number == 2:
            byte_order = ">" if content == 1 else "<"
    return shards, byte_order


def _key(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise ContainerError("a key is not UTF-8", found=quoted(key)) from None


def _entry(value: memoryview, allowance: Allowance) -> Entry:
    found: dict[str, Any] = {}
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size", 6: "crc32c"}
    for number, content in fields(value, allowance):
        if number == 2 and isinstance(content, memoryview):
            found["shape"] = _shape(content, allowance)
        elif number == 7:
            found["sliced"] = True
        elif number in names and isinstance(content, int):
            found[names[number]] = content
    return Entry(**found)


def _shape(value: memoryview, allowance: Allowance) -> tuple[int, ...] | None:
    shape: list[int] = []
    for number, content in fields(value, allowance):
        if number == 3 and content:
            return None
        if number == 2 and isinstance(content, memoryview):
            size = next((size for field, size in fields(content, allowance) if field == 1 and isinstance(size, int)), 0)
            if size >= 1 << 63 or len(shape) == MAX_RANK:
                raise ContainerError("a shape has a negative size or too many dimensions")
            shape.append(size)
    return tuple(shape)


def _table(table: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The keys and values of a LevelDB table in their order."""
    if len(table) < _FOOTER or table[-len(_MAGIC) :] != _MAGIC:
        raise ContainerError("it does not end as TensorFlow's index files do: it is cut off, or something else")
    footer = table[-_FOOTER:]
    _, position = _handle(footer, 0)  # the metaindex, which TensorFlow leaves empty
    index, _ = _handle(footer, position)
    end = entries = length = 0
    before: bytes | None = None
    for blocks, (_, handle) in enumerate(_block(table, index)):
        place, _ = _handle(handle, 0)
        if place[0] < end or blocks > MAX_ENTRIES:  # one behind the other, so that nothing is read twice
            raise ContainerError("its blocks overlap or are out of order")
        end = sum(place)
        for key, value in _block(table, place):
            entries, length = entries + 1, length + len(key)
            if entries > MAX_ENTRIES or length > MAX_KEYS:
                raise UnsafeError("it has too many or too long keys", expected=f"at most {MAX_ENTRIES} keys")
            if before is not None and key <= before:  # TensorFlow would take the first of two, or miss one by searching
                raise ContainerError("its keys do not rise, or one is there twice", found=quoted(key))
            before = key
            yield key, value


def _handle(data: memoryview, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(table: memoryview, handle: tuple[int, int]) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of one block.

    Keys are prefix-compressed. A block ends with its restart points, a byte that says how it is compressed, and a
    checksum.
    """
    offset, size = handle
    if size < 4 or offset + size + 5 > len(table):
        raise ContainerError("a block goes beyond the end of the file", found=f"{size} bytes from byte {offset} on")
    compression = table[offset + size]
    if masked_crc32c(table[offset : offset + size + 1]) != int.from_bytes(
        table[offset + size + 1 : offset + size + 5], "little"
    ):
        raise ContainerError("a block does not match its checksum: the file is damaged")
    if compression != 0:  # no TensorFlow since 1.2 writes compressed blocks
        raise ContainerError("a block is compressed, which is not supported", found=f"compression {compression}")
    block = table[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    if 4 * restarts + 4 > size:
        raise ContainerError("a block has more restart points than room")
    block = block[: size - 4 - 4 * restarts]
    key, position = b"", 0
    while position < len(block):
        shared, position = varint(block, position)
        added, position = varint(block, position)
        length, position = varint(block, position)
        if shared > len(key) or added + length > len(block) - position:
            raise ContainerError("an entry goes beyond the end of its block")
        if shared + added > MAX_KEY:
            raise UnsafeError("a key is too long", expected=f"at most {MAX_KEY} bytes", found=f"{shared + added} bytes")
        key = key[:shared] + bytes(block[position : position + added])
        position += added
        yield key, block[position : position + length]
        position += length
