"""Folders of TensorFlow.js: `model.json`, and the values in shards beside it.

A layers model holds Keras's config and a manifest of plain arrays, by their variables' names without `:0` (tfjs-core,
src/io/types.ts: `ModelJSON`, `WeightsManifestConfig`; tensorflowjs, converters/keras_h5_conversion.py). The bytes of a
manifest group are those of its files in a row, and its arrays lie in them in order, without gaps, little-endian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Checkpoint, Content, Json, Origin, StoredArray, tree_of
from tcn_migrate.containers.bounds import DEEPEST_GROUP, LARGEST_JSON, MOST_OBJECTS, parse_json, parse_model
from tcn_migrate.containers.folder import has_member, member, open_member, read_member
from tcn_migrate.errors import ContainerError, NamingError, UnsafeError, quoted

MODEL = "model.json"
_SIZES = {"float32": 4, "float16": 2, "int32": 4, "uint8": 1, "uint16": 2, "bool": 1, "complex64": 8}
_MARK = b'"weightsManifest"'


def matches(path: Path) -> bool:
    """Whether a folder has a `model.json` with a manifest, or the file itself is one."""
    folder, name = _place(path)
    if not has_member(folder, name) or not (folder / name).is_file():
        return False
    try:
        with (folder / name).open("rb") as file:
            text = file.read(LARGEST_JSON)
    except OSError:
        return False
    return text.lstrip()[:1] == b"{" and _MARK in text


def _place(path: Path) -> tuple[Path, str]:
    return (path, MODEL) if path.is_dir() else (path.parent, path.name)


def read(path: Path, architecture: Json | None = None) -> Checkpoint:
    """The config and the arrays of a layers model.

    Args:
        path: the folder, or its `model.json`.
        architecture: a model's config to take instead of the stored one.

    Raises:
        ContainerError: a graph model, shards that are missing or too short, or quantized weights.
        UnsafeError: a shard that lies outside of the folder, or more arrays than any model has.
        NamingError: two arrays of one name.
    """
    folder, name = _place(path)
    content = parse_json(read_member(folder, name, LARGEST_JSON), quoted(name))
    topology = content.get("modelTopology") if isinstance(content, dict) else None
    manifest = content.get("weightsManifest") if isinstance(content, dict) else None
    if not isinstance(manifest, list):
        raise ContainerError("is no model of TensorFlow.js: its weightsManifest is no list", address=quoted(name))
    if content.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        raise ContainerError(
            "is a graph model of TensorFlow.js: a graph for serving, without Keras's layers",
            address=quoted(name),
            hint="Migrate the .h5, .keras or SavedModel that it was exported from",
        )
    stored = topology.get("model_config", topology) if isinstance(topology, dict) else None
    if architecture is None:
        import json

        architecture = parse_model(json.dumps(stored), f"{quoted(name)}: modelTopology")
    arrays, files = _arrays(folder, manifest)
    version = topology.get("keras_version") if isinstance(topology, dict) else None
    training = topology.get("training_config") if isinstance(topology, dict) else None
    return Checkpoint(
        config=architecture,
        arrays={array.name: array for array in arrays},
        layout="saver",
        root=tree_of({tuple(array.name.split("/")): array for array in arrays}),
        origin=Origin(
            str(path),
            "tensorflow.js",
            version if isinstance(version, str) else None,
            Content(tuple(member(folder, file) for file in sorted({name, *files}))),
        ),
        training=training if isinstance(training, dict) else None,
    )


@dataclass(frozen=True)
class _Shards:
    """The files of one group, read as one row of bytes.

    Attributes:
        folder: where they lie.
        parts: name and size in bytes of each.
    """

    folder: Path
    parts: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.parts)

    def read(self, start: int, count: int) -> bytes:
        """The bytes from `start` on.

        Raises:
            ContainerError: a file became shorter meanwhile.
        """
        pieces, begin = [], 0
        for name, size in self.parts:
            first, last = max(start, begin), min(start + count, begin + size)
            if first < last:
                with open_member(self.folder, name) as file:
                    file.seek(first - begin)
                    pieces.append(file.read(last - first))
            begin += size
        values = b"".join(pieces)
        if len(values) != count:
            raise ContainerError("the shards are shorter than they were", address=quoted(self.parts[0][0]))
        return values


def _arrays(folder: Path, manifest: list[Any]) -> tuple[list[StoredArray], list[str]]:
    """Every array of the manifest, and the names of the files that hold them."""
    found: dict[str, StoredArray] = {}
    files: list[str] = []
    for group in manifest:
        names = group.get("paths") if isinstance(group, dict) else None
        weights = group.get("weights") if isinstance(group, dict) else None
        texts = isinstance(names, list) and all(isinstance(item, str) for item in names)
        if not isinstance(names, list) or not texts or not isinstance(weights, list):
            raise ContainerError("a group of the weightsManifest has no paths or no weights")
        if len(weights) + len(found) > MOST_OBJECTS or len(names) + len(files) > MOST_OBJECTS:
            raise UnsafeError("the weightsManifest lists too many arrays or files", expected=f"at most {MOST_OBJECTS}")
        files += names
        shards = _Shards(folder, tuple((item, member(folder, item).stat().st_size) for item in names))
        place = 0
        for entry in weights:
            array = _array(entry, shards, place)
            if array.name in found:
                raise NamingError(f"the weightsManifest lists {quoted(array.name)} twice")
            found[array.name] = array
            place += array.stored_bytes
        if place > shards.size:
            raise ContainerError(
                "the shards are too short for the arrays that the manifest lists: the export or a copy was cut off",
                address=", ".join(quoted(item, 40) for item in names[:3]),
                expected=f"{place} bytes",
                found=f"{shards.size}",
                hint="Copy the whole folder again",
            )
    return list(found.values()), files


def _array(entry: Any, shards: _Shards, place: int) -> StoredArray:
    """One array of a group.

    Args:
        entry: what the manifest says of it.
        shards: the group's bytes.
        place: where it begins in them, in bytes.
    """
    name, shape, dtype = (entry.get(key) if isinstance(entry, dict) else None for key in ("name", "shape", "dtype"))
    sizes = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not isinstance(name, str) or not isinstance(shape, list) or not sizes or not isinstance(dtype, str):
        raise ContainerError("the weightsManifest describes an array without name, shape or dtype", found=quoted(entry))
    if name.count("/") > DEEPEST_GROUP:
        raise UnsafeError("the name of an array has too many parts", address=quoted(name))
    if "quantization" in entry:
        kind = entry["quantization"].get("dtype") if isinstance(entry["quantization"], dict) else None
        raise ContainerError(
            f"the weights were quantized to {quoted(kind)} when they were exported; the trained values are not in it",
            address=quoted(name),
            hint="Migrate the .h5, .keras or SavedModel that it was exported from, or export it without quantization",
        )
    if dtype not in _SIZES:
        raise ContainerError(
            "has a type without numbers", address=quoted(name), expected=", ".join(_SIZES), found=quoted(dtype)
        )
    count = math.prod(shape) * _SIZES[dtype]
    kind = np.dtype(dtype).newbyteorder("<")

    def values() -> Array:
        return np.frombuffer(shards.read(place, count), kind).astype(dtype, copy=False).reshape(shape)

    return StoredArray(name, tuple(shape), dtype, values, stored_bytes=count)
