"""HDF5 files of Keras: whole models, weights by layer name, and the weight store alone.

A whole model (`model.save("x.h5")`, and `x.keras` up to TensorFlow 2.12) has its config in an attribute and its arrays
under `model_weights`, a group for each layer of the outer model. A file of weights alone is that group, or
(`x.weights.h5` from TensorFlow 2.12 on) the store that a `.keras` archive has inside; both need an architecture.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import h5py

from tcn_migrate.checkpoint import Checkpoint, Content, Json, Origin, StoredArray, tree_of
from tcn_migrate.containers.bounds import DEEPEST_GROUP, MOST_OBJECTS, parse_json, parse_model
from tcn_migrate.containers.hdf5 import attribute, datasets, open_hdf5, text_list
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, NamingError, UnsafeError, quoted

VariablePath = tuple[str, ...]

STORE_ROOTS = ("layers", "_layer_checkpoint_dependencies")
"""Where the weight store keeps a model's layers: Keras 2.15 and 3, and Keras 2.12 to 2.14."""


def matches(path: Path) -> bool:
    """Whether there is HDF5 in the file: at its start, or behind a user block of 512 bytes or a doubling of it."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    with path.open("rb") as file:
        place = 0
        while place + 8 <= size:
            file.seek(place)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
            place = max(512, 2 * place)
    return False


def read(path: Path, architecture: Json | None = None) -> Checkpoint:
    """The checkpoint in an HDF5 file.

    Args:
        architecture: the model's config, for a file that holds weights alone.

    Raises:
        ContainerError: damaged, empty, or left behind by a save that failed.
        ArchitectureNeeded: weights alone, and no architecture.
    """
    file = open_hdf5(path, path.name)
    version = attribute(file, "keras_version", "file")
    config = attribute(file, "model_config", "file")
    training = attribute(file, "training_config", "file")
    names = text_list(file, "layer_names", "file")
    if config is None and names is None and len(file) == 0:
        raise ContainerError(
            "an HDF5 file without any content: a save failed and left it behind",
            found=f"{path.stat().st_size} bytes",
            hint="Look for an older copy; this one holds no weights",
        )
    if config is not None:
        weights = _group(file, "model_weights")
        if weights is None:
            raise ContainerError("holds a model's config, but no weights: the group model_weights is missing")
        names = text_list(weights, "layer_names", "model_weights")
        if names is None:
            raise ContainerError("model_weights has no layer_names; the file was not written to its end")
        version = version or attribute(weights, "keras_version", "model_weights")
        paths, rest = _by_layer(weights, names, "model_weights")
        optimizer = _group(file, "optimizer_weights")
        if optimizer is not None:
            rest |= dict(datasets(optimizer, "optimizer_weights", ("optimizer_weights",)))
        model, container, layout = parse_model(str(config), "model_config"), "hdf5 model", "names"
        if architecture is not None:
            model = architecture
    else:
        if architecture is None:
            raise ArchitectureNeeded("holds weights alone, without the model's architecture", source=path)
        model = architecture
        if names is not None:
            paths, rest = _by_layer(file, names, "file")
            container, layout = "hdf5 weights", "names"
        elif any(parts_of(name)[0] in STORE_ROOTS for name in file):
            paths, rest = weight_store(file, path.name), {}
            container, layout = "store weights", "store"
        else:
            raise ContainerError(
                "is HDF5, but not of Keras: it has neither layer_names nor layers",
                found=", ".join(quoted(name, 40) for name in list(file)[:6]) or "nothing",
            )
    arrays = {array.name: array for array in [*paths.values(), *rest.values()]}
    parsed = parse_json(training, "training_config") if isinstance(training, str) else None
    return Checkpoint(
        config=model,
        arrays=arrays,
        layout="names" if layout == "names" else "store",
        root=tree_of(paths),
        origin=Origin(str(path), container, version if isinstance(version, str) else None, Content((path,))),
        training=parsed if isinstance(parsed, dict) else None,
    )


def weight_store(root: h5py.Group, what: str) -> dict[VariablePath, StoredArray]:
    """Every array of Keras's own weight store, by its path.

    Keras 2.12 to 2.15 join a group's name with the separator of the system (`tf.io.gfile.join` in
    keras/src/saving/saving_lib.py), so that Windows wrote one group `layers\\tcn\\residual_blocks`; Keras 3 always
    writes `/`. A component of a path is the name of an attribute or of a class, which holds neither. The arrays keep
    the names that the file has.

    Raises:
        NamingError: two arrays have one path.
        UnsafeError: more levels than any checkpoint has.
    """
    paths: dict[VariablePath, StoredArray] = {}
    for stored, array in datasets(root, what):
        path = tuple(part for name in stored for part in parts_of(name))
        if len(path) > DEEPEST_GROUP:
            raise UnsafeError("groups are nested too deeply", address=what, expected=f"at most {DEEPEST_GROUP} levels")
        if path in paths:
            raise NamingError(
                f"two arrays have one path: {quoted(paths[path].name)} and {quoted(array.name)}, "
                "written with the separators of two systems",
                address=what,
            )
        paths[path] = array
    return paths


def parts_of(name: str) -> list[str]:
    """The components of a path in the weight store that a group's name holds: one, or on Windows all of them."""
    return name.split("\\")


