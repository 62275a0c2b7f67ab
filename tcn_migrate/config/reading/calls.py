"""The calls of a layer, from all forms in which Keras stored them to the one of Keras 3.

Keras 2 writes a call in one of these forms:

    [["a", 0, 0, {}], ["b", 0, 0, {}]]                  all inputs, each [layer, node, tensor, kwargs]
    ["a", 0, 0, {"y": 2.0, "name": null}]               one input, not in a list (TensorFlow 2.4 and later)
    ["_CONSTANT_VALUE", -1, 1.0, {"y": ["a", 0, 0]}]    the first argument is a constant; tensors among the kwargs
    {"p": ["a", 0, 0, {}], "q": ["b", 0, 0, {}]}        inputs in a dictionary

Keras 3 writes `{"args": [...], "kwargs": {...}}` with tensors as `{"class_name": "__keras_tensor__", ...}`.
Source: keras/src/engine/node.py `Node.serialize` (2.15), keras/src/models/functional.py `serialize_node` (3.x).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import is_tensor, tensor
from tcn_migrate.errors import ContainerError, UnsafeError, quoted

_CONSTANT = "_CONSTANT_VALUE"
_DATA = {"__tensor__", "__numpy__", "__slice__", "__ellipsis__", "__tuple__", "TensorShape", "__complex__", "__bytes__"}
"""Wrapped data among the arguments of a call, which runs nothing."""


def modern_node(stored: Any, first_node: dict[str, int], where: str) -> Json:
    """One call in Keras 3's form.

    Args:
        stored: the call as stored.
        first_node: every layer of the model, with the number that its first call has in this file.
        where: the called layer, safe to print.

    Raises:
        ContainerError: a form that no Keras wrote.
        UnsafeError: an argument that is neither data nor a tensor.
    """
    reader = _Reader(first_node, where)
    if isinstance(stored, dict) and {"args", "kwargs"} <= set(stored):
        arguments, keywords = stored["args"], stored["kwargs"]
        if not isinstance(arguments, list) or not isinstance(keywords, dict):
            raise reader.wrong(stored)
        return reader.call([reader.value(one) for one in arguments], reader.values(keywords))
    if isinstance(stored, list) and stored and isinstance(stored[0], str):
        first, keywords = reader.input(stored)
        return reader.call([first], keywords)
    first, keywords = reader.inputs(stored)
    return reader.call([first[0] if isinstance(first, list) and len(first) == 1 else first], keywords)


class _Reader:
    def __init__(self, first_node: dict[str, int], where: str) -> None:
        self.first_node, self.where = first_node, where

    def wrong(self, found: Any) -> ContainerError:
        return ContainerError(
            "a call of this layer has a form that no Keras wrote", address=self.where, found=quoted(found)
        )

    def call(self, arguments: list[Any], keywords: Json) -> Json:
        """Without `mask` and `training` where they say nothing: not every layer takes them in every release."""
        said = {key: value for key, value in keywords.items() if value is not None or key not in {"mask", "training"}}
        return {"args": arguments, "kwargs": said}

    def tensor(self, layer: Any, node: Any, index: Any) -> Json:
        if not isinstance(layer, str) or not _whole(node) or not _whole(index):
            raise self.wrong([layer, node, index])
        return tensor(layer, node - self.first_node.get(layer, 0), index)

    def input(self, stored: list[Any]) -> tuple[Any, Json]:
        """`[layer, node, tensor]` or `[layer, node, tensor, kwargs]`."""
        if not 3 <= len(stored) <= 4 or (len(stored) == 4 and not isinstance(stored[3], dict)):
            raise self.wrong(stored)
        keywords = {key: self.old_value(value) for key, value in stored[3].items()} if len(stored) == 4 else {}
        if stored[0] == _CONSTANT:
            return self.value(stored[2]), keywords
        return self.tensor(*stored[:3]), keywords

    def inputs(self, stored: Any) -> tuple[Any, Json]:
        """Inputs in lists and dicts as the layer takes them; each repeats the keyword arguments of the call."""
        if isinstance(stored, list) and stored and isinstance(stored[0], str):
            return self.input(stored)
        if isinstance(stored, list):
            read = [self.inputs(item) for item in stored]
            return [first for first, _ in read], next((keywords for _, keywords in read if keywords), {})
        if isinstance(stored, dict):
            named = {key: self.inputs(item) for key, item in stored.items()}
            merged = next((keywords for _, keywords in named.values() if keywords), {})
            return {key: first for key, (first, _) in named.items()}, merged
        raise self.wrong(stored)

    def old_value(self, value: Any) -> Any:
        """A keyword argument of Keras 2, where a tensor is `[layer, node, tensor]`."""
        if _is_reference(value, self.first_node):
            return self.tensor(*value[:3])
        if isinstance(value, list):
            return [self.old_value(item) for item in value]
        return self.value(value)

    def value(self, value: Any) -> Any:
        if is_tensor(value):
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, dict) else None
            if not isinstance(history, list) or len(history) != 3:
                raise self.wrong(value)
            read = self.tensor(*history)
            kept = {key: config[key] for key in ("shape", "dtype") if key in config and _is_plain(config[key])}
            return {**read, "config": {**read["config"], **kept}}
        if isinstance(value, dict):
            kind = value.get("class_name")
            if isinstance(kind, str) and kind not in _DATA:
                raise UnsafeError(
                    f"a call of this layer has an argument of class {quoted(kind)}, which is neither data nor a tensor",
                    address=self.where,
                )
            if kind == "__tuple__" or kind == "TensorShape":
                return [self.old_value(item) for item in value.get("items") or []]
            return self.values(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def values(self, values: Json) -> Json:
        return {key: self.value(item) for key, item in values.items()}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_reference(value: Any, layers: Collection[str]) -> bool:
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 4
        and isinstance(value[0], str)
        and value[0] in layers
        and _whole(value[1])
        and _whole(value[2])
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def modern_ends(stored: Any, first_node: dict[str, int], where: str) -> Any:
    """`input_layers` or `output_layers`: a list of `[layer, node, tensor]`, also where there is one; or a dict of them.

    Keras 3.12 and later write one end without the list around it; older releases cannot read that.
    """
    reader = _Reader(first_node, where)

    def read(value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "__tuple__":
            value = value.get("items")
        if isinstance(value, dict):
            return {key: read(item) for key, item in value.items()}
        if not isinstance(value, list) or not value:
            raise reader.wrong(value)
        if isinstance(value[0], str):
            if len(value) != 3:
                raise reader.wrong(value)
            return reader.tensor(*value)["config"]["keras_history"]
        return [read(item) for item in value]

    ends = read(stored)
    return [ends] if isinstance(ends, list) and isinstance(ends[0], str) else ends
