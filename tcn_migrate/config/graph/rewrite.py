"""A model's config with some of its layers replaced by operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, history, in_order, is_tensor, tensor, tensors_in
from tcn_migrate.config.graph.entries import name_of
from tcn_migrate.errors import ContainerError, quoted

_DEEPEST = 50


def is_functional(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") == "Functional" and isinstance(entry.get("config"), dict)


def is_sequential(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("class_name") == "Sequential" and isinstance(entry.get("config"), dict)


class Outputs(Protocol):
    """What stands for the outputs of a call, by number; mostly a list of tensors."""

    def __getitem__(self, index: int, /) -> Any: ...


Build: TypeAlias = Callable[[Drawing, Json, Sequence[Any], Json, str], Outputs]
"""(drawing, layer entry, args, kwargs, name to use) -> the outputs of that call. Among args and kwargs, what replaced
layers hand on is what `build` returned for them."""


def replace_layers(model: Json, wanted: Callable[[Json], bool], build: Build) -> Json:
    """The functional model with every wanted layer replaced, one set of operations for every call of it.

    Everything else keeps its name, its order and the numbers of its calls. Operations follow their last input, for
    Keras 3.0.5 wants a layer's inputs to stand before it in the list.

    Args:
        model: an entry of class Functional in the normal form; it is not changed.
        wanted: says which layer entries are to go.
        build: draws what stands for one call, and returns its outputs.

    Raises:
        ContainerError: the graph does not close, or two layers have one name.
    """
    config = model["config"]
    layers: list[Json] = config["layers"]
    goes = {layer["name"] for layer in layers if wanted(layer)}
    if not goes:
        return model
    if len({layer["name"] for layer in layers}) < len(layers):
        raise ContainerError("Two layers of one model have the same name")
    drawing = Drawing((layer["name"] for layer in layers if layer["name"] not in goes), goes)
    replaced = _Replaced({}, goes)
    groups: dict[str, list[list[Json]]] = {name: [] for name in goes}
    for layer, number, node in _in_order(layers, goes):
        drawing.entries = []
        arguments, keywords = replaced.inside(node["args"]), replaced.inside(node["kwargs"])
        outputs = build(drawing, layer, arguments, keywords, layer["name"])
        replaced.calls[layer["name"], number] = outputs
        groups[layer["name"]].append(drawing.entries)
    redrawn = Placing()
    for layer in layers:
        if layer["name"] in goes:
            for group in groups[layer["name"]]:
                redrawn.place_after_inputs(group)
        else:
            redrawn.place([{**layer, "inbound_nodes": replaced.inside(layer["inbound_nodes"], final=True)}])
    ends = {key: replaced.ends(config[key]) for key in ("input_layers", "output_layers") if key in config}
    return {**model, "config": {**config, "layers": redrawn.all(), **ends}}


def _in_order(layers: list[Json], goes: set[str]) -> Iterator[tuple[Json, int, Json]]:
    """The calls of the layers that go: (layer, number of the call, call), each after those that it builds on."""
    calls = {
        (layer["name"], number): (layer, number, node)
        for layer in layers
        if layer["name"] in goes
        for number, node in enumerate(layer["inbound_nodes"])
    }
    needs = {
        place: {
            (name, number)
            for name, number, _ in map(history, tensors_in([node["args"], node["kwargs"]]))
            if name in goes
        }
        for place, (_, _, node) in calls.items()
    }
    order = in_order(needs)
    yield from (calls[place] for place in order)
    left = calls.keys() - set(order)
    if left:
        waits = next(name for name, number in calls if (name, number) in left)
        raise ContainerError(f"Layer {quoted(waits)} is fed by itself, or by a call that does not exist")


class _Replaced:
    """The calls of replaced layers, and references to them followed to what stands for them."""

    def __init__(self, calls: dict[tuple[str, int], Outputs], goes: set[str]) -> None:
        self.calls, self.goes = calls, goes

    def tensor(self, reference: Json, final: bool) -> Any:
        name, number, index = history(reference)
        if name not in self.goes:
            return reference
        try:
            if index < 0:
                raise IndexError
            output = self.calls[name, number][index]
        except (KeyError, IndexError):
            raise ContainerError(f"Layer {quoted(name)} has no output {index} of call {number}") from None
        if final and not is_tensor(output):
            raise ContainerError(f"What layer {quoted(name)} computes is no tensor that a layer can be called on")
        return dict(output) if final else output

    def inside(self, value: Any, final: bool = False) -> Any:
        """The value with every reference followed; `final` if nothing but tensors may come of it."""
        if is_tensor(value):
            return self.tensor(value, final)
        if isinstance(value, dict):
            return {key: self.inside(part, final) for key, part in value.items()}
        if isinstance(value, list):
            return [self.inside(part, final) for part in value]
        return value

    def ends(self, value: Any) -> Any:
        """In `input_layers` and `output_layers` a reference is [layer, node, output]."""
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            return list(history(self.tensor(tensor(*value), final=True)))
        if isinstance(value, list):
            return [self.ends(part) for part in value]
        if isinstance(value, dict):
            return {key: self.ends(part) for key, part in value.items()}
        return value


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
        named = (name for entry in group for name, _, _ in map(history, tensors_in(entry["inbound_nodes"])))
        return next((name for name in named if name not in self.standing and name not in own), None)

    def all(self) -> list[Json]:
        """Everything placed; what still waits for its inputs comes last, for whoever checks the graph."""
        rest = [entry for groups in self.waiting.values() for group in groups for entry in group]
        return [*self.standing.values(), *rest]


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
        name = Drawing(name_of(layer) for layer in layers).name(f"{config['name']}_input")
        dtype = first.get("dtype") if layers[0]["class_name"] != "Embedding" else "float32"
        own = {"name": name, "batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32"}
        layers.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": own, "registered_name": None})
    chain: list[Json] = []
    for layer in layers:
        nodes = [{"args": [tensor(chain[-1]["name"])], "kwargs": {}}] if chain else []
        chain.append({**layer, "name": name_of(layer), "inbound_nodes": nodes})
    kept = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    ends = {"input_layers": [[chain[0]["name"], 0, 0]], "output_layers": [[chain[-1]["name"], 0, 0]]}
    return {
        **sequential,
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {**kept, "layers": chain, **ends},
    }
