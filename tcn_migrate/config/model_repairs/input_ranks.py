"""Nested models that Keras 2 called on an input with one axis more or less than they declare.

Keras 2 puts in a last axis of 1, or takes it away (`guards.shapes.conformed`). Keras 3 does so when it computes, but
not when it builds a model from its config.
"""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, is_tensor
from tcn_migrate.config.graph.entries import Address, is_entry, is_model, name_of
from tcn_migrate.config.graph.rewrite import Placing
from tcn_migrate.config.guards.shapes import Found, Shape, conformed, declared_inputs, input_shapes
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import SettingError, quoted


def conform_inputs(config: Json) -> tuple[Json, list[Repair]]:
    """The config with every nested model called on the rank that it declares.

    Since: Keras 2.3 (TensorFlow 2.2) does it; Keras 3 fails when it loads the file.
    Issue: "Kernel shape must have the same length as input", from `Functional.call()`.

    Args:
        config: a model in normal form, its operators replaced; it is not changed.

    Raises:
        SettingError: a model is called on a rank that it cannot take.
    """
    repairs: list[Repair] = []
    return _model(config, (), input_shapes(config), repairs), repairs


def _model(model: Json, address: Address, found: Found, repairs: list[Repair]) -> Json:
    """A model with its nested models settled, each call of them on its own."""
    layers = []
    for layer in model["config"]["layers"]:
        here = (*address, name_of(layer))
        if is_model(layer):
            layer = _model(layer, here, found, repairs)
        elif is_entry(inner := layer["config"].get("layer")) and is_model(inner):
            settled = _model(inner, (*here, "layer"), found, repairs)
            layer = {**layer, "config": {**layer["config"], "layer": settled}}
        layers.append(layer)
    settle = _in_a_chain if model["class_name"] == "Sequential" else _in_a_graph
    return {**model, "config": {**model["config"], "layers": settle(layers, address, found, repairs)}}


def _changes(layer: Json, address: Address, number: int, found: Found) -> list[tuple[int, Shape]]:
    """Which inputs of a call have to change, and their shapes: the number of each and what it is now."""
    given = found.models.get((address, number), [])
    wanted: list[tuple[int, Shape]] = []
    for place, (shape, declared) in enumerate(zip(given, declared_inputs(layer), strict=False)):
        if shape is None or declared is None or len(shape) == len(declared):
            continue
        if len(conformed(shape, declared) or ()) != len(declared):
            raise SettingError(
                "is called on an input of a rank that it does not take",
                address=f"model {quoted('/'.join(address))}",
                expected=_spoken(declared),
                found=_spoken(shape),
            )
        wanted.append((place, shape))
    return wanted


def _spoken(shape: Shape) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape or ())})"


def _in_a_graph(layers: list[Json], address: Address, found: Found, repairs: list[Repair]) -> list[Json]:
    drawing = Drawing(name_of(layer) for layer in layers)
    placing = Placing()
    for layer in layers:
        here, calls = (*address, name_of(layer)), []
        for number, call in enumerate(layer.get("inbound_nodes") or []):
            for place, shape in _changes(layer, here, number, found) if is_model(layer) else ():
                call, expanded = _changed(call, place, shape, layer, drawing)
                repairs.append(_repair(here, expanded))
            calls.append(call)
        placing.place_after_inputs([{**layer, "inbound_nodes": calls}] if "inbound_nodes" in layer else [layer])
        while drawing.entries:
            placing.place_after_inputs([drawing.entries.pop(0)])
    return placing.all()


def _changed(call: Json, place: int, shape: Shape, layer: Json, drawing: Drawing) -> tuple[Json, bool]:
    """A call with one of its inputs changed, and whether an axis was put in."""
    expanded = len(shape or ()) < len(declared_inputs(layer)[place] or ())
    kind, count = ("numpy.ExpandDims", "expanded") if expanded else ("numpy.Squeeze", "squeezed"), -1

    def changed(value: Any) -> Any:
        nonlocal count
        if is_tensor(value):
            count += 1
            name = f"{name_of(layer)}_input_{kind[1]}"
            return dict(drawing.operation(kind[0], value, name=name, axis=-1)) if count == place else value
        if isinstance(value, list):
            return [changed(item) for item in value]
        return {key: changed(item) for key, item in value.items()} if isinstance(value, dict) else value

    return {**call, "args": [changed(call["args"][0]), *call["args"][1:]]}, expanded


def _in_a_chain(layers: list[Json], address: Address, found: Found, repairs: list[Repair]) -> list[Json]:
    """In a Sequential, which holds no operations, a Reshape stands in front."""
    made: list[Json] = []
    for layer in layers:
        here = (*address, name_of(layer))
        for _, shape in _changes(layer, here, 0, found) if is_model(layer) else ():
            expanded = len(shape or ()) < len(declared_inputs(layer)[0] or ())
            sizes = [*(shape or ())[1:], 1] if expanded else [*(shape or ())[1:-1]]
            if sizes.count(None) > 1:
                raise SettingError(
                    "is called on an input with another rank, of which several sizes are open",
                    address=f"model {quoted('/'.join(here))}",
                )
            target = [-1 if size is None else size for size in sizes]
            own = {"name": f"{name_of(layer)}_input_reshaped", "trainable": True, "target_shape": target}
            made.append({"module": "keras.layers", "class_name": "Reshape", "config": own, "registered_name": None})
            repairs.append(_repair(here, expanded))
        made.append(layer)
    return made


def _repair(address: Address, expanded: bool) -> Repair:
    done = "put in" if expanded else "taken away"
    return Repair("/".join(address), "rank-of-an-input", f"the last axis of its input, of 1, is {done}, as Keras 2 did")
