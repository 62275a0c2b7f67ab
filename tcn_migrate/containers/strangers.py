"""Files that are no Keras checkpoints, recognized by their content, and the next step for whoever has one.

Nothing here is opened beyond its first bytes or its zip directory, and no pickle is ever loaded.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from tcn_migrate.containers.bounds import MIB
from tcn_migrate.containers.keras_zip import open_archive
from tcn_migrate.errors import MigrationError, quoted

START = 4096
"""How many bytes of a file are looked at."""

_EXPORTED = "an exported form does not hold the trained Keras model. Migrate the .h5, .keras or SavedModel it came from"
_ARCHIVED = "Unpack it, and give what is inside"
_OTHER_LIBRARY = "It was not written by Keras; load it with {}"
_PICKLE = (
    "A pickle runs code when it is loaded and is never opened here. If it holds a Keras model, load it in the "
    "environment that wrote it and call model.save('model.h5'), then migrate that file"
)

_MARKS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", _ARCHIVED),
    (b"BZh", "a bzip2 archive", _ARCHIVED),
    (b"7z\xbc\xaf", "a 7z archive", _ARCHIVED),
    (b"Rar!", "a RAR archive", _ARCHIVED),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive", _ARCHIVED),
    (b"\xfd7zXZ\x00", "an xz archive", _ARCHIVED),
    (b"\x93NUMPY", "a NumPy array", "An array alone has no layers; give the model's own file"),
)
"""How files begin, what they are, and what to do."""

_ZIPS: tuple[tuple[str, str, str], ...] = (
    (r"(?:[^/]+/)?constants\.pkl|(?:[^/]+/)?code/.*", "a TorchScript model", _OTHER_LIBRARY.format("torch.jit.load")),
    (r"(?:[^/]+/)?data\.pkl", "a PyTorch checkpoint", _OTHER_LIBRARY.format("torch.load(path, weights_only=True)")),
    (r"(?:[^/]+/)?saved_model\.pb|(?:[^/]+/)?variables/.*", "a SavedModel in a zip archive", _ARCHIVED),
    (r".*\.mlmodel", "a Core ML package in a zip archive", f"The file is an export, and {_EXPORTED}"),
    (r"[^/]+\.npy", "a NumPy .npz archive", "Arrays alone have no layers; give the model's own file"),
    (r".*\.(?:h5|hdf5|keras)", "a zip archive with checkpoints in it", _ARCHIVED),
)
"""Members of zip archives, what they tell, and what to do."""

_MEMBERS = 10_000


def recognize(path: Path) -> tuple[str, str] | None:
    """What a path that is no checkpoint is, and the next step; None if nothing is known of its content.

    Args:
        path: a file, or a folder.
    """
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        start = file.read(START)
    if not start:
        return "an empty file", "The copy or the download failed; get the file again from where it came"
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    for mark, what, step in _MARKS:
        if start.startswith(mark):
            return what, step
    return _text(start) or _binary(start)


def _folder(path: Path) -> tuple[str, str] | None:
    if (path / "Manifest.json").is_file() and (path / "Data" / "com.apple.CoreML").is_dir():
        return "a Core ML package", f"It is an export, and {_EXPORTED}"
    return None


def _zip(path: Path) -> tuple[str, str] | None:
    try:
        with open_archive(path) as archive:
            names = archive.namelist()[:_MEMBERS]
    except (MigrationError, OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
        return None
    if {"config.json", "model.weights.h5"}.intersection(names):
        return None
    for pattern, what, step in _ZIPS:
        if any(re.fullmatch(pattern, name) for name in names):
            return what, step
    return None


def _text(start: bytes) -> tuple[str, str] | None:
    head = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        size = re.search(rb"\nsize (\d{1,19})\b", start)
        large = f" ({int(size[1]) / MIB:.1f} MiB)" if size else ""
        return "a Git LFS pointer, not the file itself", f"Fetch the file{large}: git lfs pull"
    lower = head[:64].lower()
    if lower.startswith((b"<!doctype html", b"<html")):
        title = re.search(rb"<title[^>]*>([^<]{1,80})", start, re.IGNORECASE)
        said = f" with the title {quoted(title[1].decode('utf-8', 'replace').strip())}" if title else ""
        return f"a web page{said}", "The download failed; download the file itself (on GitHub: the Raw button)"
    if lower.startswith(b"<?xml"):
        return "an XML document", "If it is an answer of a storage service, the download failed; download it again"
    if head[:1] in (b"{", b"["):
        if b'"graph-model"' in start:
            return "a TensorFlow.js graph model", f"It is an export, and {_EXPORTED}"
        return (
            "JSON; a model's architecture holds no weights",
            "Give the weights, and this file with --architecture",
        )
    return None


def _binary(start: bytes) -> tuple[str, str] | None:
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model", f"It is an export, and {_EXPORTED}"
    if re.match(rb"\x80[\x02-\x05]", start):
        if b"numpy_array_wrapper" in start or b"joblib" in start:
            return "a pickle of joblib", _PICKLE
        if start[2:8] == b"\x8a\x0a\x6c\xfc\x9c\x46":
            return "a PyTorch checkpoint", _OTHER_LIBRARY.format("torch.load(path, weights_only=True)")
        return "a pickle", _PICKLE
    if start.startswith((b"(lp", b"ccopy_reg\n", b"(dp", b"ZF")) or re.match(rb"\x78[\x01\x5e\x9c\xda]", start):
        return "a pickle, or a compressed one of joblib", _PICKLE
    return _protobuf(start)


def _protobuf(start: bytes) -> tuple[str, str] | None:
    """ONNX's `ModelProto`, Core ML's `Model`, `SavedModel` and `GraphDef`, told apart by their first fields.

    onnx.proto3: ir_version = 1, producer_name = 2. Model.proto (coremltools): specificationVersion = 1, description
    = 2, whose first field is a list of messages that begin with a name. saved_model.proto: saved_model_schema_version
    = 1, meta_graphs = 2. graph.proto: node = 1, with name = 1 and op = 2.
    """
    version = re.match(rb"\x08[\x01-\x7f]\x12", start)
    if version:
        length, at = _varint(start, version.end())
        body = start[at : at + length]
        if 0 < length <= 64 and re.fullmatch(rb"[\w .+:/-]+", body):
            return "an ONNX model", f"It is an export, and {_EXPORTED}"
        if body[:1] == b"\x0a":
            inner, place = _varint(body, 1)
            if inner and body[place : place + 1] == b"\x0a":
                return "a Core ML model", f"It is an export, and {_EXPORTED}"
            return (
                "the graph of a SavedModel under another name",
                "Give the folder with saved_model.pb and variables/ as they were written",
            )
    if re.match(rb"\x0a", start):
        length, at = _varint(start, 1)
        node = start[at : at + length]
        if node[:1] == b"\x0a":
            name, place = _varint(node, 1)
            if node[place + name : place + name + 1] == b"\x12":
                return (
                    "a frozen graph of TensorFlow 1 (.pb)",
                    f"Its variables became constants, and it holds no Keras config: {_EXPORTED}",
                )
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(len(data), at + 5)):
        value |= (data[position] & 127) << shift
        shift += 7
        if data[position] < 128:
            return value, position + 1
    return 0, len(data)
