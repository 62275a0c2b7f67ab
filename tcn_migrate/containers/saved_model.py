"""SavedModel folders that Keras 2 wrote (TensorFlow 1.15 to 2.15, tf_keras).

The variables are a checkpoint (`variables/variables.index`). The model's config is JSON beside the graph: in
`keras_metadata.pb` from TensorFlow 2.5 on, before that in the object graph of `saved_model.pb`. The functions of the
graph are not looked at here (TensorFlow would run them while loading); `tcn_migrate.serving_graph` takes them as data.

Source: keras/protobuf/saved_metadata.proto, tensorflow/core/protobuf/saved_model.proto and saved_object_graph.proto,
keras/saving/saved_model/json_utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tcn_migrate.checkpoint import Checkpoint, Content, Json, Origin
from tcn_migrate.containers.bounds import LARGEST_JSON, parse_json, parse_model
from tcn_migrate.containers.folder import has_member, member, read_member
from tcn_migrate.containers.object_graph import models_below, parse_children, parse_object_graph, root_node
from tcn_migrate.containers.protobuf import Allowance, fields, message_fields, text
from tcn_migrate.containers.subclassed import HINT
from tcn_migrate.containers.tensor_bundle import TensorBundle, read_bundle
from tcn_migrate.containers.tf_checkpoint import assemble, stored_version
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, MigrationError, UnsafeError, quoted

CONTAINER = "savedmodel"
GRAPH, METADATA, VARIABLES = "saved_model.pb", "keras_metadata.pb", "variables/variables"
EXPORTED = "assets/saved_model.json"
"""Where `tf.keras.experimental.export_saved_model` of TensorFlow 1.14 to 2.1 put the config."""
MAX_GRAPH = 256 << 20
MAX_METADATA = 64 << 20
MAX_OBJECTS = 100_000
MAX_DEPTH = 32
LARGEST_LAMBDAS = 4 << 20
"""Bytes of the metadata of all Lambdas of TCNs. Each has the Lambda's bytecode: some thousand bytes."""

_MODELS = {"_tf_keras_model", "_tf_keras_network", "_tf_keras_sequential"}
_LAYER = re.compile(r"layer(_with_weights)?-[0-9]+")
_EMPTY = memoryview(b"")


@dataclass(frozen=True)
class KerasObject:
    """What Keras noted of a model, layer or metric. `identifier` is its kind; `metadata` is JSON, not parsed yet."""

    identifier: str
    metadata: memoryview


Objects = Mapping[tuple[str, ...], KerasObject]
"""By the edges that lead to the object from the root, whose own key is ()."""


def matches(path: Path) -> bool:
    """Whether `path` is a folder with a SavedModel's files, or one of these files."""
    folder = _folder(path)
    return folder.is_dir() and (
        any(has_member(folder, name) for name in (GRAPH, METADATA)) or has_member(folder, f"{VARIABLES}.index")
    )


def read(path: Path, architecture: Json | None = None) -> Checkpoint:
    """Read a SavedModel's config and the index of its variables.

    Args:
        path: the folder, or its `saved_model.pb`.
        architecture: a model's config to take instead of the stored one.

    Returns:
        A Checkpoint of layout "graph". Its hint `last_step_closures` has for each TCN that takes its last step in a
        Lambda `lambda_layer` the closure of that Lambda, None or a list; by the TCN's address: names of nested models
        and the layer, `("inner_model", "tcn")`, and the attribute within wrappers, `("time_distributed", "layer")`.

    Raises:
        ArchitectureNeeded: no config is stored, as where `keras_metadata.pb` is missing.
        ContainerError: files are missing, damaged or of another kind; the model is a subclass that has no config.
        UnsafeError: files lead out of the folder, or are beyond the bounds.
    """
    folder = _folder(path)
    bundle = read_bundle(folder, VARIABLES)
    objects = _objects(folder)
    model = _model_metadata(objects)
    if architecture is not None:
        config = architecture
    elif model is not None:
        config = _config(model)
    elif has_member(folder, EXPORTED):
        config = parse_model(read_member(folder, EXPORTED, LARGEST_JSON), quoted(EXPORTED))
    else:
        raise _without_config(folder, bundle)
    files = [name for name in (GRAPH, METADATA, EXPORTED) if has_member(folder, name)]
    origin = Origin(
        path=str(path),
        container=CONTAINER,
        keras_version=stored_version(model or config),
        content=Content(tuple(member(folder, name) for name in sorted((*files, *bundle.files())))),
    )
    training = _plain((model or {}).get("training_config"))
    return assemble(
        bundle,
        config,
        origin,
        training=training if isinstance(training, dict) else None,
        hints={"last_step_closures": _last_step_closures(objects)},
    )


