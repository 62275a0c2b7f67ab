"""Masks: a config of Keras 2 is changed so that in Keras 3 every layer sees the mask that it saw in Keras 2.

The model is walked once, with the mask that each tensor carries under Keras 2's rules and under Keras 3's
(`mask_rules`). Where a layer that uses a mask would see another one, it is repaired with what every release from 3.0.5
to 3.15.1 reads without custom objects: a mask too many ends in a `Copy`, which is an operation and no layer; a mask that
is missing, or another, is computed by operations and given as the call's `mask`. What cannot be said so is refused.

The rules of Keras 3 for layers with several inputs changed from release to release, and some compute other values under
a mask, so no mask ever reaches one of those.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.config import mask_rules as rules
from tcn_migrate.config.classes import is_known
from tcn_migrate.config.operations import Drawing, history, is_tensor
from tcn_migrate.config.operations import tensor as reference_to
from tcn_migrate.config.redraw import Placing, functional_of, is_functional, is_sequential
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import ContainerError, MigrationError, quoted

_DEEPEST = 50

Tensor: TypeAlias = tuple[str, int, int]
Mask: TypeAlias = int
"""A mask's number in its graph: equal masks have equal numbers."""
Term: TypeAlias = tuple[Any, ...]
"""How a mask comes about:
("masking", tensor, value)   any feature differs from the value
("embedding", tensor)        the number is not 0
("given", tensor)            a tensor that the author gave as the mask
("input", number)            the mask that the model's input carries
("all", masks)               all of a set of masks
("joined", parts, axis)      of a Concatenate: ((tensor, mask or None), ...)
("any", mask)                any along the last axis
("inside", ...)              made inside a nested model; cannot be said outside
("unclear", ...)             depends on the release or the values; equals no other"""


def repair_masks(
    config: Json, passes: Callable[[Json], bool], keras_version: str | None = None, *, still_passes: bool = True
) -> tuple[Json, list[Repair]]:
    """Make Keras 3 use the masks that Keras 2 used.

    Since: Keras 3.0 (Rescaling, Normalization and Identity pass masks, merges OR them, ...).
    Issue: 11.

    Args:
        config: a model's entry in normal form, of a file that Keras 2 wrote. It is not changed.
        passes: whether the TCN of an entry passed its input's mask on.
        still_passes: whether it will, too: with `pass_mask` the new layer does, in Keras's own layers it cannot.
        keras_version: of the file; ReLU (2.6) and MultiHeadAttention (2.10) changed within Keras 2.

    Returns:
        The config, the same object if nothing had to change, and what was repaired.

    Raises:
        MigrationError: Keras 3 cannot be made to use the same mask, with the layers' names.
    """
    work = _Work(passes, still_passes, keras_version)
    repaired, _ = _model(config, [False] * len(_ends(config, "input_layers")), work, "", 0)
    return (repaired, work.repairs) if work.repairs else (config, [])


@dataclass
class _Work:
    passes: Callable[[Json], bool]
    still_passes: bool
    keras_version: str | None
    repairs: list[Repair] = field(default_factory=list)


@dataclass(frozen=True)
class _Outcome:
    """The masks of a model's outputs in terms of its own tensors."""

    graph: _Graph
    masks: list[tuple[Mask | None, Mask | None]]


def _model(entry: Json, masked: Sequence[bool], work: _Work, path: str, depth: int) -> tuple[Json, _Outcome]:
    """Repair one model, with masks on some of its inputs (the same in Keras 2 and 3)."""
    if depth > _DEEPEST:
        raise ContainerError(f"Models are nested more than {_DEEPEST} deep")
    whole = entry
    if is_sequential(entry):
        whole = functional_of(entry) or _of_unknown_shape(entry)
    graph = _Graph(whole, masked, work, path, depth)
    graph.walk()
    outputs = [(graph.old.get(place), graph.new.get(place)) for place in _ends(whole, "output_layers")]
    return graph.result(entry), _Outcome(graph, outputs)


