"""Checkpoints in TensorFlow's own format: `model.save_weights(path, save_format="tf")`, tf.train.Checkpoint, and
TensorFlow 1's Saver. They hold variables and no config.

A user may name the folder, the prefix (`folder/weights`), the index (`folder/weights.index`) or a data file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.checkpoint import Checkpoint, Content, Json, Node, Origin, tree_of
from tcn_migrate.containers.folder import has_member, member, read_member
from tcn_migrate.containers.object_graph import GraphNode, model_children, models_below, parse_object_graph, root_node
from tcn_migrate.containers.subclassed import HINT
from tcn_migrate.containers.tensor_bundle import TensorBundle, is_bundle_index, read_bundle
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, NamingError, UnsafeError, quoted

CONTAINER = "tf checkpoint"
MAX_STATE = 1 << 20
_DATA_FILE = re.compile(r"(.*)\.data-[0-9]{5}-of-[0-9]{5}")
_MODEL_PATH = re.compile(r'^[ \t]*model_checkpoint_path[ \t]*:[ \t]*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)


def matches(path: Path) -> bool:
    """Whether `path` is a checkpoint, or a folder with one: there is an index file that ends as a table does."""
    try:
        if path.is_dir():
            return has_member(path, "checkpoint") or bool(_indexes(path))
        prefix = prefix_of(path.name)
        return is_bundle_index(path.parent, f"{prefix}.index")
    except (OSError, ValueError):
        return False


def read(path: Path, architecture: Json | None = None) -> Checkpoint:
    """Read a checkpoint's index; the values stay where they are.

    Args:
        path: folder, prefix, index or data file.
        architecture: the model's config, `{"class_name": ..., "config": ...}`, as `model.to_json()` writes it.

    Raises:
        ArchitectureNeeded: without `architecture`.
        ContainerError, UnsafeError: as `tensor_bundle.read_bundle` and `assemble`; or the folder's `checkpoint` file
            names no checkpoint in it.
    """
    folder, prefix = (path, _latest(path)) if path.is_dir() else (path.parent, prefix_of(path.name))
    bundle = read_bundle(folder, prefix)
    if architecture is None:
        raise ArchitectureNeeded(
            "a TensorFlow checkpoint holds the weights alone, and no config of the model",
            address=quoted(f"{prefix}.index"),
            source=path,
        )
    return assemble(
        bundle,
        architecture,
        Origin(
            path=str(path),
            container=CONTAINER,
            keras_version=stored_version(architecture),
            content=Content(tuple(member(folder, name) for name in sorted(bundle.files()))),
        ),
    )


def assemble(
    bundle: TensorBundle,
    config: Json,
    origin: Origin,
    training: Json | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """The Checkpoint of a bundle and a model's config.

    Its `root` is the model's place in the object graph, wherever tf.train.Checkpoint put it (layout "graph"), or the
    tree of the variables' names where there is no graph (layout "saver").

    Raises:
        ContainerError: the object graph holds no such model, or several.
    """
    arrays = bundle.arrays()
    message = bundle.object_graph()
    root: Node
    if message is None:
        root = tree_of({tuple(key.split("/")): array for key, array in arrays.items()})
    else:
        root = _model(root_node(parse_object_graph(message), arrays), config)
    return Checkpoint(
        config=config,
        arrays=arrays,
        layout="saver" if message is None else "graph",
        root=root,
        origin=origin,
        training=training,
        hints=hints or {},
    )


def stored_version(config: Json) -> str | None:
    """The Keras version that `model.to_json()` writes beside the config."""
    version = config.get("keras_version")
    return version if isinstance(version, str) else None


def prefix_of(name: str) -> str:
    """The checkpoint's name in that of its index or of one of its data files; any other name is one already."""
    if data_file := _DATA_FILE.fullmatch(name):
        return data_file[1]
    return name.removesuffix(".index")


def _indexes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.glob("*.index") if is_bundle_index(folder, entry.name))


def _latest(folder: Path) -> str:
    """The prefix that the folder's `checkpoint` file names; without such a file the only one that there is."""
    indexes = _indexes(folder)
    if not has_member(folder, "checkpoint"):
        if len(indexes) == 1:
            return indexes[0].removesuffix(".index")
        raise ContainerError(
            "the folder holds several checkpoints and no `checkpoint` file that says which is the latest",
            found=", ".join(map(quoted, indexes[:5])),
            hint="Name one of them",
        )
    state = read_member(folder, "checkpoint", MAX_STATE).decode("utf-8", "replace")
    path = _MODEL_PATH.search(state)
    if path is None:
        raise ContainerError("the file `checkpoint` names no checkpoint", expected='model_checkpoint_path: "..."')
    prefix = _unescaped(path[1])
    parts = re.split(r"[/\\]", prefix)
    if prefix.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", prefix):
        parts = parts[-1:]  # TensorFlow 1's Saver writes where the folder was then; it has moved since
    elif ".." in parts:
        raise UnsafeError(
            "the file `checkpoint` points outside of its folder, where nothing is read",
            found=quoted(prefix),
            hint="Name the checkpoint itself",
        )
    prefix = "/".join(parts)
    if not has_member(folder, f"{prefix}.index"):
        raise ContainerError(
            "the checkpoint that the file `checkpoint` names is not in its folder",
            expected=quoted(f"{prefix}.index"),
            found=", ".join(map(quoted, indexes[:5])) or "no index file",
            hint="Name one of them" if indexes else None,
        )
    return prefix


def _unescaped(literal: str) -> str:
    """A string of protobuf's text format: UTF-8 bytes beyond ASCII are written as octal numbers."""
    simple = {"n": b"\n", "t": b"\t", "r": b"\r"}

    def byte(escape: re.Match[bytes]) -> bytes:
        code = escape[1].decode("ascii", "replace")
        return bytes([int(code, 8) & 0xFF]) if code.isdigit() else simple.get(code, escape[1])

    return re.sub(rb"\\([0-7]{1,3}|.)", byte, literal.encode("utf-8")).decode("utf-8", "replace")


def _model(root: GraphNode, architecture: Json) -> GraphNode:
    """The one model of the object graph that has the architecture's layers."""
    models = models_below(root)
    if len(models) == 1:
        return models[0][1]
    fitting = [(path, node) for path, node in models if _fits(node, architecture)]
    if len(fitting) == 1:
        return fitting[0][1]
    if not models:
        raise ContainerError(
            "the object graph holds no Functional or Sequential model",
            expected="an edge 'layer-0'",
            found=", ".join(quoted(name) for name, _ in zip(root.names(), range(8), strict=False)) or "no edges",
            hint=f"The weights are of a subclassed model, whose layers hang at attributes of its own. {HINT}",
        )
    raise ContainerError(
        f"the checkpoint holds {len(models)} models, and {len(fitting) or 'none'} of them fit the architecture",
        expected="one",
        found=", ".join(quoted("/".join(path)) for path, _ in (fitting or models)[:5]),
    )


def _fits(node: GraphNode, architecture: Json) -> bool:
    config = architecture.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list):
        return False
    names = [str(layer.get("name")) if isinstance(layer, dict) else "" for layer in layers]
    try:
        model_children(node, names, sequential=architecture.get("class_name") == "Sequential")
    except NamingError:
        return False
    return True
