"""Models: the walk through one, models nested in it, and layers that wrap others."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts, is_known
from tcn_migrate.config.graph.drawing import history, tensors_in
from tcn_migrate.config.graph.rewrite import functional_of, is_functional, is_sequential
from tcn_migrate.config.masks.graph import Call, Graph, Work, ends
from tcn_migrate.config.masks.layers import returns_sequences, source, visit
from tcn_migrate.config.masks.terms import Mask
from tcn_migrate.errors import ContainerError, MigrationError, quoted

_DEEPEST = 50


@dataclass(frozen=True)
class Repaired:
    """A model after the walk: its entry, and its graph, which knows the masks of its outputs."""

    entry: Json
    graph: Graph


def repair_model(entry: Json, masked: Sequence[bool], work: Work, path: str = "", depth: int = 0) -> Repaired:
    """Repair one model and all in it.

    Args:
        entry: a Functional or Sequential one; it is not changed.
        masked: which of its inputs carry a mask (the same in Keras 2 and in Keras 3); none if there are fewer.
        path: the names of the models around it, each with a "/".
    """
    if depth > _DEEPEST:
        raise ContainerError(f"Models are nested more than {_DEEPEST} deep")
    whole = entry
    if is_sequential(entry):
        whole = functional_of(entry) or _of_unknown_shape(entry)
    elif not is_functional(entry):  # a model class of the user's own
        return Repaired(entry, Graph({**entry, "config": {"layers": []}}, work, path, depth))
    walk = _Walk(whole, work, path, depth)
    for number, (place, has) in enumerate(zip(walk.inputs, masked, strict=False)):
        if has:
            walk.mark(place, walk.masks.number("input", number), walk.masks.number("input", number))
    walk.walk()
    return Repaired(_written(walk, entry), walk)


def _of_unknown_shape(sequential: Json) -> Json:
    """A Sequential model that never learnt its input's shape: good enough to walk, not to write."""
    config = {**sequential["config"], "build_input_shape": [None]}
    return functional_of({**sequential, "config": config}) or {**sequential, "config": {**config, "layers": []}}


def _written(walk: _Walk, entry: Json) -> Json:
    """The model with what was repaired, `entry` itself if nothing was; a Sequential stays one unless it has to."""
    if walk.drawing.entries:
        if is_sequential(entry) and functional_of(entry) is None:
            name = quoted(walk.path.rstrip("/") or entry["config"].get("name"))
            reason = "the masks in it need operations, and the file does not say the shape of its input"
            raise MigrationError(reason, address=f"Sequential model {name}")
        return walk.finished()
    if walk.layers == walk.entry["config"]["layers"]:
        return entry
    if is_functional(entry):
        return walk.finished()
    changed = {layer["name"]: layer for layer in walk.layers}
    kept = [_in_place(layer, changed) for layer in entry["config"]["layers"]]
    return {**entry, "config": {**entry["config"], "layers": kept}}


def _in_place(layer: Json, changed: Mapping[str, Json]) -> Json:
    now = changed[layer.get("name") or layer["config"]["name"]]
    return {**layer, **{key: now[key] for key in ("module", "class_name", "config") if key in now}}