def _of_unknown_shape(sequential: Json) -> Json:
    """A Sequential model that never learnt its input's shape: good enough to walk, not to write."""
    config = {**sequential["config"], "build_input_shape": [None]}
    return functional_of({**sequential, "config": config}) or {**sequential, "config": {**config, "layers": []}}


def _ends(entry: Json, key: str) -> list[Tensor]:
    """The places that `input_layers` or `output_layers` name, in order."""
    if is_sequential(entry):
        return [("", 0, 0)]

    def places(value: Any) -> Iterator[Tensor]:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            yield value[0], int(value[1]), int(value[2])
        elif isinstance(value, list | dict):
            for part in value.values() if isinstance(value, dict) else value:
                yield from places(part)

    return list(places(entry["config"].get(key, [])))


def _references(value: Any) -> list[Json]:
    """The references to tensors in a call's arguments, in order."""
    if is_tensor(value):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [reference for part in parts for reference in _references(part)]


class _Graph:
    """One functional model under way: its layers (a copy), the masks of its tensors, and what is drawn into it."""

    def __init__(self, entry: Json, masked: Sequence[bool], work: _Work, path: str, depth: int) -> None:
        self.work, self.path, self.depth = work, path, depth
        self.model: Json = entry
        self.layers: list[Json] = copy.deepcopy(entry["config"]["layers"])
        self.drawing = Drawing(layer["name"] for layer in self.layers)
        self.terms: list[Term] = []
        self.numbers: dict[Term, Mask] = {}
        self.old: dict[Tensor, Mask] = {}
        self.new: dict[Tensor, Mask] = {}
        self.inputs = _ends(entry, "input_layers")
        self.explicit: dict[Mask, Json] = {}
        self.bare: dict[Tensor, Json] = {}
        self.nested: dict[tuple[str, tuple[bool, ...]], tuple[Json, _Outcome]] = {}
        self.originals: dict[str, Json] = {}
        for number, (place, has) in enumerate(zip(self.inputs, masked, strict=True)):
            if has:
                self.set(place, self.mask("input", number), self.mask("input", number))

    # masks -------------------------------------------------------------------------------------------------------

    def mask(self, *term: Any) -> Mask:
        if term not in self.numbers:
            self.numbers[term] = len(self.terms)
            self.terms.append(term)
        return self.numbers[term]

    def all_of(self, masks: Sequence[Mask | None]) -> Mask | None:
        leaves: set[Mask] = set()
        for mask in masks:
            if mask is not None:
                leaves |= self.terms[mask][1] if self.terms[mask][0] == "all" else {mask}
        if len(leaves) < 2:
            return next(iter(leaves), None)
        return self.mask("all", frozenset(leaves))

    def set(self, place: Tensor, old: Mask | None, new: Mask | None) -> None:
        if old is not None:
            self.old[place] = old
        if new is not None:
            self.new[place] = new

    def masks_of(self, references: Sequence[Json], masks: Mapping[Tensor, Mask]) -> list[Mask | None]:
        return [masks.get(history(reference)) for reference in references]

    def unclear(self, layer: Json, node: int, side: str) -> Mask:
        return self.mask("unclear", layer["name"], node, side)

    # the walk ----------------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """Visit every call once all that it is called on has been visited."""
        waiting: dict[Tensor, list[tuple[Json, int]]] = {}
        missing: dict[tuple[str, int], int] = {}
        ready: list[tuple[Json, int]] = []
        for layer in self.layers:
            nodes = layer.get("inbound_nodes") or []
            if not nodes:
                ready.append((layer, 0))
            for number, node in enumerate(nodes):
                needs = {history(reference)[:2] for reference in _references([node["args"], node["kwargs"]])}
                missing[layer["name"], number] = len(needs)
                for name, index in needs:
                    waiting.setdefault((name, index, 0), []).append((layer, number))
                if not needs:
                    ready.append((layer, number))
        while ready:
            layer, number = ready.pop()
            if layer.get("inbound_nodes"):
                self.call(layer, number, layer["inbound_nodes"][number])
            for following, index in waiting.pop((layer["name"], number, 0), []):
                missing[following["name"], index] -= 1
                if not missing[following["name"], index]:
                    ready.append((following, index))
        # A call that was never reached stands in a circle or on a layer that is not there; whoever checks the graph
        # says so, and nothing was changed for it.

    def call(self, layer: Json, number: int, node: Json) -> None:
        """Say what masks one call's outputs carry, and repair what it is called with."""
        kind, config, kwargs = layer["class_name"], layer["config"], node["kwargs"]
        first = node["args"][:1] or [kwargs[key] for key in ("inputs", "query") if key in kwargs][:1]
        references = _references(first)
        old, new = self.masks_of(references, self.old), self.masks_of(references, self.new)
        place = (layer["name"], number, 0)
        if kind == "Masking" and references:
            made = self.mask("masking", history(references[0]), config.get("mask_value", 0.0))
            return self.set(place, made, made)
        if kind == "Embedding":
            if config.get("mask_zero") and references:
                made = self.mask("embedding", history(references[0]))
                self.set(place, made, made)
            return None
        if kind == "MultiHeadAttention":
            return self.attend_with_heads(layer, number, node)
        given = _references(kwargs.get("mask"))
        if not any(mask is not None for mask in [*old, *new]) and not given:
            if not (is_functional(layer) or is_sequential(layer) or kind == "TimeDistributed"):
                return None
        if str(layer.get("module", "")).startswith("keras.src.ops"):
            return self.operate(layer, number, old, new)
        if is_functional(layer) or is_sequential(layer):
            return self.call_model(layer, number, node, references)
        if kind == "TimeDistributed":
            return self.distribute(layer, number, node, references)
        if kind in rules.MERGES:
            return self.merge(layer, number, references, old)
        if kind in rules.ATTENTIONS:
            return self.attend(layer, number, node, references)
        if kind == "TCN":
            passed = self.work.passes(layer)
            return self.set(place, old[0] if passed else None, new[0] if passed and self.work.still_passes else None)
        if kind in rules.USES:
            mask = self.use(layer, number, references)
            if kind in rules.RECURRENT and _returns_sequences(layer):
                self.set(place, mask, self.passed_on(layer, number, mask))
                if kind == "Bidirectional" and config.get("merge_mode", "concat") is None:
                    self.set((layer["name"], number, 1), mask, self.passed_on(layer, number, mask))
            return None
        if not is_known(kind):
            own = self.use(layer, number, references, can_be_given=False)
            kept = None if own is None else self.unclear(layer, number, "own")
            return self.set(place, kept, kept)
        if kind == "Softmax":
            self.drop(layer, references)
            return self.set(place, old[0], None)
        passed = rules.passed_by_keras_2(kind, config, self.work.keras_version)
        then = old[0] if passed else None
        if passed is None and old[0] is not None:
            then = self.unclear(layer, number, "Keras 2")
        now = new[0] if rules.passed_by_keras_3(kind) else None
        if new[0] is not None and (kind in rules.RANDOM_IMAGES or kind in rules.MAY_BE_THE_INPUT):
            now = self.unclear(layer, number, "Keras 3")
        self.set(place, then, now)

    def operate(self, layer: Json, number: int, old: Sequence[Mask | None], new: Sequence[Mask | None]) -> None:
        """Operations end masks; but a Cast to the same type handed its input on in Keras 2."""
        place = (layer["name"], number, 0)
        kind = layer["class_name"]
        if kind == "Cast" and any(mask is not None for mask in old):
            self.old[place] = self.unclear(layer, number, "Keras 2")
        if kind in rules.MAY_BE_THE_INPUT and any(mask is not None for mask in new):
            self.new[place] = self.unclear(layer, number, "Keras 3")

    # classes -----------------------------------------------------------------------------------------------------

    def passed_on(self, layer: Json, number: int, mask: Mask | None) -> Mask | None:
        """The mask that leaves a layer of Keras 3 which passes it: up to 3.8 one that was given is not passed on."""
        given = mask is not None and "mask" in layer["inbound_nodes"][number]["kwargs"]
        return self.unclear(layer, number, "Keras 3") if given else mask

    def use(self, layer: Json, number: int, references: Sequence[Json], can_be_given: bool = True) -> Mask | None:
        """Make a layer see its input's mask as in Keras 2; returns that mask."""
        node = layer["inbound_nodes"][number]
        given = _references(node["kwargs"].get("mask"))
        if given:
            return self.mask("given", history(given[0]))
        if not references:
            return None
        place = history(references[0])
        old, new = self.old.get(place), self.new.get(place)
        states = any(_references(value) for key, value in node["kwargs"].items())
        several = len(references) > 1 or len(node["args"]) > 1 or states
        if old is None:
            self.drop(layer, references)
        elif old != new or (several and can_be_given):
            if not can_be_given:
                raise self.refusal(layer, "is a class of the user's own whose input carries another mask in Keras 3")
            node["kwargs"]["mask"] = self.tensor_of(old, layer)
            self.say(layer, "mask-given", "gets the mask that Keras 2 would have found on its input; Keras 3 would not")
        return old

    def merge(self, layer: Json, number: int, references: Sequence[Json], old: Sequence[Mask | None]) -> None:
        axis = layer["config"].get("axis", -1) if layer["class_name"] == "Concatenate" else -1
        places = [history(reference) for reference in references]
        merged = self.all_of(old)
        if merged is not None and axis != -1:
            merged = self.mask("joined", tuple(zip(places, old, strict=True)), axis)
        self.drop(layer, references)
        self.set((layer["name"], number, 0), merged, None)

    def attend(self, layer: Json, number: int, node: Json, references: Sequence[Json]) -> None:
        """Attention on [query, value] or [query, value, key].

        Up to 3.8, Keras 3 forgets that the value's mask (batch, keys) applies to scores (batch, queries, keys), unless
        it merges it with a causal mask; 3.15 takes both shapes where there is no causal mask.
        """
        given = node["kwargs"].get("mask")
        if isinstance(given, list):
            masks = [self.mask("given", history(part)) if is_tensor(part) else None for part in given]
        else:
            masks = self.masks_of(references, self.old)
        self.drop(layer, references)
        query, value = [*masks, None, None][:2]
        if query is None and value is None:
            return
        causal = bool(node["kwargs"].get("use_causal_mask") or layer["config"].get("causal"))
        wanted: list[Json | None] = [None if query is None else self.tensor_of(query, layer), None]
        if value is not None:
            wanted[1] = self.tensor_of(value, layer)
            if not causal:
                wanted[1] = self.draw(layer, "numpy.ExpandDims", wanted[1], name="keys", axis=1)
        node["kwargs"]["mask"] = wanted
        self.say(
            layer, "mask-given", "gets the masks of its query and value as arguments, in a shape that all Keras 3 read"
        )
        if query is not None:
            self.set((layer["name"], number, 0), query, self.unclear(layer, number, "Keras 3"))

    def attend_with_heads(self, layer: Json, number: int, node: Json) -> None:
        """MultiHeadAttention: Keras 3 takes the masks off the tensors it is called on, for all that comes after."""
        names = ("query", "value", "key")
        called = {**dict(zip(names, node["args"], strict=False)), **node["kwargs"]}
        references = [reference for name in names for reference in _references(called.get(name))]
        old = dict(zip(names, self.masks_of(references, self.old), strict=False))
        masked = any(mask is not None for mask in old.values())
        self.drop(layer, references)
        looks = rules.attended_by_masks(self.work.keras_version)
        if not masked or looks is False:
            return
        if looks is None:
            raise self.refusal(
                layer, "used the masks of its inputs only from Keras 2.10 on, and the file has no version"
            )
        parts = [
            self.draw(
                layer, "numpy.ExpandDims", self.tensor_of(mask, layer), name=name, axis=-1 if name == "query" else 1
            )
            for name, mask in old.items()
            if mask is not None
        ]
        own = _references(node["kwargs"].get("attention_mask"))
        together = parts[0]
        for part in [*parts[1:], *own]:
            together = self.draw(layer, "numpy.LogicalAnd", together, part, name="attention")
        if layer["config"].get("dropout"):
            raise self.refusal(layer, "has dropout, and Keras 3 then returns zeros where every key is masked")
        node["kwargs"]["attention_mask"] = together
        self.say(
            layer, "mask-given", "gets the masks of its inputs as attention_mask; Keras 3 takes them off its inputs"
        )
        if old.get("query") is not None:
            self.set((layer["name"], number, 0), old["query"], self.unclear(layer, number, "Keras 3"))

    def distribute(self, layer: Json, number: int, node: Json, references: Sequence[Json]) -> None:
        """TimeDistributed: Keras 2 asks the layer inside what becomes of the mask, Keras 3 passes it as it is."""
        inner = layer["config"].get("layer")
        if not isinstance(inner, dict) or not references:
            return
        kind, config = inner.get("class_name"), inner.get("config") or {}
        place = history(references[0])
        passed = rules.passed_by_keras_2(str(kind), config, self.work.keras_version)
        uses = kind in rules.USES or is_functional(inner) or is_sequential(inner) or not is_known(str(kind))
        mask = self.old.get(place)
        if uses:
            mask = self.use(layer, number, references)
        new = self.passed_on(layer, number, mask) if uses else self.new.get(place)
        old: Mask | None = None
        if kind == "Masking":
            old = self.mask("masking", place, config.get("mask_value", 0.0))
        elif kind == "Embedding" and config.get("mask_zero"):
            old = self.mask("embedding", place)
        elif is_functional(inner) or is_sequential(inner):
            shown = [mask is not None] * len(_ends(inner, "input_layers"))
            repaired, outcome = self.inside(layer, inner, shown)
            layer["config"]["layer"] = repaired
            made = self.seen_outside(outcome, references, [mask], (layer["name"], number))[0][0]
            old = made if made is not None or mask is None else self.mask("any", mask)
        elif mask is not None and kind in rules.USES:
            old = mask if _returns_sequences(inner) else self.mask("any", mask)
        elif mask is not None and passed is not False:
            old = mask if passed else self.unclear(layer, number, "Keras 2")
        self.set((layer["name"], number, 0), old, new)

    # nested models -----------------------------------------------------------------------------------------------

    def call_model(self, layer: Json, number: int, node: Json, references: Sequence[Json]) -> None:
        inputs = _ends(layer, "input_layers")
        old, new = self.masks_of(references, self.old), self.masks_of(references, self.new)
        if len(inputs) != len(references) or _references(node["kwargs"].get("mask")):
            if any(mask is not None for mask in [*old, *new]):
                raise self.refusal(layer, "is a model whose inputs and masks are given in an unusual way")
            return
        for reference, was, now in zip(references, old, new, strict=True):
            if was is None and now is not None:
                self.drop(layer, [reference])
        if any(was is not None and was != now for was, now in zip(old, new, strict=True)):
            wanted = [None if mask is None else self.tensor_of(mask, layer) for mask in old]
            node["kwargs"]["mask"] = wanted[0] if len(wanted) == 1 else wanted
            self.say(layer, "mask-given", "gets the mask that Keras 2 would have found on its input; Keras 3 would not")
        repaired, outcome = self.inside(layer, layer, [mask is not None for mask in old])
        layer.update({key: repaired[key] for key in ("module", "class_name", "config")})
        seen = self.seen_outside(outcome, references, old, (layer["name"], number))
        for index, (was, now) in enumerate(seen):
            self.set((layer["name"], number, index), was, now)

    def inside(self, layer: Json, model: Json, masked: Sequence[bool]) -> tuple[Json, _Outcome]:
        """Repair a nested model once for all its calls, which must agree."""
        name = layer["name"]
        original = self.originals.setdefault(name, copy.deepcopy(model))
        pattern = tuple(masked)
        if (name, pattern) not in self.nested:
            earlier = [repaired for (other, _), (repaired, _) in self.nested.items() if other == name]
            work = self.work if not earlier else _Work(self.work.passes, self.work.still_passes, self.work.keras_version)
            self.nested[name, pattern] = _model(original, masked, work, f"{self.path}{name}/", self.depth + 1)
            if earlier and _written(earlier[0]) != _written(self.nested[name, pattern][0]):
                raise self.refusal(layer, "is called with a mask and without one, and would need two different repairs")
        return self.nested[name, pattern]

    def seen_outside(
        self, outcome: _Outcome, references: Sequence[Json], masks: Sequence[Mask | None], call: tuple[str, int]
    ) -> list[tuple[Mask | None, Mask | None]]:
        """The masks of a nested model's outputs in this graph's terms."""
        inner = outcome.graph
        arguments = {place: history(reference) for place, reference in zip(inner.inputs, references, strict=False)}
        known: dict[Mask, Mask | None] = {}
        for number, term in enumerate(inner.terms):  # a mask's parts come before it
            match term:
                case ("input", index):
                    known[number] = masks[index]
                case ("masking", place, value) if place in arguments:
                    known[number] = self.mask("masking", arguments[place], value)
                case ("embedding", place) if place in arguments:
                    known[number] = self.mask("embedding", arguments[place])
                case ("all", parts):
                    known[number] = self.all_of([known[part] for part in parts])
                case _:
                    known[number] = self.mask("inside", *call, id(inner), number)
        return [
            (None if was is None else known[was], None if now is None else known[now]) for was, now in outcome.masks
        ]

    # repairs -----------------------------------------------------------------------------------------------------

    def drop(self, layer: Json, references: Sequence[Json]) -> None:
        """Let no mask of Keras 3 reach the layer."""
        for reference in references:
            place = history(reference)
            if place not in self.new:
                continue
            if place not in self.bare:
                self.bare[place] = self.draw(layer, "numpy.Copy", copy.deepcopy(reference), name="without_mask")
            reference["config"] = copy.deepcopy(self.bare[place]["config"])
            self.say(layer, "mask-dropped", "gets its input without the mask, which Keras 3 would treat differently")

    def tensor_of(self, mask: Mask, layer: Json) -> Json:
        """The mask as a tensor, computed by operations."""
        if mask not in self.explicit:
            self.explicit[mask] = self.computed(mask, layer)
        return copy.deepcopy(self.explicit[mask])

    def computed(self, mask: Mask, layer: Json) -> Json:
        match self.terms[mask]:
            case ("given", place):
                return reference_to(*place)
            case ("masking", place, value):
                different = self.draw(layer, "numpy.NotEqual", reference_to(*place), value, name="steps")
                return self.draw(layer, "numpy.Any", different, name="steps", axis=-1)
            case ("embedding", place):
                return self.draw(layer, "numpy.NotEqual", reference_to(*place), 0, name="steps")
            case ("any", inner):
                return self.draw(layer, "numpy.Any", self.tensor_of(inner, layer), name="steps", axis=-1)
            case ("all", parts):
                first, *others = sorted(parts)
                together = self.tensor_of(first, layer)
                for other in others:
                    together = self.draw(
                        layer, "numpy.LogicalAnd", together, self.tensor_of(other, layer), name="steps"
                    )
                return together
            case ("joined", parts, axis):
                return self.joined(parts, axis, layer)
            case ("input", _):
                raise self.refusal(layer, "uses a mask that comes from outside its model and that Keras 3 would lose")
            case _:
                raise self.refusal(layer, "uses a mask that cannot be computed outside the layer that made it")

    def joined(self, parts: Sequence[tuple[Tensor, Mask | None]], axis: int, layer: Json) -> Json:
        """As Keras 2's Concatenate: masks joined as the inputs are; a step counts if all its features do."""
        columns = []
        for place, mask in parts:
            if mask is None:
                ones = self.draw(layer, "numpy.OnesLike", reference_to(*place), name="steps")
                columns.append(self.draw(layer, "numpy.NotEqual", ones, 0, name="steps"))
            else:
                columns.append(self.draw(layer, "numpy.ExpandDims", self.tensor_of(mask, layer), name="steps", axis=-1))
        # A layer: the operation takes no name before Keras 3.11, and would often be called what a layer is called.
        together = self.drawing.layer("Concatenate", columns, f"{layer['name']}_steps", axis=axis)
        return self.draw(layer, "numpy.All", together, name="steps", axis=-1)

    def draw(self, layer: Json, kind: str, *arguments: Any, name: str, **settings: Any) -> Json:
        return self.drawing.operation(kind, *arguments, name=f"{layer['name']}_{name}", **settings)

    def say(self, layer: Json, name: str, sentence: str) -> None:
        repair = Repair(self.path + layer["name"], name, f"{layer['class_name']} {sentence}.")
        if repair not in self.work.repairs:
            self.work.repairs.append(repair)

    def refusal(self, layer: Json, reason: str) -> MigrationError:
        kind, name = quoted(layer["class_name"]), quoted(self.path + layer["name"])
        return MigrationError(
            f"The mask that layer {name} (class {kind}) used in Keras 2 cannot be given to it in Keras 3: it {reason}",
            hint="Rebuild the model without this mask, or pass the mask as an input of the model",
        )

    def result(self, entry: Json) -> Json:
        """The model with what was repaired, `entry` itself if nothing was; a Sequential stays one unless it has to."""
        if not self.drawing.entries:
            if self.layers == self.model["config"]["layers"]:
                return entry
            if is_sequential(entry):
                given = {layer["name"]: layer for layer in self.layers}
                kept = [self.kept(layer, given) for layer in entry["config"]["layers"]]
                return {**entry, "config": {**entry["config"], "layers": kept}}
        elif is_sequential(entry) and functional_of(entry) is None:
            name = quoted(self.path.rstrip("/") or entry["config"].get("name"))
            raise MigrationError(
                f"The masks in the Sequential model {name} need operations, and the file does not say its input's shape"
            )
        return {**self.model, "config": {**self.model["config"], "layers": self.in_order()}}

    def in_order(self) -> list[Json]:
        """The layers, with every operation right after the last of its inputs, as Keras 3.0 wants it."""
        place = {layer["name"]: index for index, layer in enumerate(self.layers)}
        behind: dict[int, list[Json]] = {}
        for operation in self.drawing.entries:  # drawn after what they are drawn on
            inputs = [history(reference)[0] for reference in _references(operation["inbound_nodes"][0]["args"])]
            place[operation["name"]] = max(place[name] for name in inputs)
            behind.setdefault(place[operation["name"]], []).append(operation)
        return [entry for index, layer in enumerate(self.layers) for entry in [layer, *behind.get(index, [])]]

    @staticmethod
    def kept(layer: Json, changed: Mapping[str, Json]) -> Json:
        now = changed[layer.get("name") or layer["config"]["name"]]
        return {**layer, **{key: now[key] for key in ("module", "class_name", "config") if key in now}}


def _written(entry: Json) -> tuple[Any, Any]:
    return entry["class_name"], entry["config"]


def _returns_sequences(layer: Json) -> bool:
    """Of a recurrent layer's entry, or of a wrapper's, which does as the layer inside does."""
    config = layer["config"]
    inner = config.get("layer")
    if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
        return bool(inner["config"].get("return_sequences"))
    return bool(config.get("return_sequences"))
