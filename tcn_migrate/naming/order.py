"""The order in which Keras 3 lists the layers of a functional model, which numbers them in its weight store.

The order of the config is not asked: Keras sorts what it has built by the distance from the outputs, and where that is
equal by when it met a layer on its way up from the outputs. So an operation that is drawn into one of two branches
moves the layers before it to the front. Source: keras/src/ops/function.py, `map_graph`, the same from 3.0.5 to 3.15.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import history, is_tensor, tensor

Call = tuple[str, int]
"""A layer's name, and the number of its call."""


def ordered(entry: Json) -> Json:
    """The config with the layers of every functional model in it in Keras's order.

    Args:
        entry: a model or a layer, in normal form. It is not changed.
    """
    config = entry.get("config")
    if not isinstance(config, dict):
        return entry
    config = {
        key: ordered(value) if isinstance(value, dict) and "class_name" in value else value
        for key, value in config.items()
    }
    if isinstance(config.get("layers"), list):
        config["layers"] = [ordered(layer) for layer in config["layers"]]
        if entry.get("class_name") == "Functional":
            ranks = _ranks(config)
            config["layers"].sort(key=lambda layer: ranks.get(layer["name"], len(ranks)))
    return {**entry, "config": config}


def _ranks(config: Json) -> dict[str, int]:
    """The place of every layer that an output depends on, by its name."""
    calls = {layer["name"]: layer.get("inbound_nodes") or [] for layer in config["layers"]}

    def sources(call: Call) -> list[Call]:
        nodes = calls.get(call[0], [])
        return [history(t)[:2] for t in _tensors(nodes[call[1]])] if call[1] < len(nodes) else []

    finished: list[Call] = []  # what feeds a call stands before it
    entered: set[Call] = set()
    met: dict[str, int] = {}

    def enter(call: Call) -> tuple[Call, Iterator[Call]]:
        entered.add(call)
        met.setdefault(call[0], len(met))
        return call, iter(sources(call))

    for end in _ends(config["output_layers"]):
        start = history(end)[:2]
        way = [] if start in entered else [enter(start)]
        while way:
            call, left = way[-1]
            following = next((source for source in left if source not in entered), None)
            if following is None:
                way.pop()
                finished.append(call)
            else:
                way.append(enter(following))
    return _by_depth(finished, sources, met, config)


def _by_depth(
    finished: list[Call], sources: Callable[[Call], list[Call]], met: dict[str, int], config: Json
) -> dict[str, int]:
    depth_of_call: dict[Call, int] = {}
    depths: dict[str, int] = {}
    for call in reversed(finished):
        depth = max(depth_of_call.get(call, 0), depths.get(call[0], 0))
        depth_of_call[call] = depths[call[0]] = depth
        for source in sources(call):
            depth_of_call[source] = max(depth + 1, depth_of_call.get(source, 0))
    for end in _ends(config["input_layers"]):  # one that nothing uses
        name = history(end)[0]
        if name not in depths:
            depths[name], met[name] = 0, -1
    order = sorted(depths, key=lambda name: (-depths[name], met[name]))
    return {name: rank for rank, name in enumerate(order)}


def _tensors(value: Any) -> Iterator[Json]:
    """The tensors in a call's arguments, as Keras flattens them: dictionaries by sorted key."""
    if is_tensor(value):
        yield value
    elif isinstance(value, dict):
        for key in ("args", "kwargs") if set(value) == {"args", "kwargs"} else sorted(value):
            yield from _tensors(value[key])
    elif isinstance(value, list):
        for part in value:
            yield from _tensors(part)


def _ends(value: Any) -> Iterator[Json]:
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        yield tensor(*value)
    elif isinstance(value, list | dict):
        for part in value if isinstance(value, list) else [value[key] for key in sorted(value)]:
            yield from _ends(part)
