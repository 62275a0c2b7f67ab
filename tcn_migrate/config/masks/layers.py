"""What each kind of layer does with the masks of its inputs, and how a call of it is repaired."""

from __future__ import annotations

import copy

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts, is_known
from tcn_migrate.config.catalogue.operations import MAY_BE_THE_INPUT
from tcn_migrate.config.graph.drawing import history, is_tensor, tensors_in
from tcn_migrate.config.graph.drawing import tensor as reference_to
from tcn_migrate.config.masks.graph import Call, Graph
from tcn_migrate.config.masks.terms import Mask


def visit(graph: Graph, call: Call) -> None:
    """Say what masks the outputs of a call carry, and repair what it is called with. Models and wrappers: `models`."""
    kind = call.kind
    is_operation = str(call.layer.get("module", "")).startswith("keras.src.ops")
    role = "none" if is_operation else facts(kind).masks.role
    if role == "makes":
        return make(graph, call)
    if role == "heads":
        return attend_with_heads(graph, call)
    old, new = graph.old_of(call.inputs), graph.new_of(call.inputs)
    given = call.kwargs.get("mask")
    if (
        not any(mask is not None for mask in [*old, *new])
        and not any(tensors_in(given))
        and not isinstance(given, list)
    ):
        return None
    if is_operation:
        return operate(graph, call)
    if role == "merges":
        return merge(graph, call)
    if role == "attends":
        return attend(graph, call)
    if role in ("uses", "recurrent"):
        return use(graph, call)
    if kind == "TCN":
        passed = graph.work.passes(call.layer)
        now = new[0] if passed and graph.work.still_passes else None
        return graph.mark(call.output(), old[0] if passed else None, now)
    if not is_known(kind):
        own = graph.use(call, can_be_given=False)
        kept = None if own is None else graph.unclear(call, "own")
        return graph.mark(call.output(), kept, kept)
    return pass_on(graph, call)


def make(graph: Graph, call: Call) -> None:
    """Masking, and Embedding with `mask_zero`: a mask of their own, the same in both."""
    if not call.inputs or (call.kind == "Embedding" and not call.config.get("mask_zero")):
        return
    made = source(graph, call.kind, call.config, call.inputs[0])
    graph.mark(call.output(), made, made)


def source(graph: Graph, kind: str, config: Json, reference: Json) -> Mask:
    if kind == "Masking":
        return graph.masks.number("masking", history(reference), config.get("mask_value", 0.0))
    return graph.masks.number("embedding", history(reference))


def operate(graph: Graph, call: Call) -> None:
    """Operations end masks; but a Cast to the same type handed its input on in Keras 2."""
    if call.kind == "Cast" and any(mask is not None for mask in graph.old_of(call.inputs)):
        graph.mark(call.output(), graph.unclear(call, "Keras 2"), None)
    if call.kind in MAY_BE_THE_INPUT and any(mask is not None for mask in graph.new_of(call.inputs)):
        graph.mark(call.output(), None, graph.unclear(call, "Keras 3"))


def pass_on(graph: Graph, call: Call) -> None:
    """A layer with one input that does not use its mask."""
    (old, *_), (new, *_) = graph.old_of(call.inputs), graph.new_of(call.inputs)
    if call.kind == "Softmax":  # From 2.4 on it fails on the mask of a sequence; earlier it passed it on, unused.
        graph.drop(call, call.inputs)
        new = None
    rule = facts(call.kind).masks
    passed = rule.in_keras_2(graph.work.keras_version)
    then = old if passed else graph.unclear(call, "Keras 2") if passed is None and old is not None else None
    now = new if rule.keras_3 else None
    if new is not None and rule.keras_3 is None:
        now = graph.unclear(call, "Keras 3")
    graph.mark(call.output(), then, now)


def use(graph: Graph, call: Call) -> None:
    """Recurrent layers and the average over time."""
    mask = graph.use(call)
    if facts(call.kind).masks.role == "recurrent" and returns_sequences(call.config):
        apart = call.kind == "Bidirectional" and call.config.get("merge_mode", "concat") is None
        for index in range(2 if apart else 1):
            graph.mark(call.output(index), mask, graph.passed_on(call, mask))


def returns_sequences(config: Json) -> bool:
    """Of a recurrent layer, or of a wrapper, which does as the layer inside does."""
    inner = config.get("layer")
    if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
        config = inner["config"]
    return bool(config.get("return_sequences"))


def merge(graph: Graph, call: Call) -> None:
    old = graph.old_of(call.inputs)
    places = [history(reference) for reference in call.inputs]
    merged = graph.masks.all_of(old)
    axis = call.config.get("axis", -1) if call.kind == "Concatenate" else -1
    if merged is not None and axis != -1:
        merged = graph.masks.number("joined", tuple(zip(places, old, strict=True)), axis)
    graph.drop(call, call.inputs)
    graph.mark(call.output(), merged, None)


