"""Operations of Keras 3 as entries of a functional model's config, and how layers are replaced by them.

An operation is written as Keras 3 itself serialises one, restricted to what every release from 3.0.5 to 3.15.1 reads:

- Classes with settings of their own (`Max`, `Concatenate`, ...) take no `name` before Keras 3.11; without one they name
  themselves after their class. A name is written for them only where a layer of the model already has that name, for
  Keras refuses a model in which two have the same.
- `GetItem` with a list of slices as key is read from Keras 3.2 on (3.0 and 3.1 cannot read what they wrote themselves),
  so `sliced` uses `Take` and `Flip` wherever they say the same. `Take` gets no negative index: on TensorFlow, Keras
  3.0.5 compiles it to the first element.
- Keras 3.0.5 wants a layer's inputs to stand before it in the list, so an operation follows its last input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.errors import ContainerError

Key: TypeAlias = Sequence[int | slice | EllipsisType | None]
"""What stands between the brackets of `x[...]`."""

_DEEPEST = 50


def tensor(layer: str, node: int = 0, index: int = 0) -> Json:
    """A reference to a layer's output. Its shape is not looked at when a model is built from its config."""
    config = {"shape": [None], "dtype": "float32", "keras_history": [layer, node, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def is_tensor(value: object) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def history(reference: Json) -> tuple[str, int, int]:
    """Layer, node and output that a reference names."""
    layer, node, index = reference["config"]["keras_history"]
    return str(layer), int(node), int(index)


def is_functional(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") == "Functional" and isinstance(entry.get("config"), dict)


def is_sequential(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") == "Sequential" and isinstance(entry.get("config"), dict)


class _Drawn(dict[str, Any]):
    """A reference to an operation that was drawn; a replaced layer may have the same name."""


class Drawing:
    """A functional model's list of layers while operations are drawn into it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.layers = frozenset(names)
        self.taken = set(self.layers)
        self.entries: list[Json] = []

    def name(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that nothing in the model is called."""
        name, number = wanted, 0
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name

    def operation(self, kind: str, *arguments: Any, name: str, **settings: Any) -> Json:
        """Draw one operation and return its output.

        Args:
            kind: module and class below `keras.src.ops`, such as "numpy.Max".
            arguments: what it is called with: tensors, numbers, or lists of them.
            name: what to call it; a number is added if something has that name.
            settings: what the operation is made with.
        """
        module, class_name = kind.split(".")
        chosen = self.name(name)
        config: Json = dict(settings)
        own_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()
        if not settings or any(re.fullmatch(rf"{own_name}(_\d+)?", layer) for layer in self.layers):
            config = {"name": chosen, **settings}
        self.entries.append(
            {
                "module": f"keras.src.ops.{module}",
                "class_name": class_name,
                "config": config,
                "registered_name": None,
                "name": chosen,
                "inbound_nodes": [{"args": list(arguments), "kwargs": {}}],
            }
        )
        return _Drawn(tensor(chosen))


def sliced(drawing: Drawing, x: Json, key: Key, name: str) -> Json:
    """`x[key]`; `x` itself if the key takes everything."""
    takes_all = [element is ... or element == slice(None) for element in key]
    if all(takes_all):
        return x
    backwards = slice(None, None, -1)
    simple = all(
        everything or (isinstance(element, int) and not isinstance(element, bool)) or element == backwards
        for everything, element in zip(takes_all, key, strict=True)
    )
    if not simple or sum(element is ... for element in key) > 1:
        return drawing.operation("numpy.GetItem", x, [_written(element) for element in key], name=name)
    # An integer takes an axis away. Up to an ellipsis axes count from the front, so the last one goes first; behind it
    # they count from the back, so the first one goes first.
    split = key.index(...) if ... in key else len(key)
    steps = [(axis, key[axis]) for axis in reversed(range(split))]
    steps += [(axis - len(key), key[axis]) for axis in range(split + 1, len(key))]
    steps = [(axis, element) for axis, element in steps if element != slice(None)]
    for number, (axis, element) in enumerate(steps, start=1):
        own = name if number == len(steps) else f"{name}_axis_{axis}"
        backward = not isinstance(element, int) or element < 0
        if backward:
            x = drawing.operation("numpy.Flip", x, name=own if element == backwards else f"{own}_flip", axis=axis)
        if isinstance(element, int):
            x = drawing.operation("numpy.Take", x, -1 - element if backward else element, name=own, axis=axis)
    return x


def _written(element: int | slice | EllipsisType | None) -> Any:
    if isinstance(element, slice):
        config = {"start": element.start, "stop": element.stop, "step": element.step}
        return {"class_name": "__slice__", "config": config}
    if element is ...:
        return {"class_name": "__ellipsis__", "config": {}}
    return element


Build: TypeAlias = Callable[[Drawing, Json, Sequence[Any], Json, str], Sequence[Json]]
"""(drawing, layer entry, args, kwargs, name to use) -> the outputs of that call."""


def replace_layers(model: Json, wanted: Callable[[Json], bool], build: Build) -> Json:
    """The functional model with every wanted layer replaced, one set of operations for every call of it.

    The last operation of the first call keeps the layer's name. Everything else keeps its name, its place and the
    numbers of its calls.

    Args:
        model: an entry of class Functional in the normal form; it is not changed.
        wanted: says which layer entries are to go.
        build: draws what stands for one call, and returns its outputs.
    """
    config = model["config"]
    layers: list[Json] = config["layers"]
    if not any(wanted(layer) for layer in layers):
        return model
    goes = {layer["name"] for layer in layers if wanted(layer)}
    drawing = Drawing(layer["name"] for layer in layers if layer["name"] not in goes)
    outputs: dict[tuple[str, int, int], Json] = {}
    drawn: dict[str, list[list[Json]]] = {}
    for layer in layers:
        if layer["name"] in goes:
            drawn[layer["name"]] = []
            for number, node in enumerate(layer["inbound_nodes"]):
                drawing.entries = []
                results = build(drawing, layer, node["args"], node["kwargs"], layer["name"])
                drawn[layer["name"]].append(drawing.entries)
                outputs.update({(layer["name"], number, index): result for index, result in enumerate(results)})
    follow = _Follow(outputs)
    redrawn = Placing()
    for layer in layers:
        if layer["name"] not in goes:
            redrawn.place([{**layer, "inbound_nodes": follow.inside(layer["inbound_nodes"])}])
        for entries in drawn.get(layer["name"], []):
            redrawn.place_after_inputs(follow.inside(entries))
    inputs_and_outputs = {key: follow.ends(config[key]) for key in ("input_layers", "output_layers") if key in config}
    return {**model, "config": {**config, "layers": redrawn.all(), **inputs_and_outputs}}


class Placing:
    """A list of layers into which operations go as soon as what they are called on stands there."""

    def __init__(self) -> None:
        self.standing: dict[str, Json] = {}
        self.waiting: dict[str, list[list[Json]]] = {}

    def place(self, entries: list[Json]) -> None:
        ready = [entries]
        while ready:
            for entry in ready.pop():
                self.standing[entry["name"]] = entry
                for group in self.waiting.pop(entry["name"], []):
                    missing = self.missing(group)
                    if missing is None:
                        ready.append(group)
                    else:
                        self.waiting.setdefault(missing, []).append(group)

    def place_after_inputs(self, entries: list[Json]) -> None:
        missing = self.missing(entries)
        if missing is None:
            self.place(entries)
        else:
            self.waiting.setdefault(missing, []).append(entries)

    def missing(self, group: list[Json]) -> str | None:
        own = {entry["name"] for entry in group}
        named = (name for entry in group for name in _layers_named(entry["inbound_nodes"]))
        return next((name for name in named if name not in self.standing and name not in own), None)

    def all(self) -> list[Json]:
        """Everything placed; what still waits for its inputs comes last, for whoever checks the graph."""
        rest = [entry for groups in self.waiting.values() for group in groups for entry in group]
        return [*self.standing.values(), *rest]


def _layers_named(value: Any) -> Iterable[str]:
    if is_tensor(value):
        yield history(value)[0]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _layers_named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _layers_named(part)


class _Follow:
    """References to replaced layers, followed to what stands for them."""

    def __init__(self, outputs: dict[tuple[str, int, int], Json]) -> None:
        self.outputs = outputs

    def tensor(self, reference: Json) -> Json:
        seen = set()
        while not isinstance(reference, _Drawn) and (place := history(reference)) in self.outputs:
            if place in seen:
                raise ContainerError("Layers feed each other in a circle")
            seen.add(place)
            reference = self.outputs[place]
        return dict(reference)

    def inside(self, value: Any) -> Any:
        if is_tensor(value):
            return self.tensor(value)
        if isinstance(value, dict):
            return {key: self.inside(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self.inside(part) for part in value]
        return value

    def ends(self, value: Any) -> Any:
        """In `input_layers` and `output_layers` a reference is [layer, node, output]."""
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            return list(history(self.tensor(tensor(*value))))
        if isinstance(value, list):
            return [self.ends(part) for part in value]
        if isinstance(value, dict):
            return {key: self.ends(part) for key, part in value.items()}
        return value


def every_model(entry: Json, change: Callable[[Json, str], Json], path: str = "", depth: int = 0) -> Json:
    """The config with every model in it changed, the innermost first: nested ones, and those inside wrappers.

    Args:
        entry: a model, or a layer's entry.
        change: gets a Functional or Sequential entry and the names of the models around it, joined by "/".
    """
    if depth > _DEEPEST:
        raise ContainerError(f"Models are nested more than {_DEEPEST} deep")
    config = entry.get("config")
    if not isinstance(config, dict):
        return entry
    if is_functional(entry) or is_sequential(entry):
        inner = f"{path}{config.get('name')}/" if depth else ""
        layers = [every_model(layer, change, inner, depth + 1) for layer in config["layers"]]
        return change({**entry, "config": {**config, "layers": layers}}, inner)
    wrapped = config.get("layer")
    if isinstance(wrapped, dict):
        changed = every_model(wrapped, change, path, depth + 1)
        if is_sequential(wrapped) and is_functional(changed):
            changed = _with_one_output(changed)
        return {**entry, "config": {**config, "layer": changed}}
    return entry


def functional_of(sequential: Json) -> Json | None:
    """The Functional model that computes what a Sequential one does, or None if its input's shape is not in the file.

    A Sequential model cannot hold operations; a functional one can. Names stay as they are.
    """
    config = sequential["config"]
    layers: list[Json] = list(config["layers"])
    if not layers:
        return None
    if layers[0]["class_name"] != "InputLayer":
        first = layers[0]["config"]
        shape = first.get("batch_input_shape") or first.get("batch_shape") or config.get("build_input_shape")
        if shape is None:
            return None
        name = Drawing(_name_of(layer) for layer in layers).name(f"{config['name']}_input")
        dtype = first.get("dtype") if layers[0]["class_name"] != "Embedding" else "float32"
        own = {"name": name, "batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32"}
        layers.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": own, "registered_name": None})
    chain: list[Json] = []
    for layer in layers:
        nodes = [{"args": [tensor(chain[-1]["name"])], "kwargs": {}}] if chain else []
        chain.append({**layer, "name": _name_of(layer), "inbound_nodes": nodes})
    kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    ends = {"input_layers": [[chain[0]["name"], 0, 0]], "output_layers": [[chain[-1]["name"], 0, 0]]}
    return {
        **sequential,
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {**kept, "layers": chain, **ends},
    }


def _with_one_output(model: Json) -> Json:
    """The model's only output outside of a list, for a `TimeDistributed` around it.

    From Keras 3.9 to 3.15.1 a list of one output stays a list, and `TimeDistributed` then fails with "Cannot convert
    '5' to a shape". Before Keras 3.5 only the list is read, so nothing else is written this way.
    """
    (output,) = model["config"]["output_layers"]
    return {**model, "config": {**model["config"], "output_layers": output}}


def _name_of(layer: Json) -> str:
    return str(layer.get("name") or layer["config"]["name"])
