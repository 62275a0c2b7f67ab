"""Any stored config in the form that Keras 3 reads in every release from 3.0.5 to 3.15.1; see `normal_form`.

Nothing here changes what a layer computes: that is for the repairs.
"""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.identity import Identity, identify
from tcn_migrate.config.catalogue.objects import kind_of
from tcn_migrate.config.graph.entries import free_name
from tcn_migrate.config.guards.size import MOST_LAYERS, check_bounds
from tcn_migrate.config.reading.calls import modern_ends, modern_node
from tcn_migrate.config.reading.dtypes import dtype_name
from tcn_migrate.config.reading.einsum import known_sizes
from tcn_migrate.config.reading.values import plain
from tcn_migrate.errors import ContainerError, UnknownLayerError, UnsafeError, quoted

_HELD = frozenset({"layer", "backward_layer", "cell"})
_HELD_LISTS = frozenset({"cells", "layers"})
_DEEPEST_MODELS = 40


def normal_form(stored: Json, *, keras_2: bool, custom_classes: frozenset[str] = frozenset()) -> Json:
    """A model's config in normal form.

    Args:
        stored: the model's `{"class_name", "config"}`; it is not changed.
        keras_2: whether Keras 2 wrote it, which counts the calls of nested models from 1.
        custom_classes: classes that the user supplies, with or without the package of their registered name.

    Returns:
        A Functional or Sequential entry, or the entry of a model class that the user supplies. Layers have `module`,
        `registered_name` and their calls in Keras 3's form; dtype policies are names; a Sequential model that was built
        from `batch_input_shape` has an InputLayer. What operations replace (Lambda, TFOpLambda, SlicingOpLambda,
        TensorFlowOpLayer) and TCN keep their config as stored.

    Raises:
        UnknownLayerError: a class that is neither built in nor supplied.
        UnsafeError: code among the settings, a class that holds it, or a config that would exhaust the machine.
        ContainerError: a config that no Keras wrote.
    """
    check_bounds(stored)
    entry = _Normalizer(keras_2, custom_classes).entry(stored, "the model", 0)
    if "layers" not in entry["config"] and entry["class_name"] not in {
        name.rpartition(">")[2] for name in custom_classes
    }:
        raise UnknownLayerError(f"the file holds a layer of class {quoted(entry['class_name'])} and not a model")
    return entry