def attend(graph: Graph, call: Call) -> None:
    """Attention on [query, value] or [query, value, key].

    Up to 3.8, Keras 3 forgets that the value's mask (batch, keys) applies to scores (batch, queries, keys), unless it
    merges it with a causal mask; 3.15 takes both shapes where there is no causal mask.
    """
    given = call.kwargs.get("mask")
    if isinstance(given, list):
        masks = [graph.masks.number("given", history(part)) if is_tensor(part) else None for part in given]
    else:
        masks = graph.old_of(call.inputs)
    graph.drop(call, call.inputs)
    query, value = [*masks, None, None][:2]
    if query is None and value is None:
        return
    wanted: list[Json | None] = [None if query is None else graph.computed(query, call), None]
    if value is not None:
        wanted[1] = graph.computed(value, call)
        if not (call.kwargs.get("use_causal_mask") or call.config.get("causal")):
            wanted[1] = graph.draw(call, "numpy.ExpandDims", wanted[1], axis=1)
    call.kwargs["mask"] = wanted
    graph.say(
        call, "mask-given", "gets the masks of its query and value as arguments, in a shape that all Keras 3 read"
    )
    if query is not None:
        graph.mark(call.output(), query, graph.unclear(call, "Keras 3"))


def attend_with_heads(graph: Graph, call: Call) -> None:
    """MultiHeadAttention: the masks of its inputs as one `attention_mask`.

    Keras 3 would take the masks off the tensors it is called on, for all that comes after.
    """
    names = ("query", "value", "key")
    called = {**dict(zip(names, call.node["args"], strict=False)), **call.kwargs}
    inputs = {name: called[name] for name in names if is_tensor(called.get(name))}
    old = {name: graph.old.get(history(reference)) for name, reference in inputs.items()}
    masks = {name: mask for name, mask in old.items() if mask is not None}
    at_once = len(inputs) > 1 and old["query"] == old["value"]
    graph.drop(call, list(inputs.values()))
    looks = facts(call.kind).masks.in_keras_2(graph.work.keras_version)
    if not masks or looks is False:
        return
    if looks is None:
        raise graph.refusal(call, "used it only from Keras 2.10 on, and the file does not say which release wrote it")
    if call.config.get("attention_axes") not in (None, [1], 1):
        raise graph.refusal(call, "attends over other axes than time")
    steps = {name: graph.computed(mask, call) for name, mask in masks.items()}
    parts = [graph.draw(call, "numpy.ExpandDims", s, axis=-1 if name == "query" else 1) for name, s in steps.items()]
    own = call.kwargs.get("attention_mask")
    together = parts[0]
    for part in [*parts[1:], *([own] if is_tensor(own) else [])]:
        together = graph.draw(call, "numpy.LogicalAnd", together, part)
    call.kwargs["attention_mask"] = together
    graph.say(call, "mask-given", "gets the masks of its inputs as attention_mask; Keras 3 takes them off its inputs")
    output = call.output()
    if call.config.get("dropout") or call.kwargs.get("return_attention_scores"):
        if call.kwargs.get("return_attention_scores"):
            raise graph.refusal(call, "returns scores, which are 0 in Keras 3 where every key is masked")
        possible = together
        if call.kwargs.get("use_causal_mask"):
            if is_tensor(own) or not at_once:
                raise graph.refusal(call, "has dropout and is causal, and its query and value carry different masks")
            seen = graph.draw(call, "numpy.Cumsum", graph.draw(call, "numpy.Multiply", steps["query"], 1), axis=1)
            started = graph.draw(call, "numpy.ExpandDims", graph.draw(call, "numpy.NotEqual", seen, 0), axis=-1)
            possible = graph.draw(call, "numpy.LogicalAnd", together, started)
        output = _attend_evenly_where_all_is_masked(graph, call, inputs, possible)
    if "query" in masks:
        graph.mark(output, masks["query"], graph.unclear(call, "Keras 3"))


def _attend_evenly_where_all_is_masked(
    graph: Graph, call: Call, inputs: dict[str, Json], possible: Json
) -> tuple[str, int, int]:
    """Where a query may see no key, Keras 2 attends to all alike; Keras 3.15 with dropout returns zeros.

    Attending to all alike is attending to their mean, so a second call of the layer says it.
    """
    mean = {
        name: graph.draw(call, "numpy.Mean", copy.deepcopy(inputs[name]), axis=1, keepdims=True)
        for name in ("value", "key")
        if name in inputs
    }
    second = len(call.layer["inbound_nodes"])
    call.layer["inbound_nodes"].append({"args": [copy.deepcopy(inputs["query"])], "kwargs": mean})
    some = graph.draw(call, "numpy.Any", possible, axis=-1, keepdims=True)
    first, evenly = reference_to(*call.output()), reference_to(call.layer["name"], second, 0)
    graph.instead[call.output()] = graph.draw(call, "numpy.Where", some, first, evenly)
    graph.say(call, "mask-of-all-keys", "attends to all steps alike where every key is masked, as it did in Keras 2")
    return history(graph.instead[call.output()])
