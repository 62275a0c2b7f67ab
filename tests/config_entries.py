"""Entries of configs, as short as a test wants them."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import CLASSES
from tcn_migrate.config.graph.drawing import tensor

KEPT = {row.name: row.settings for row in CLASSES.values() if row.settings is not None}
"""The layer classes that Keras 3 has, with their settings."""


def layer(class_name: str, name: str, *inputs: str | tuple[str, int], **settings: Any) -> Json:
    """A built-in layer in normal form, called once on each of its inputs."""
    calls = [{"args": [tensor(*((i, 0) if isinstance(i, str) else i))], "kwargs": {}} for i in inputs]
    return {**inner(class_name, name=name, **settings), "name": name, "inbound_nodes": calls}


def inner(class_name: str, **settings: Any) -> Json:
    """A built-in layer in normal form, as it stands inside another layer or a Sequential model."""
    return {"module": "keras.layers", "class_name": class_name, "config": settings, "registered_name": None}


def source(name: str = "x", shape: tuple[int | None, ...] = (None, 8, 3)) -> Json:
    return layer("InputLayer", name, batch_shape=list(shape), dtype="float32", sparse=False)


def functional(*layers: Json, name: str = "model", outputs: list[Any] | None = None) -> Json:
    """A model of these layers; its outputs are the last one's, if nothing else is said."""
    inputs = [[entry["name"], 0, 0] for entry in layers if entry["class_name"] == "InputLayer"]
    config = {
        "name": name,
        "trainable": True,
        "layers": list(layers),
        "input_layers": inputs,
        "output_layers": outputs or [[layers[-1]["name"], 0, 0]],
    }
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": None,
    }


def sequential(*layers: Json, name: str = "sequential") -> Json:
    return {
        "module": "keras.src.models.sequential",
        "class_name": "Sequential",
        "config": {"name": name, "trainable": True, "layers": list(layers)},
        "registered_name": None,
    }


def old(class_name: str, name: str, *calls: Any, **settings: Any) -> Json:
    """A layer as Keras 2 writes it into a functional model; each call as stored."""
    return {"class_name": class_name, "config": {"name": name, **settings}, "name": name, "inbound_nodes": list(calls)}


def old_model(*layers: Json, outputs: list[Any] | None = None, **config: Any) -> Json:
    """A functional model as Keras 2 writes it."""
    inputs = [[entry["name"], 0, 0] for entry in layers if entry["class_name"] == "InputLayer"]
    ends = {"input_layers": inputs, "output_layers": outputs or [[layers[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "model", "layers": list(layers), **ends, **config}}


def old_source(name: str = "x", shape: tuple[int | None, ...] = (None, 8, 3)) -> Json:
    return old("InputLayer", name, batch_input_shape=list(shape), dtype="float32", sparse=False, ragged=False)
