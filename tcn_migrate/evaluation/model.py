"""Models: their calls one after another, each with the masks that Keras hands on.

Source: keras/src/engine/functional.py and sequential.py (2.15), keras/src/models/functional.py (3.15).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.config.graph.drawing import ends_in, history, in_order, is_tensor, tensors_in
from tcn_migrate.config.graph.entries import name_of
from tcn_migrate.evaluation.table import LAYERS, Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import Tensor, Unproven


class Lost(list[Any]):
    """The outputs, however many, of a call that is not computed; each is the reason."""

    def __init__(self, reason: Unproven) -> None:
        super().__init__([reason])

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(0)


def called(layer: Layer, arguments: Arguments) -> list[Any]:
    """The outputs of one call; each an `Unproven` where it cannot be computed."""
    if layer.calls is not None and (layer.address, layer.calls) in layer.setting.given:
        return list(layer.setting.given[layer.address, layer.calls])
    lost = next(
        (one for one in _leaves([*arguments.args, *arguments.kwargs.values()]) if isinstance(one, Unproven)), None
    )
    if lost is not None:
        return Lost(lost)
    key = "operation" if is_operation(layer.entry) else layer.class_name
    function = LAYERS.get(key) if layer.entry.get("registered_name") is None else None
    try:
        if layer.entry.get("registered_name") is not None:
            raise layer.unproven("it is of a class of your own")
        if function is None:
            raise layer.unproven("no function of this package computes this class")
        with np.errstate(all="ignore"):
            outputs = function(layer, arguments)
    except Unproven as reason:
        return Lost(reason if reason.layer else layer.unproven(reason.reason))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, np.exceptions.AxisError) as error:
        return Lost(layer.unproven(f"its arguments or settings are not understood ({type(error).__name__}: {error})"))
    found = outputs if isinstance(outputs, list) else [outputs]
    return [
        one
        if isinstance(one, Unproven) or layer.class_name in ("Functional", "Sequential")
        else replace(one, values=layer.rounded(one.values))
        for one in found
    ]


def is_operation(entry: Json) -> bool:
    """Whether an entry is an operation of Keras 3 and no layer; both share names such as Add."""
    return str(entry.get("module")).startswith(("keras.src.ops", "keras.ops"))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, dict):
        yield from _leaves(list(value.values()))
    else:
        yield value


def model_outputs(layer: Layer, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a model.

    Args:
        layer: the model.
        inputs: a tensor for each of its inputs.
    """
    if layer.class_name == "Sequential":
        return _sequential(layer, inputs)
    return _functional(layer, inputs)


def _sequential(layer: Layer, inputs: Sequence[Any]) -> list[Any]:
    outputs: list[Any] = list(inputs)
    for entry in layer.config["layers"]:
        here = _inside(layer, entry, 0)
        if entry["class_name"] == "InputLayer":
            outputs = [conformed(outputs[0], entry)]
            continue
        training = {"training": True} if layer.training else {}
        outputs = called(replace(here, training=layer.training), Arguments([outputs[0]], training))
        if here.calls is not None:
            here.setting.record(here.address, here.calls, outputs)
    return outputs


def _inside(layer: Layer, entry: Json, number: int) -> Layer:
    calls = None if layer.calls is None else (*layer.calls, number)
    return replace(layer, entry=entry, address=(*layer.address, name_of(entry)), policy="float32", calls=calls)