class _Walk(Graph):
    """A graph whose calls are visited one after another."""

    def __init__(self, entry: Json, work: Work, path: str, depth: int) -> None:
        super().__init__(entry, work, path, depth)
        self.originals: dict[str, Json] = {}
        self.nested: dict[str, dict[tuple[bool, ...], Repaired]] = {}

    def walk(self) -> None:
        """Visit every call once all that it is called on has been visited.

        A call that is never reached stands in a circle or on a layer that does not exist; whoever checks the graph says
        so.
        """
        waiting: dict[tuple[str, int], list[tuple[Json, int]]] = {}
        missing: dict[tuple[str, int], int] = {}
        ready: list[tuple[Json, int]] = []
        for layer in self.layers:
            for number, node in enumerate(layer["inbound_nodes"] or [{"args": [], "kwargs": {}}]):
                needs = {history(reference)[:2] for reference in tensors_in([node["args"], node["kwargs"]])}
                missing[layer["name"], number] = len(needs)
                for need in needs:
                    waiting.setdefault(need, []).append((layer, number))
                if not needs:
                    ready.append((layer, number))
        while ready:
            layer, number = ready.pop()
            if layer["inbound_nodes"]:
                self.visit(layer, number)
            for following, index in waiting.pop((layer["name"], number), []):
                missing[following["name"], index] -= 1
                if not missing[following["name"], index]:
                    ready.append((following, index))

    def visit(self, layer: Json, number: int) -> None:
        node = layer["inbound_nodes"][number]
        self.follow(node)
        first = node["args"][:1] or [node["kwargs"][key] for key in ("inputs", "query") if key in node["kwargs"]][:1]
        call = Call(layer, number, list(tensors_in(first)))
        if is_functional(layer) or is_sequential(layer):
            self.call_model(call)
        elif layer["class_name"] == "TimeDistributed":
            self.distribute(call)
        else:
            visit(self, call)

    def call_model(self, call: Call) -> None:
        old, new = self.old_of(call.inputs), self.new_of(call.inputs)
        masked = [mask is not None for mask in old]
        many = len(ends_of(call.layer))
        if many != len(call.inputs) or any(tensors_in(call.kwargs.get("mask"))):
            if any(mask is not None for mask in [*old, *new]) or any(tensors_in(call.kwargs.get("mask"))):
                raise self.refusal(call, "is a model whose inputs or masks are given in an unusual way")
            masked = [False] * many
        for reference, was, now in zip(call.inputs, old, new, strict=True):
            if was is None and now is not None:
                self.drop(call, [reference])
        if any(was is not None and was != now for was, now in zip(old, new, strict=True)):
            wanted = [None if mask is None else self.computed(mask, call) for mask in old]
            call.kwargs["mask"] = wanted[0] if len(wanted) == 1 else wanted
            self.say(call, "mask-given", "gets the mask that Keras 2 found on its input; Keras 3 would find another")
        repaired = self.inside(call, call.layer, masked)
        call.layer.update({key: repaired.entry[key] for key in ("module", "class_name", "config")})
        known = self.seen_from_outside(repaired.graph, call, old)
        for index, place in enumerate(repaired.graph.outputs):
            was, now = repaired.graph.old.get(place), repaired.graph.new.get(place)
            self.mark(call.output(index), None if was is None else known[was], None if now is None else known[now])

    def inside(self, call: Call, model: Json, masked: Sequence[bool]) -> Repaired:
        """Repair a nested model once for all its calls, which must agree."""
        name = call.layer["name"]
        original = self.originals.setdefault(name, copy.deepcopy(model))
        done, pattern = self.nested.setdefault(name, {}), tuple(masked)
        if pattern not in done:
            work = Work(self.work.passes, self.work.still_passes, self.work.keras_version) if done else self.work
            again = repair_model(original, masked, work, f"{self.path}{name}/", self.depth + 1)
            if done and next(iter(done.values())).entry["config"] != again.entry["config"]:
                raise self.refusal(call, "is called with a mask and without one, and would need two different repairs")
            done[pattern] = again
        return done[pattern]

    def seen_from_outside(self, inner: Graph, call: Call, masks: Sequence[Mask | None]) -> dict[Mask, Mask | None]:
        """The masks of a nested model in this model's terms."""
        arguments = {place: history(given) for place, given in zip(inner.inputs, call.inputs, strict=False)}
        known: dict[Mask, Mask | None] = {}
        for number, term in enumerate(inner.masks.terms):  # a mask's parts come before it
            match term:
                case ("input", index):
                    known[number] = masks[index]
                case ("masking", place, value) if place in arguments:
                    known[number] = self.masks.number("masking", arguments[place], value)
                case ("embedding", place) if place in arguments:
                    known[number] = self.masks.number("embedding", arguments[place])
                case ("all", parts):
                    known[number] = self.masks.all_of([known[part] for part in parts])
                case ("any", part):
                    known[number] = self.any_of(known[part])
                case _:
                    known[number] = self.masks.number("inside", *call.output(), number)
        return known

    def distribute(self, call: Call) -> None:
        """TimeDistributed: Keras 2 asks the layer inside what becomes of the mask, Keras 3 passes it as it is."""
        inner: Any = call.config.get("layer")
        if not isinstance(inner, dict) or not call.inputs:
            return
        kind, config = str(inner.get("class_name")), inner.get("config") or {}
        is_model = is_functional(inner) or is_sequential(inner)
        (mask, *_), (new, *_) = self.old_of(call.inputs), self.new_of(call.inputs)
        rule = facts(kind).masks
        uses = rule.role in ("uses", "recurrent")
        if uses or is_model or not is_known(kind):
            mask = self.use(call)
            new = self.passed_on(call, mask)
        old: Mask | None = None
        if kind == "Masking" or (kind == "Embedding" and config.get("mask_zero")):
            old = source(self, kind, config, call.inputs[0])
        elif is_model:
            repaired = self.inside(call, inner, [mask is not None] * len(ends_of(inner)))
            call.config["layer"] = repaired.entry
            made = [repaired.graph.old.get(place) for place in repaired.graph.outputs[:1]]
            known = self.seen_from_outside(repaired.graph, call, [mask])
            old = known[made[0]] if made and made[0] is not None else self.any_of(mask)
        elif uses:
            old = mask if returns_sequences(inner["config"]) else self.any_of(mask)
        elif mask is not None:
            passed = rule.in_keras_2(self.work.keras_version)
            old = mask if passed else self.unclear(call, "Keras 2") if passed is None else None
        self.mark(call.output(), old, new)

    def any_of(self, mask: Mask | None) -> Mask | None:
        """A step counts if anything in it does."""
        return None if mask is None else self.masks.number("any", mask)


def ends_of(model: Json) -> list[Any]:
    """The inputs of a model that is nested."""
    return [None] if is_sequential(model) else list(ends(model, "input_layers"))