def _folder(path: Path) -> Path:
    return path.parent if path.name in (GRAPH, METADATA) and path.is_file() else path


def _without_config(folder: Path, bundle: TensorBundle) -> MigrationError:
    graph = bundle.object_graph()
    if graph is not None and not models_below(root_node(parse_object_graph(graph), {})):
        return ContainerError(
            "the SavedModel holds no Keras model: it was exported for serving, with variables that belong to nothing",
            hint="Migrate the .keras or .h5 file that it was exported from",
        )
    if has_member(folder, METADATA):
        reason = f"{METADATA} describes no model"
    else:
        reason = f"there is no {METADATA}, which TensorFlow 2.5 and later write beside {GRAPH}"
    return ArchitectureNeeded(f"the SavedModel holds no Keras config: {reason}", source=folder)


def _objects(folder: Path) -> Objects:
    """Keras's notes on the model and its layers, from whichever file has them; none if neither has."""
    if has_member(folder, METADATA):
        name, limit, parse = METADATA, MAX_METADATA, _objects_of_metadata
    elif has_member(folder, GRAPH):
        name, limit, parse = GRAPH, MAX_GRAPH, _objects_of_graph
    else:
        return {}
    content = read_member(folder, name, limit)
    try:
        return parse(content)
    except MigrationError as error:
        raise type(error)(
            f"the file cannot be read: {error.problem}",
            address=quoted(name),
            expected=error.expected,
            found=error.found,
        ) from None


def _objects_of_metadata(content: bytes) -> Objects:
    """TensorFlow 2.5 and later: SavedMetadata {1: nodes {3: path "root.layer-0", 4: identifier, 5: JSON}}."""
    objects: dict[tuple[str, ...], KerasObject] = {}
    allowance = Allowance()
    for node in message_fields(content, 1, allowance):
        stored = dict(fields(node, allowance))
        edges = text(stored.get(3, _EMPTY)).split(".", MAX_DEPTH)[1:]
        metadata = stored.get(5, _EMPTY)
        if isinstance(metadata, memoryview):
            objects[tuple(edges)] = KerasObject(text(stored.get(4, _EMPTY)), metadata)
        _check_number(objects)
    return objects


def _objects_of_graph(content: bytes) -> Objects:
    """Up to TensorFlow 2.4: SavedModel {2: meta graphs {7: SavedObjectGraph {1: nodes {1: children, 4: SavedUserObject
    {1: identifier, 3: JSON}}}}}."""
    allowance = Allowance()
    metas = message_fields(content, 2, allowance)
    graph = next((graph for meta in metas for graph in message_fields(meta, 7, allowance)), None)
    if graph is None:  # a graph of TensorFlow 1 without objects
        return {}
    nodes = list(message_fields(graph, 1, allowance))
    children = parse_children(nodes, allowance)
    objects: dict[tuple[str, ...], KerasObject] = {}
    seen = {0}
    level: list[tuple[tuple[str, ...], int]] = [((), 0)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[tuple[str, ...], int]] = []
        for path, number in level:
            for user_object in message_fields(nodes[number], 4, allowance):
                stored = dict(fields(user_object, allowance))
                metadata = stored.get(3, _EMPTY)
                if isinstance(metadata, memoryview) and len(metadata):
                    objects[path] = KerasObject(text(stored.get(1, _EMPTY)), metadata)
                    _check_number(objects)
            for name, child in children[number].items():
                if child not in seen:
                    seen.add(child)
                    below.append(((*path, name), child))
        level = below
    return objects


