"""A model's graph, checked before anything follows it: names, references, and that no layer feeds itself."""

from __future__ import annotations

from collections import Counter

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.graph.drawing import Call, ends_in, history, in_order, tensors_in
from tcn_migrate.config.guards.size import MOST_LAYERS
from tcn_migrate.errors import ContainerError, UnsafeError, quoted

_MOST_OUTPUTS = 1_000
_MOST_CALLED = 10 * MOST_LAYERS
"""A model that calls another one twice, which calls another one twice, and so on, doubles its calls with each."""
_DEEPEST = 900
"""Keras follows a graph by recursion; Python ends that at 1 000 levels."""


def check_graphs(entry: Json) -> int:
    """Checks every model of a config in normal form, also those inside layers.

    Returns:
        How many layers are called when this one is, itself included.

    Raises:
        ContainerError: two layers of one name; a call on a layer, call or output that does not exist; a circle.
        UnsafeError: more layers in a row than Keras can follow, or models that call each other too often.
    """
    if not isinstance(entry.get("config"), dict):
        return 1
    config, called = entry["config"], 1
    for key in ("layer", "backward_layer"):
        if isinstance(config.get(key), dict):
            called += check_graphs(config[key])
    if entry["class_name"] not in {"Functional", "Sequential"}:
        return called
    layers = config["layers"]
    names = [str(layer.get("name") or layer["config"].get("name") or "") for layer in layers]
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ContainerError(f"{count} layers are called {quoted(name)}", address=f"model {quoted(config['name'])}")
    called += sum(check_graphs(layer) * max(1, len(layer.get("inbound_nodes") or [])) for layer in layers)
    if called > _MOST_CALLED:
        raise UnsafeError(
            "models that are called in models make too many calls",
            address=f"model {quoted(config['name'])}",
            expected=f"at most {_MOST_CALLED} calls",
        )
    if entry["class_name"] == "Functional":
        _check_calls(config)
    return called


def _check_calls(config: Json) -> None:
    calls = {
        layer["name"]: 1 if layer["class_name"] == "InputLayer" else len(layer["inbound_nodes"])
        for layer in config["layers"]
    }
    if sum(calls.values()) > MOST_LAYERS:
        raise UnsafeError("layers are called too often", expected=f"at most {MOST_LAYERS} calls", found="more")
    outputs = {layer["name"]: _most_outputs(layer["class_name"]) for layer in config["layers"]}
    needs: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for layer in config["layers"]:
        for number, call in enumerate(layer["inbound_nodes"]):
            where = f"layer {quoted(layer['name'])}"
            references = [history(tensor) for tensor in tensors_in(call)]
            if not references and not facts(layer["class_name"]).raw:
                # Keras would compute it at once, and `Zeros` of any size is an operation.
                raise ContainerError("is called, but on no output of a layer", address=where)
            needs[layer["name"], number] = {_existing(place, calls, outputs, where) for place in references}
    for key in ("input_layers", "output_layers"):
        for end in ends_in(config[key]):
            _existing(end, calls, outputs, f"{key} of model {quoted(config['name'])}")
    _check_order(needs)


def _most_outputs(class_name: str) -> int:
    """How many tensors a layer may give, as far as its class tells."""
    row = facts(class_name)
    one = class_name in ("TCN", "LegacyTCN") or (row.settings is not None and not row.several_outputs)
    return 1 if one else _MOST_OUTPUTS


def _existing(
    place: tuple[str, int, int], calls: dict[str, int], outputs: dict[str, int], where: str
) -> tuple[str, int]:
    name, number, index = place
    if name not in calls:
        raise ContainerError(f"takes the output of {quoted(name)}, a layer that does not exist", address=where)
    if not 0 <= number < calls[name]:
        raise ContainerError(
            f"takes the output of a call of {quoted(name)} that does not exist",
            address=where,
            expected=f"0 to {calls[name] - 1}" if calls[name] else "no call",
            found=number,
        )
    if not 0 <= index < outputs[name]:
        raise ContainerError(f"takes an output of {quoted(name)} that does not exist", address=where, found=index)
    return name, number


def _check_order(needs: dict[tuple[str, int], set[tuple[str, int]]]) -> None:
    """Refuses calls that feed themselves, and more in a row than Keras can follow."""
    waiting = {call: {need for need in wanted if need in needs} for call, wanted in needs.items()}
    depth: dict[Call, int] = {}
    for call in in_order(waiting):
        depth[call] = 1 + max((depth[need] for need in waiting[call]), default=0)
    if len(depth) < len(waiting):
        stuck = sorted({name for name, _ in waiting.keys() - depth.keys()})
        shown = ", ".join(quoted(name, 40) for name in stuck[:4])
        raise ContainerError(f"layers feed each other in a circle: {shown}")
    deepest = max(depth.values(), default=0)
    if deepest > _DEEPEST:
        raise UnsafeError(f"{deepest} layers feed each other in a row", expected=f"at most {_DEEPEST}")
