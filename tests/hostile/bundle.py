"""TensorFlow's folders, written number by number, so that they can lie: tensor bundles, object graphs, metadata."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.containers.crc32c import masked_crc32c
from tcn_migrate.containers.protobuf import fields, message_fields
from tcn_migrate.containers.tensor_bundle import _table, read_bundle
from tests.cases import FIXTURES

CHECKPOINT = FIXTURES / "keras2/checkpoint-tf215-354"
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
Keys = dict[bytes, bytes]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(*content: tuple[int, Any]) -> bytes:
    """A protocol buffer out of (number, int or bytes)."""
    out = b""
    for number, value in content:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def again(stored: bytes, **changed: int | bytes | None) -> bytes:
    """A message with fields replaced or, where they are None, left out; `f3=7` is field 3."""
    new = {int(name[1:]): value for name, value in changed.items()}
    kept = [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(stored)]
    content = [(number, value) for number, value in kept if number not in new]
    content += [(number, value) for number, value in new.items() if value is not None]
    return b"".join(
        varint(number << 3 | 5) + struct.pack("<L", value)
        if number == 6 and isinstance(value, int)
        # field 6 of an entry is its checksum, a number of four bytes
        else message((number, value))
        for number, value in sorted(content, key=lambda pair: pair[0])
    )


def keys_of(index: Path) -> Keys:
    return {bytes(key): bytes(value) for key, value in _table(memoryview(index.read_bytes()))}


def block(
    entries: Iterable[tuple[bytes, bytes]], kind: int = 0, checksum: int | None = None, restarts: int = 1
) -> bytes:
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    body += bytes(4 * min(restarts, 1)) + struct.pack("<L", restarts)
    return sealed(body, kind, checksum)


def sealed(body: bytes, kind: int = 0, checksum: int | None = None) -> bytes:
    tail = body + bytes([kind])
    return tail + struct.pack("<L", masked_crc32c(tail) if checksum is None else checksum)


def table(keys: Mapping[bytes, bytes], says: int | None = None, made: bytes | None = None, **lies: Any) -> bytes:
    """An index of one block; `says` is the size that is claimed for it, `made` another block in its place."""
    held = block(sorted(keys.items()), **lies) if made is None else made
    size = len(held) - 5 if says is None else says
    index = block([(b"~", varint(0) + varint(size))])
    empty = block([])
    footer = varint(len(held) + len(index)) + varint(len(empty) - 5) + varint(len(held)) + varint(len(index) - 5)
    return held + index + empty + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


Change = Callable[[Path, Any], Any]


def copied(source: Path, change: Change) -> Callable[[Any], Callable[[Path], None]]:
    """A copy of a folder, changed; for `Hostile.make`."""

    def make(place: Any) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            shutil.copytree(source, path)
            change(path, place)

        return write

    return make


def index_of(folder: Path) -> Path:
    return next(iter(sorted(folder.rglob("*.index"))))


def data_of(folder: Path) -> Path:
    return next(iter(sorted(folder.rglob("*.data-00000-of-00001"))))


def reindexed(change: Callable[[Keys], Any], **lies: Any) -> Change:
    """The index written anew with other keys; `lies` as for `table`."""

    def write(folder: Path, place: Any) -> None:
        index = index_of(folder)
        keys = keys_of(index)
        change(keys)
        index.write_bytes(table(keys, **lies))

    return write


def kernel_of(keys: Keys) -> bytes:
    """The key of the first array of rank 3."""
    return next(
        key
        for key, value in sorted(keys.items())
        if key and len([1 for n, dims in fields(value) if n == 2 for _ in message_fields(dims, 2)]) == 3
    )


def entry(**changed: int | bytes | None) -> Callable[[Keys], None]:
    """A kernel's entry changed: f1 type, f2 shape, f3 shard, f4 offset, f5 size, f6 checksum."""
    return lambda keys: keys.update({kernel_of(keys): again(keys[kernel_of(keys)], **changed)})


def shape(*sizes: int) -> bytes:
    return message(*((2, message((1, size))) for size in sizes))


def regraphed(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """The object graph of a bundle changed, node by node, and put behind the other values."""

    def write(folder: Path, place: Any) -> None:
        index, data = index_of(folder), data_of(folder)
        prefix = index.relative_to(folder).as_posix().removesuffix(".index")
        old = read_bundle(folder, prefix).object_graph()
        assert old is not None
        nodes = change([bytes(node) for node in message_fields(old, 1)])
        string = message(*((1, node) for node in nodes))
        length = struct.pack("<L", len(string))
        check = struct.pack("<L", masked_crc32c(length))
        start = data.stat().st_size
        content = varint(len(string)) + check + string
        data.write_bytes(data.read_bytes() + content)
        keys = keys_of(index)
        key = GRAPH_KEY.encode()
        total = masked_crc32c(length, check, string)
        keys[key] = again(keys[key], f4=start, f5=len(content), f6=total)
        index.write_bytes(table(keys))

    return write


def edge(name: str, number: int) -> bytes:
    """A child of a node of an object graph."""
    return message((1, message((1, number), (2, name.encode()))))


def noted(*notes: tuple[str, str, Any]) -> Change:
    """keras_metadata.pb with further notes: the path of an object, what kind it is, and its JSON."""

    def write(folder: Path, place: Any) -> None:
        file = folder / "keras_metadata.pb"
        more = b""
        for path, kind, metadata in notes:
            text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
            more += message((1, message((2, 9_000), (3, path.encode()), (4, kind.encode()), (5, text))))
        file.write_bytes(file.read_bytes() + more)

    return write


def renoted(change: Callable[[Any], Any]) -> Change:
    """The root's note in keras_metadata.pb changed."""

    def write(folder: Path, place: Any) -> None:
        file = folder / "keras_metadata.pb"
        out = b""
        for node in message_fields(file.read_bytes(), 1):
            stored = dict(fields(node))
            raw = bytes(node)
            if bytes(stored.get(3, b"")) == b"root":  # type: ignore[arg-type]
                metadata = json.loads(bytes(stored[5]))  # type: ignore[arg-type]
                change(metadata)
                raw = again(raw, f5=json.dumps(metadata).encode())
            out += message((1, raw))
        file.write_bytes(out)

    return write
