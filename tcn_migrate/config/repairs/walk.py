"""Repairs of layers, one after the other, in every place where a layer can stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue import classes
from tcn_migrate.config.graph.drawing import is_tensor, tensor
from tcn_migrate.config.graph.entries import Address, free_name, is_entry, is_model, name_of
from tcn_migrate.config.repair import Repair
from tcn_migrate.config.repairs.change import Change, LayerRepair, Transform
from tcn_migrate.errors import SettingError, quoted


@dataclass
class Walk:
    """One walk through a config, and what it did.

    Attributes:
        index: the repairs, in their order.
        transforms: by the address of an array.
        repairs: as they were made.
    """

    index: Sequence[LayerRepair]
    transforms: dict[Address, Transform] = field(default_factory=dict)
    repairs: list[Repair] = field(default_factory=list)

    def model(self, entry: Json, address: Address) -> Json:
        """A model with its layers repaired."""
        layers: list[Json] = []
        taken = {name_of(layer) for layer in entry["config"]["layers"]}
        for layer in entry["config"]["layers"]:
            repaired, before = self.layer(layer, (*address, name_of(layer)))
            for front in before:
                named = _named(front, taken)
                repaired, named = _in_front(repaired, named) if "inbound_nodes" in repaired else (repaired, named)
                layers.append(named)
            layers.append(repaired)
        return {**entry, "config": {**entry["config"], "layers": layers}}

    def layer(self, entry: Json, address: Address) -> tuple[Json, list[Json]]:
        """A layer repaired, what it holds first; and the layers that have to go in front of it."""
        if is_model(entry):
            return self.model(entry, address), []
        if not classes.is_known(entry["class_name"]) and entry.get("module") != "keras.layers":
            return entry, []
        entry, before = self.held(entry, address)
        for repair in self.index:
            change = repair(entry)
            if change is None:
                continue
            entry = change.entry
            before.extend(change.before)
            self.note(repair, change, address)
        return entry, before

    def held(self, entry: Json, address: Address) -> tuple[Json, list[Json]]:
        """A layer with the layers inside it repaired."""
        config, before = dict(entry["config"]), []
        for key, value in config.items():
            if key.endswith("activation") and is_entry(value) and value["class_name"] == "Activation":
                continue  # a repair takes the function out of it
            if is_entry(value):
                config[key], front = self.layer(value, (*address, _ROLES.get((entry["class_name"], key), key)))
                before += [_wrapped(entry, one) for one in front]
            elif isinstance(value, list) and value and all(is_entry(item) for item in value):
                roles = [part.role for part in classes.parts(classes.LIST, {"items": value})]
                pairs = [self.layer(item, (*address, key, role)) for item, role in zip(value, roles, strict=True)]
                config[key] = [item for item, _ in pairs]
        entry = {**entry, "config": config}
        self.copy_transforms(entry, address)
        return entry, before

    def copy_transforms(self, entry: Json, address: Address) -> None:
        """What is done to an array is done to its copies, and to the layer for the other direction."""
        if entry["class_name"] == "Bidirectional" and not entry["config"].get("backward_layer"):
            forward = (*address, "forward_layer")
            for place, transform in list(self.transforms.items()):
                if place[: len(forward)] == forward:
                    self.transforms[(*address, "backward_layer", *place[len(forward) :])] = transform
        for variable in classes.variables(entry["class_name"], entry["config"]):
            twin = (*address, *(variable.copy_of or ()))
            if variable.copy_of and twin in self.transforms:
                self.transforms[*address, variable.name] = self.transforms[twin]

    def note(self, repair: LayerRepair, change: Change, address: Address) -> None:
        name = getattr(repair, "__name__", "repair").replace("_", "-")
        self.repairs.append(Repair("/".join(address), name, change.sentence))
        for place, transform in change.transforms.items():
            here = (*address, *place)
            self.transforms[here] = transform.after(self.transforms[here]) if here in self.transforms else transform


_ROLES = {("Bidirectional", "layer"): "forward_layer"}


def _named(front: Json, taken: set[str]) -> Json:
    """A new layer under a name that nothing in the model has."""
    return {**front, "config": {**front["config"], "name": free_name(name_of(front), taken)}}


def _wrapped(entry: Json, front: Json) -> Json:
    """What has to go in front of a wrapped layer goes in front of the wrapper, wrapped in the same way."""
    if entry["class_name"] != "TimeDistributed":
        raise SettingError(
            f"it holds a layer that needs a {front['class_name']} in front",
            address=f"layer {quoted(entry['config'].get('name'))}",
        )
    config = {**entry["config"], "name": f"{name_of(front)}_distributed", "layer": front}
    return {key: entry[key] for key in ("module", "class_name", "registered_name")} | {"config": config}


def _in_front(entry: Json, front: Json) -> tuple[Json, Json]:
    """Both with their calls, the new layer between the old one and its input."""
    name = name_of(front)
    made, calls = [], []
    for number, call in enumerate(entry["inbound_nodes"]):
        if not call["args"] or not is_tensor(call["args"][0]):
            raise SettingError("it is not called on one tensor", address=f"layer {quoted(name_of(entry))}")
        made.append({"args": [call["args"][0]], "kwargs": {}})
        calls.append({**call, "args": [tensor(name, number), *call["args"][1:]]})
    return {**entry, "inbound_nodes": calls}, {**front, "name": name, "inbound_nodes": made}