def _check_number(objects: Objects) -> None:
    if len(objects) > MAX_OBJECTS:
        raise UnsafeError("it describes too many layers", expected=f"at most {MAX_OBJECTS}")


def _model_metadata(objects: Objects) -> Json | None:
    """The metadata of the outermost model: the root's, or that of a model in a tf.Module."""
    models = sorted((path for path, stored in objects.items() if stored.identifier in _MODELS), key=len)
    if not models:
        return None
    outermost = [path for path in models if len(path) == len(models[0])]
    if len(outermost) > 1:
        raise ContainerError(
            "the SavedModel holds several models",
            expected="one",
            found=", ".join(quoted("/".join(path)) for path in outermost[:5]),
        )
    return _parsed(objects, outermost[0])


def _parsed(objects: Objects, path: tuple[str, ...]) -> Json:
    where = quoted(".".join(("root", *path)))
    metadata = parse_json(bytes(objects[path].metadata), f"the metadata of {where}")
    if not isinstance(metadata, dict):
        raise ContainerError("the metadata of a layer are no JSON object", address=where)
    return metadata


def _config(model: Json) -> Json:
    """The model's config, `{"class_name": ..., "config": ...}`, out of its metadata."""
    own = {"class_name": model.get("class_name"), "config": model.get("config")}
    built_from = own["config"]  # Keras builds from this one; `model_config` repeats it
    has_layers = isinstance(built_from, list) or (isinstance(built_from, dict) and "layers" in built_from)
    config = _plain(own if has_layers else model.get("model_config") or own)
    inner = config.get("config") if isinstance(config, dict) else None
    if not isinstance(inner, dict | list) or not isinstance(config.get("class_name"), str):
        raise ContainerError(
            "the SavedModel's metadata hold no config of the model", found=quoted(model.get("class_name", "no class"))
        )
    if isinstance(inner, dict) and "layers" not in inner:
        raise ContainerError(
            f"the model is of the class {quoted(config['class_name'])}, a subclass of keras.Model, "
            "and only its code says how its layers are connected",
            expected="a Functional or Sequential model",
            hint=HINT,
        )
    return {"class_name": config["class_name"], "config": inner}


def _plain(value: Any) -> Any:
    """JSON as `model.to_json()` has it: tuples and shapes, which SavedModels mark, as lists.

    Since: TensorFlow 2.2 (keras/saving/saved_model/json_utils.py).
    """
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"class_name", "items"} and value["class_name"] in ("__tuple__", "TensorShape"):
        return _plain(value["items"])
    return {key: _plain(item) for key, item in value.items()}


def _last_step_closures(objects: Objects) -> dict[tuple[str, ...], Any]:
    """What the Lambdas `lambda_layer` of TCNs closed over; only their JSON is looked at, never their bytecode.

    keras-tcn 2.9.1 returns `x[:, -1, :]` and closes over nothing (None); from 2.9.2 on it is the step's index ([7]).
    """
    closures: dict[tuple[str, ...], Any] = {}
    names: dict[tuple[str, ...], str] = {}
    read = 0
    for path in objects:
        if not path or path[-1] != "lambda_layer":
            continue
        read += len(objects[path].metadata)
        if read > LARGEST_LAMBDAS:
            raise UnsafeError("the metadata of Lambdas are too large", expected=f"at most {LARGEST_LAMBDAS} bytes")
        layer = _parsed(objects, path)
        config = _plain(layer.get("config"))
        function = config.get("function") if isinstance(config, dict) else None
        if layer.get("class_name") == "Lambda" and isinstance(function, list) and len(function) == 3:
            closures[_address(objects, path[:-1], names)] = function[2]
    return closures


def _address(objects: Objects, path: tuple[str, ...], names: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """A path of edges with the layers' names in place of `layer-1` and `layer_with_weights-0`.

    Args:
        names: those that are known already, and will be: one note may be large, and have many below it.
    """
    address = []
    for end, edge in enumerate(path, start=1):
        place = path[:end]
        if place not in names:
            named = _LAYER.fullmatch(edge) and place in objects
            name = _parsed(objects, place).get("name") if named else None
            names[place] = name if isinstance(name, str) else edge
        address.append(names[place])
    return tuple(address)