def _functional(layer: Layer, inputs: Sequence[Any]) -> list[Any]:
    entries = {name_of(entry): entry for entry in layer.config["layers"]}
    places = list(ends_in(layer.config["input_layers"]))
    if len(places) != len(inputs):
        raise layer.unproven("it is called on another number of tensors than it has inputs")
    made: dict[tuple[str, int], list[Any]] = {}
    for (name, number, _), x in zip(places, inputs, strict=True):
        made[name, number] = [conformed(x, entries[name])]
    nodes = {
        (name, number): node
        for name, entry in entries.items()
        for number, node in enumerate(entry.get("inbound_nodes") or [])
        if (name, number) not in made
    }
    needs = {
        call: {history(one)[:2] for one in tensors_in([node["args"], node["kwargs"]])} for call, node in nodes.items()
    }
    needs |= {call: set() for call in made}
    if in_a_circle := nodes.keys() - set(in_order(needs)):
        raise layer.unproven(f"{len(in_a_circle)} of its calls are fed by nothing")
    ends = list(ends_in(layer.config["output_layers"]))
    waiting = Counter(need for needed in needs.values() for need in needed)
    waiting.update((name, number) for name, number, _ in ends)  # an output is needed to the end
    for name, number in in_order(needs):
        if not nodes.get((name, number)):
            continue
        node = nodes[name, number]
        here = _inside(layer, entries[name], number)
        kwargs = {key: _filled(value, made) for key, value in node["kwargs"].items()}
        training = kwargs.get("training", layer.training)
        if training not in (None, True, False, 0, 1):
            made[name, number] = Lost(here.unproven("whether it trains is computed by the model"))
            continue
        here = replace(here, training=bool(training))
        made[name, number] = called(here, Arguments([_filled(value, made) for value in node["args"]], kwargs))
        if here.calls is not None:
            here.setting.record(here.address, here.calls, made[name, number])
        for need in needs[name, number]:
            waiting[need] -= 1
            if not waiting[need]:
                del made[need]  # large models would not fit otherwise
    return [made[name, number][index] for name, number, index in ends]


def _filled(value: Any, made: Mapping[tuple[str, int], list[Any]]) -> Any:
    """An argument of a call with tensors in the place of references, and arrays in that of stored numbers."""
    if is_tensor(value):
        name, number, index = history(value)
        return made[name, number][index]
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        return Tensor(constant(value["config"]["value"], value["config"].get("dtype")))
    if isinstance(value, dict):
        return {key: _filled(one, made) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, made) for one in value]
    return value


def constant(value: Any, dtype: Any = None) -> Array:
    """Numbers out of a file: floating-point ones in float64."""
    array = np.asarray(value)
    if array.dtype.kind == "f" or (isinstance(dtype, str) and "float" in dtype):
        return array.astype(np.float64)
    return array


def conformed(x: Any, entry: Json) -> Any:
    """A tensor as an InputLayer takes it: of its dtype, with or without a last axis of 1.

    Source: `_conform_to_reference_input` in keras/src/engine/functional.py (2.15), `_adjust_input_rank` and
    `_convert_inputs_to_tensors` in keras/src/models/functional.py (3.15).
    """
    if not isinstance(x, Tensor):
        return x
    values, shape = x.values, entry["config"].get("batch_shape")
    if isinstance(shape, list):
        if values.ndim == len(shape) + 1 and values.shape[-1] == 1:
            values = values[..., 0]
        elif values.ndim == len(shape) - 1 and shape[-1] == 1:
            values = values[..., None]
    kind = str(entry["config"].get("dtype") or "float32")
    if values.dtype.kind in "biuf" and kind != "string":
        values = cast(values, kind)
    return x if values is x.values else Tensor(values, x.mask)


def cast(values: Array, kind: str) -> Array:
    """Values of another type; all floating-point types are float64 here."""
    if "float" in kind or kind == "mixed_float16":
        return values.astype(np.float64)
    return values.astype(kind) if values.dtype != np.dtype(kind) else values


@computes("Functional", "Sequential")
def nested(layer: Layer, arguments: Arguments) -> list[Any]:
    """A model as a layer.

    The masks of its inputs come along; those given by the argument `mask` take their place.
    """
    first = arguments.first
    if len(arguments.args) > 1 and all(isinstance(one, Tensor) for one in arguments.args):
        raise layer.unproven("it is called with several arguments")
    if isinstance(first, dict):
        ends = layer.config.get("input_layers")
        keys = list(ends) if isinstance(ends, dict) else [name for name, _, _ in ends_in(ends)]
        inputs = [first[key] for key in keys]
    else:
        inputs = list(_leaves(first))
    given = arguments.kwargs.get("mask")
    if given is not None:
        masks = list(given) if isinstance(given, list) and all(_is_mask(one) for one in given) else [given]
        inputs = [
            replace(x, mask=None if mask is None else np.asarray(mask.values if isinstance(mask, Tensor) else mask))
            for x, mask in zip(inputs, masks, strict=True)
        ]
    return model_outputs(layer, inputs)


def _is_mask(value: Any) -> bool:
    return value is None or isinstance(value, Tensor)
