"""What enters each layer, as far as a config tells it: shapes followed through the model without Keras.

A config may promise its layers other features than their arrays were made for. Keras would find that out by making
variables of the promised size, so it is found out here. What this module does not know (most operations, images) it
leaves unknown, and unknown sizes agree with everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.catalogue.shapes import broadcast, sequence, times, whole
from tcn_migrate.config.graph.drawing import ends_in, history, in_order, is_tensor, tensors_in
from tcn_migrate.config.graph.entries import Address, is_model, name_of

Shape = tuple[int | None, ...] | None
"""None where not even the rank is known."""

_SAME_OPERATIONS = words(
    "Copy Flip Cast StopGradient Absolute Clip Exp Negative Relu Sigmoid Silu Sqrt Square Tanh Arcsinh Arctan Ceil Cos",
    "Cosh Erf Expm1 Floor Log Rsqrt Sign Sin Sinh Tan OnesLike ZerosLike",
)
_BROADCASTING = words("Add Divide Equal FloorDivide Maximum Minimum Multiply NotEqual Power Subtract TrueDivide Where")
_REDUCTIONS = words("Max Mean Min Prod Sum Var")


@dataclass
class Found:
    """What enters the layers and models of a config.

    Attributes:
        layers: for each layer the shapes that enter it, one a call.
        models: for each call of a nested model, by its address and number, the shapes of its inputs in order. A
            Sequential in a Sequential is called once.
    """

    layers: dict[Address, list[Shape]] = field(default_factory=dict)
    models: dict[tuple[Address, int], list[Shape]] = field(default_factory=dict)


def input_shapes(model: Json) -> Found:
    """The shapes that enter each layer and nested model.

    Args:
        model: a config in normal form, whose graphs were checked. A TCN's own config is as stored.
    """
    found = Found()
    _model(model, (), [], found)
    return found


def declared_inputs(model: Json) -> list[Shape]:
    """The shapes that a model declares for its inputs, in order."""
    config = model["config"]
    if model["class_name"] == "Sequential":
        first = config["layers"][0] if config["layers"] else None
        if first is not None and is_model(first):
            return declared_inputs(first)
        return [_declared(first) if first is not None and first["class_name"] == "InputLayer" else None]
    entries = {name_of(entry): entry for entry in config["layers"]}
    return [_declared(entries[end[0]]) if end[0] in entries else None for end in ends_in(config["input_layers"])]


def conformed(shape: Shape, declared: Shape) -> Shape:
    """The shape that a nested model of Keras 2 computes on: a last axis of 1 is put in or taken away.

    Source: keras/src/engine/functional.py, `_conform_to_reference_input` (2.15).

    Args:
        shape: of what the model is called on.
        declared: of its input.
    """
    if shape is None or declared is None:
        return declared if shape is None else shape
    if len(shape) == len(declared) + 1 and shape[-1] == 1:
        return shape[:-1]
    if len(shape) == len(declared) - 1 and declared[-1] == 1:
        return (*shape, 1)
    return shape


def _model(model: Json, address: Address, given: Sequence[Shape], found: Found) -> list[Shape]:
    declared = declared_inputs(model)
    entering = [conformed(given[n] if n < len(given) else None, own) for n, own in enumerate(declared)]
    if model["class_name"] == "Sequential":
        return [_chain(model["config"]["layers"], address, entering[0], found)]
    config = model["config"]
    made: dict[tuple[str, int], list[Shape]] = {}
    for end, shape in zip(ends_in(config["input_layers"]), entering, strict=True):
        made[end[0], 0] = [shape]
    for entry, number, sources in _in_order(config["layers"], made):
        name = name_of(entry)
        shapes = [_at(made[layer, node], index) for layer, node, index in sources]
        made[name, number] = _layer(entry, (*address, name), shapes, found, number)
    return [_at(made.get((name, node), []), index) for name, node, index in ends_in(config["output_layers"])]


def _in_order(
    layers: list[Json], known: Collection[tuple[str, int]]
) -> Iterator[tuple[Json, int, list[tuple[str, int, int]]]]:
    """The calls of a model's layers, each behind what it is called on; those that wait for what never comes left out.

    Args:
        known: calls whose outputs are there from the start.

    Yields:
        The layer, the number of its call, and the outputs that are its first argument; for an operation, all arguments.
    """
    calls, needs = {}, {}
    for entry in layers:
        for number, call in enumerate(entry.get("inbound_nodes") or []):
            arguments = (call.get("args") or []) if isinstance(call, dict) else []
            entering = arguments if is_operation(entry.get("module"), entry["class_name"]) else arguments[:1]
            sources = [history(tensor) for tensor in tensors_in(entering)]
            calls[name_of(entry), number] = (entry, number, sources)
            needs[name_of(entry), number] = {source[:2] for source in sources} - set(known)
    yield from (calls[call] for call in in_order(needs))


def _chain(entries: list[Json], address: Address, shape: Shape, found: Found) -> Shape:
    for entry in entries:
        if entry["class_name"] == "InputLayer":
            shape = _declared(entry) if shape is None else shape
        else:
            shape = _at(_layer(entry, (*address, name_of(entry)), [shape], found), 0)
    return shape


def _layer(entry: Json, address: Address, shapes: list[Shape], found: Found, number: int = 0) -> list[Shape]:
    if is_model(entry):
        found.models[address, number] = shapes
        return _model(entry, address, shapes, found)
    shape = shapes[0] if len(shapes) == 1 else None
    found.layers.setdefault(address, []).append(shape)
    if is_operation(entry.get("module"), entry["class_name"]):
        if entry["class_name"] in _BROADCASTING and _of_tensors_and_numbers(entry, number):
            return [broadcast(shapes, at=0)]
        if entry["class_name"] in _REDUCTIONS:
            return [_reduced(entry["config"], shape)]
        if entry["class_name"] == "Take":
            return [_reduced(entry["config"], shape) if _takes_one(entry, number) else None]
        if entry["class_name"] == "Cumsum":
            return [shape if isinstance(entry["config"].get("axis"), int) else None]
        return [shape] if entry["class_name"] in _SAME_OPERATIONS else []
    name, config = entry["class_name"], entry["config"]
    if name == "TimeDistributed":
        inside = None if shape is None or len(shape) < 3 else (shape[0], *shape[2:])
        inner = _at(_layer(config["layer"], (*address, "layer"), [inside], found), 0)
        return [None if inner is None or shape is None else (shape[0], shape[1], *inner[1:])]
    if name == "Bidirectional":
        forward = _at(_layer(config["layer"], (*address, "forward_layer"), [shape], found), 0)
        backward = config.get("backward_layer") or config["layer"]
        _layer(backward, (*address, "backward_layer"), [shape], found)
        if not forward or config.get("merge_mode", "concat") != "concat":
            return [forward or None if config.get("merge_mode") in ("sum", "mul", "ave") else None]
        return [(*forward[:-1], times(forward[-1], 2))]
    if name == "TCN":
        return [_of_tcn(config, shapes)]
    return [facts(name).output_shape(config, shapes)]


def _of_tensors_and_numbers(entry: Json, number: int) -> bool:
    """Whether nothing else is among the arguments of an operation's call, such as an array with axes of its own."""
    calls = entry.get("inbound_nodes") or []
    arguments = calls[number].get("args") or [] if number < len(calls) else []
    return bool(arguments) and all(is_tensor(one) or isinstance(one, int | float) for one in arguments)