class _Normalizer:
    """One walk through a config; it counts the layers that it has seen."""

    def __init__(self, keras_2: bool, custom_classes: frozenset[str]) -> None:
        self.keras_2, self.custom_classes = keras_2, custom_classes
        self.seen = 0

    def entry(self, stored: Any, where: str, depth: int) -> Json:
        """One model or layer, without its calls."""
        if not isinstance(stored, dict):
            raise ContainerError("a layer's entry is not a dictionary", address=where)
        self.seen += 1
        if self.seen > MOST_LAYERS:
            raise UnsafeError("the config holds too many layers", expected=f"at most {MOST_LAYERS}", found="more")
        if depth > _DEEPEST_MODELS:
            raise UnsafeError(
                "layers are nested too deeply", expected=f"at most {_DEEPEST_MODELS} levels", found="more"
            )
        config = stored.get("config")
        name = stored.get("name") or (config.get("name") if isinstance(config, dict) else None)
        where = f"layer {quoted(name)}" if isinstance(name, str) and depth else where
        identity = identify(stored, self.custom_classes, where, keras_2=self.keras_2)
        if identity.class_name == "Sequential" and isinstance(config, list):
            config = {"layers": config}  # keras <= 2.2.2
        if not isinstance(config, dict):
            raise ContainerError("a layer's config is not a dictionary", address=where)
        if identity.kind == "model":
            make = self.functional if identity.class_name == "Functional" else self.sequential
            config = make({**config, "name": name if isinstance(name, str) else None}, where, depth)
        else:
            config = self.settings(identity, config, where, depth)
        if identity.class_name == "EinsumDense":
            sizes = known_sizes(config.get("equation"), config.get("output_shape"), stored.get("build_config"))
            config = {**config, "output_shape": sizes}
        return {
            "module": identity.module,
            "class_name": identity.class_name,
            "config": config,
            "registered_name": identity.registered_name,
        }

    def functional(self, config: Json, where: str, depth: int) -> Json:
        layers = _layers(config, where)
        missing = [key for key in ("input_layers", "output_layers") if key not in config]
        if missing:
            raise ContainerError(f"the config of this model has no {missing[0]}", address=where)
        entries = [self.entry(layer, f"layer {number} of {where}", depth + 1) for number, layer in enumerate(layers)]
        names = [_name(layer, where) for layer in layers]
        from_zero = _called_as_first([config["output_layers"], *(layer.get("inbound_nodes") for layer in layers)])
        first_call = {
            name: int(self.counts_from_one(entry) and name not in from_zero)
            for name, entry in zip(names, entries, strict=True)
        }
        for entry, layer, name in zip(entries, layers, names, strict=True):
            calls = layer.get("inbound_nodes", [])
            if not isinstance(calls, list):
                raise ContainerError("the calls of this layer are not a list", address=f"layer {quoted(name)}")
            entry["name"] = name
            entry["inbound_nodes"] = [modern_node(call, first_call, f"layer {quoted(name)}") for call in calls if call]
        return {
            "name": config["name"] or "model",
            "trainable": config.get("trainable", True),
            "layers": entries,
            "input_layers": modern_ends(config["input_layers"], first_call, where),
            "output_layers": self.counted_from_zero(modern_ends(config["output_layers"], first_call, where), entries),
        }

    def counted_from_zero(self, ends: Any, entries: list[Json]) -> Any:
        """Keras 3 counts calls from 0, but those of a nested functional model that is an output from 1.

        Source: keras/src/models/functional.py, `get_config` (`kept_nodes`), 3.0.5 to 3.15.1. Reading, it subtracts 1
        from 3.3 on, so that 0 is the last call.
        """
        calls = {e["name"]: len(e["inbound_nodes"]) for e in entries if e["class_name"] == "Functional"}
        if self.keras_2 or not calls:
            return ends

        def counted(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: counted(item) for key, item in value.items()}
            if isinstance(value, list) and value and isinstance(value[0], str):
                name, number, index = value
                return [name, (number or calls[name]) - 1, index] if name in calls else value
            return [counted(item) for item in value]

        return counted(ends)

    def counts_from_one(self, entry: Json) -> bool:
        """Keras 2 counts the making of a nested model as its first call."""
        return self.keras_2 and entry["class_name"] in {"Functional", "Sequential"}

    def sequential(self, config: Json, where: str, depth: int) -> Json:
        layers = _layers(config, where)
        entries = [self.entry(layer, f"layer {number} of {where}", depth + 1) for number, layer in enumerate(layers)]
        normal: Json = {"name": config["name"] or "sequential", "trainable": config.get("trainable", True)}
        built_for = plain(config.get("build_input_shape"), "build_input_shape", where)
        shape = built_for if _is_shape(built_for) else None
        if entries and entries[0]["class_name"] != "InputLayer":
            shape, dtype = _input_of(layers[0], entries[0]) or (shape, "float32")
            if shape is not None:
                entries.insert(0, _input_layer(shape, dtype, entries))
        normal["layers"] = entries
        if shape is not None:
            normal["build_input_shape"] = shape
        return normal

    def settings(self, identity: Identity, config: Json, where: str, depth: int) -> Json:
        if identity.kind in {"tcn", "raw"}:
            return config
        if identity.kind == "custom":
            return {key: value for key, value in config.items() if key != "batch_input_shape"}
        settings = {key: self.setting(key, value, where, depth) for key, value in config.items()}
        given = settings.pop("batch_input_shape", None)
        if identity.class_name == "InputLayer" and given is not None:
            settings.setdefault("batch_shape", given)
        if "dtype" in settings and identity.kind == "layer":
            settings["dtype"] = dtype_name(settings["dtype"], where)
            if settings["dtype"] is None:
                del settings["dtype"]
        return settings

    def setting(self, key: str, value: Any, where: str, depth: int) -> Any:
        if key == "cell" and isinstance(value, list):
            value = {"class_name": "StackedRNNCells", "config": {"name": "stacked_rnn_cells", "cells": value}}
        if key in _HELD and isinstance(value, dict):
            return self.entry(value, where, depth + 1)
        if key in _HELD_LISTS and isinstance(value, list):
            return [self.entry(item, where, depth + 1) for item in value]
        if key.endswith("activation") and isinstance(value, dict) and isinstance(value.get("config"), dict):
            value = {key: item for key, item in value.items() if key != "build_config"}
            return self.entry(value, where, depth + 1) if not _is_code(value) else plain(value, key, where)
        return value if kind_of(key) else plain(value, key, where)  # objects are cleaned when settings are checked


