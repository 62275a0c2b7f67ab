"""One model under way: the masks of its tensors, and the two repairs that everything is made of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.graph.drawing import Drawing, ends_in, history, tensors_in
from tcn_migrate.config.masks.terms import Inexpressible, Mask, Masks, Tensor
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import MigrationError, quoted


@dataclass
class Work:
    """What holds for a whole config, and what has been repaired in it."""

    passes: Callable[[Json], bool]
    still_passes: bool
    keras_version: KerasVersion | None
    repairs: list[Repair] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: its entry, the graph's own copy.
        number: the call's number.
        inputs: the references in its first argument, in order.
    """

    layer: Json
    number: int
    inputs: list[Json]

    @property
    def kind(self) -> str:
        return str(self.layer["class_name"])

    @property
    def config(self) -> Json:
        config: Json = self.layer["config"]
        return config

    @property
    def node(self) -> Json:
        node: Json = self.layer["inbound_nodes"][self.number]
        return node

    @property
    def kwargs(self) -> Json:
        kwargs: Json = self.node["kwargs"]
        return kwargs

    def output(self, index: int = 0) -> Tensor:
        return self.layer["name"], self.number, index


def ends(entry: Json, key: str) -> list[Tensor]:
    """The places that `input_layers` or `output_layers` of a functional model name, in order."""
    return list(ends_in(entry["config"].get(key, [])))


class Graph:
    """A functional model's layers (a copy), the masks of its tensors, and what is drawn into it.

    Attributes:
        old: the mask of every tensor that carries one in Keras 2.
        new: the same in Keras 3, with what has been repaired so far.
        instead: outputs that have been replaced, for all that is called on them later.
    """

    def __init__(self, entry: Json, work: Work, path: str, depth: int) -> None:
        self.work, self.path, self.depth = work, path, depth
        self.entry = entry
        self.layers: list[Json] = copy.deepcopy(entry["config"]["layers"])
        self.inputs, self.outputs = ends(entry, "input_layers"), ends(entry, "output_layers")
        self.drawing = Drawing(layer["name"] for layer in self.layers)
        self.masks = Masks(self.drawing)
        self.old: dict[Tensor, Mask] = {}
        self.new: dict[Tensor, Mask] = {}
        self.instead: dict[Tensor, Json] = {}
        self._bare: dict[Tensor, Json] = {}

    def mark(self, place: Tensor, old: Mask | None, new: Mask | None) -> None:
        """Say what masks a tensor carries."""
        if old is not None:
            self.old[place] = old
        if new is not None:
            self.new[place] = new

    def old_of(self, inputs: Sequence[Json]) -> list[Mask | None]:
        return [self.old.get(history(reference)) for reference in inputs]

    def new_of(self, inputs: Sequence[Json]) -> list[Mask | None]:
        return [self.new.get(history(reference)) for reference in inputs]

    def unclear(self, call: Call, why: str) -> Mask:
        return self.masks.number("unclear", *call.output(), why)

    # the two repairs

    def drop(self, call: Call, inputs: Sequence[Json]) -> None:
        """Let no mask of Keras 3 reach the layer."""
        for reference in inputs:
            place = history(reference)
            if place not in self.new:
                continue
            if place not in self._bare:
                name = f"{call.layer['name']}_without_mask"
                self._bare[place] = self.drawing.operation("numpy.Copy", copy.deepcopy(reference), name=name)
            reference["config"] = copy.deepcopy(self._bare[place]["config"])
            self.say(call, "mask-dropped", "gets its input without the mask, which Keras 3 would treat differently")

    def computed(self, mask: Mask, call: Call) -> Json:
        """The mask as a tensor, for the call to be given."""
        try:
            return self.masks.computed(mask, f"{call.layer['name']}_mask")
        except Inexpressible as reason:
            raise self.refusal(call, f"uses a mask that {reason}") from None

    def draw(self, call: Call, kind: str, *arguments: Any, **settings: Any) -> Json:
        return self.drawing.operation(kind, *arguments, name=f"{call.layer['name']}_mask", **settings)

    def use(self, call: Call, can_be_given: bool = True) -> Mask | None:
        """Make a layer see its input's mask as in Keras 2, and return that mask.

        Args:
            can_be_given: whether the class is known to take a `mask`.
        """
        given = list(tensors_in(call.kwargs.get("mask")))
        if given:
            return self.masks.number("given", history(given[0]))
        if isinstance(call.kwargs.get("mask"), list):
            return self.masks.number("constant", json.dumps(call.kwargs["mask"]))
        if not call.inputs:
            return None
        place = history(call.inputs[0])
        old, new = self.old.get(place), self.new.get(place)
        more = len(call.inputs) > 1 or len(call.node["args"]) > 1 or any(tensors_in(call.kwargs))
        if old is None:
            self.drop(call, call.inputs)
        elif not can_be_given and old != new:
            raise self.refusal(call, "is of a class of your own whose input would carry another mask")
        elif can_be_given and (old != new or more):
            call.kwargs["mask"] = self.computed(old, call)
            self.say(call, "mask-given", "gets the mask that Keras 2 found on its input; Keras 3 would find another")
        return old

    def passed_on(self, call: Call, mask: Mask | None) -> Mask | None:
        """The mask that leaves a layer of Keras 3 which passes it: up to 3.8 one that was given is not passed on."""
        return self.unclear(call, "given") if mask is not None and "mask" in call.kwargs else mask

    # words

    def say(self, call: Call, name: str, sentence: str) -> None:
        repair = Repair(self.path + call.layer["name"], name, f"{call.kind} {sentence}.")
        if repair not in self.work.repairs:
            self.work.repairs.append(repair)

    def refusal(self, call: Call, reason: str) -> MigrationError:
        return MigrationError(
            f"the mask that this layer used in Keras 2 cannot be given to it in Keras 3: it {reason}",
            address=f"layer {quoted(self.path + call.layer['name'])} (class {quoted(call.kind)})",
            hint="Rebuild the model without this mask, or with the mask as an input of its own",
        )

    # the result

    def finished(self) -> Json:
        """The functional model with everything that was drawn."""
        followed = self.entry["config"].get("output_layers", [])
        config = {**self.entry["config"], "layers": self._in_order(), "output_layers": self._followed(followed)}
        return {**self.entry, "config": config}

    def follow(self, node: Json) -> None:
        """Point a call at what stands instead of its inputs."""
        for reference in tensors_in([node["args"], node["kwargs"]]):
            if history(reference) in self.instead:
                reference["config"] = copy.deepcopy(self.instead[history(reference)]["config"])

    def _followed(self, value: Any) -> Any:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            place = (value[0], value[1], value[2])
            return list(history(self.instead[place])) if place in self.instead else value
        if isinstance(value, dict):
            return {key: self._followed(part) for key, part in value.items()}
        return [self._followed(part) for part in value] if isinstance(value, list) else value

    def _in_order(self) -> list[Json]:
        """The layers, with every operation right after the last of its inputs, as Keras 3.0 wants it."""
        place = {layer["name"]: index for index, layer in enumerate(self.layers)}
        behind: dict[int, list[Json]] = {}
        for operation in self.drawing.entries:  # drawn after what they are drawn on
            inputs = [history(reference)[0] for reference in tensors_in(operation["inbound_nodes"][0]["args"])]
            place[operation["name"]] = max(place[name] for name in inputs)
            behind.setdefault(place[operation["name"]], []).append(operation)
        return [entry for index, layer in enumerate(self.layers) for entry in [layer, *behind.get(index, [])]]