def _takes_one(entry: Json, number: int) -> bool:
    """Whether a call of Take takes one element along an axis, so that the axis is gone."""
    arguments = entry["inbound_nodes"][number].get("args") or []
    return len(arguments) == 2 and isinstance(arguments[1], int) and isinstance(entry["config"].get("axis"), int)


def _reduced(config: Json, shape: Shape) -> Shape:
    """The shape without some axes, or with 1 in their place."""
    axes = config.get("axis")
    axes = axes if isinstance(axes, list) else [axes]
    if shape is None or not all(isinstance(axis, int) and -len(shape) <= axis < len(shape) for axis in axes):
        return None
    gone = {axis % len(shape) for axis in axes}
    if config.get("keepdims"):
        return tuple(1 if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _tcn_width(config: Json) -> Any:
    filters = config.get("nb_filters")
    return filters[-1] if isinstance(filters, list) and filters else filters


_of_tcn = sequence(_tcn_width)


def features_of(entry: Json, arrays: Callable[[str], tuple[int, ...] | None]) -> int | None:
    """How many features a built-in layer's arrays were made for; None if its class does not tell.

    Args:
        entry: the layer's.
        arrays: the shape of one of its variables by name, if it has it.
    """
    name, config = entry["class_name"], entry["config"]
    if config.get("data_format") == "channels_first":
        return None
    kernel = arrays("kernel")
    if kernel is None:
        if name == "BatchNormalization" and config.get("axis", -1) in (-1, [-1]):
            return next((shape[0] for v in ("moving_mean", "gamma", "beta") if (shape := arrays(v))), None)
        return None
    if name == "Dense":
        return kernel[0]
    if name == "Conv1D" and len(kernel) == 3:
        return kernel[1] * (whole(config.get("groups", 1)) or 1)
    return None


def layers_with_features(model: Json, address: Address = ()) -> Iterator[tuple[Address, Json]]:
    """Every layer that is no model, with its address; also those inside wrappers."""
    for entry in model["config"]["layers"]:
        here = (*address, name_of(entry))
        if is_model(entry):
            yield from layers_with_features(entry, here)
            continue
        yield here, entry
        for key in ("layer", "backward_layer"):
            inner = entry["config"].get(key)
            if isinstance(inner, dict) and "class_name" in inner and not is_model(inner):
                role = "forward_layer" if entry["class_name"] == "Bidirectional" and key == "layer" else key
                yield (*here, role), inner


def _declared(entry: Json) -> Shape:
    shape = entry["config"].get("batch_shape")
    return tuple(whole(size) for size in shape) if isinstance(shape, list) else None


def _at(shapes: Sequence[Shape], index: int) -> Shape:
    return shapes[index] if 0 <= index < len(shapes) else None