def _called_as_first(stored: Any) -> set[str]:
    """The layers whose call number 0 is taken by something.

    Of a nested model that call is its making, and nothing takes it; but a Sequential that did not know its input was
    made without a call. Since: TensorFlow 1.15 and 2.1 (2.2 makes it when it is called, and counts that).
    """
    found, waiting = set(), [stored]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and value[1] == 0:
                found.add(value[0])
            waiting.extend(value)
    return found


def _is_code(value: Json) -> bool:
    return str(value.get("class_name")) in {"__lambda__", "__typespec__", "function", "type"}


def _layers(config: Json, where: str) -> list[Any]:
    layers = config.get("layers")
    if not isinstance(layers, list):
        raise ContainerError("the config of this model holds no layers", address=where)
    return layers


def _name(layer: Json, where: str) -> str:
    """A layer's name; functional models keep it beside the config, others inside."""
    config = layer.get("config")
    name = layer.get("name") or (config.get("name") if isinstance(config, dict) else None)
    if not isinstance(name, str) or not name:
        raise ContainerError("a layer has no name", address=where)
    return name


def _is_shape(value: Any) -> bool:
    """Of one input: a list of sizes, the first of them the batch's."""
    return isinstance(value, list) and bool(value) and all(size is None or type(size) is int for size in value)


def _input_of(stored: Json, entry: Json) -> tuple[list[int | None], str] | None:
    """Shape and dtype of what a Sequential model's first layer takes, as far as the layer itself says."""
    config = entry["config"]
    if entry["class_name"] in {"Functional", "Sequential"}:
        layers = config["layers"]
        first = layers[0] if layers and layers[0]["class_name"] == "InputLayer" else None
        if entry["class_name"] == "Functional" and isinstance(config["input_layers"], list):
            wanted = config["input_layers"][0][0] if len(config["input_layers"]) == 1 else None
            first = next((layer for layer in layers if layer["name"] == wanted), None)
        if first is None or not _is_shape(first["config"].get("batch_shape")):
            return None
        return first["config"]["batch_shape"], str(first["config"].get("dtype", "float32"))
    held = stored.get("config")
    given = held.get("batch_input_shape") if isinstance(held, dict) else None
    shape = plain(given, "batch_input_shape", "")
    if not _is_shape(shape):
        return None
    dtype = dtype_name(config.get("dtype"), f"layer {quoted(config.get('name'))}") or "float32"
    return shape, "float32" if dtype.startswith("mixed") else dtype


def _input_layer(shape: list[int | None], dtype: str, entries: list[Json]) -> Json:
    """Keras 2 names it after the layer behind it."""
    taken = {entry["config"].get("name") for entry in entries}
    name = free_name(f"{entries[0]['config'].get('name')}_input", taken)
    config = {"name": name, "batch_shape": shape, "dtype": dtype, "sparse": False}
    return {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