def _group(parent: h5py.Group, name: str) -> h5py.Group | None:
    """A group right below `parent`, never by way of a link."""
    try:
        link = parent.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "an external link" if isinstance(link, h5py.ExternalLink) else "a soft link"
            raise UnsafeError(f"is {kind}; everything must be in the file itself", address=quoted(name))
        child = parent[name]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        raise ContainerError("is damaged", address=quoted(name)) from None
    return child if isinstance(child, h5py.Group) else None


def _descend(parent: h5py.Group, path: VariablePath) -> Any:
    """What lies at `path`, or None; links are refused."""
    here: Any = parent
    for part in path:
        if not isinstance(here, h5py.Group) or not part:
            return None
        try:
            link = here.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                return link
            here = here[part]
        except (OSError, RuntimeError, KeyError, ValueError, TypeError):
            raise ContainerError("is damaged", address=quoted("/".join(path))) from None
    return here


def _by_layer(
    weights: h5py.Group, names: list[str], what: str
) -> tuple[dict[VariablePath, StoredArray], dict[VariablePath, StoredArray]]:
    """The arrays that the layers' `weight_names` list, by (layer, *variable path), and all others below `weights`.

    A layer's name is one part of the path, even where it has slashes in it.

    Raises:
        NamingError: a name that is listed twice, as a save by Keras 3.0.5 leaves it.
    """
    listed: dict[VariablePath, StoredArray] = {}
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise NamingError(f"layer_names lists {quoted(twice[0])} twice", address=what)
    if len(names) > MOST_OBJECTS:
        raise UnsafeError("too many layers", address=what)
    rest = dict(datasets(weights, what))
    for name in names:
        group = _descend(weights, tuple(name.split("/")))
        if group is None:
            continue
        if not isinstance(group, h5py.Group):
            kind = "an external link" if isinstance(group, h5py.ExternalLink) else "a soft link or no group"
            raise UnsafeError(f"is {kind}; everything must be in the file itself", address=quoted(name))
        weight_names = text_list(group, "weight_names", quoted(name)) or []
        repeated = [weight for weight, count in Counter(weight_names).items() if count > 1]
        if repeated:
            raise NamingError(
                f"weight_names lists {quoted(repeated[0])} more than once, and only one array can have that name: "
                "the save failed half way (Keras 3.0 cannot write a TCN to HDF5) and left this file behind",
                address=f"layer {quoted(name)}",
                hint="The other arrays were never written; look for an older copy",
            )
        for weight in weight_names:
            if weight.startswith("/") or ".." in weight.split("/"):
                raise NamingError(
                    f"weight_names points out of the layer's group: {quoted(weight)}", address=f"layer {quoted(name)}"
                )
            array = rest.pop((*name.split("/"), *weight.split("/")), None)
            if array is not None:  # one that is listed and not there is missing; naming says which
                listed[(name, *weight.split("/"))] = array
    return listed, rest
