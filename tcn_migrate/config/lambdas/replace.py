"""Lambda layers: the known functions become operations of Keras, every other one is refused.

keras-tcn 2.1 to 2.8.3 consists of plain layers and of two Lambdas, `channel_normalization` and the last step
`tt[:, -1, :]`. Keras stores both as marshalled bytecode (also the named function), so today's Keras refuses the file.
Nothing of it is run here, nor turned into a code object: `bytecode.read_function` reads the fields of the function as
data, and two functions are recognised by them, in the bytecode of CPython 3.6 to 3.13: `channel_normalization`, and a
function that does nothing but index its argument, as hand-made models do it too.

Issue: keras-tcn #70, #78; keras #13697.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, is_tensor, sliced
from tcn_migrate.config.graph.entries import name_of
from tcn_migrate.config.graph.rewrite import every_model, functional_of, is_sequential, replace_layers
from tcn_migrate.config.lambdas.bytecode import LARGEST, read_function
from tcn_migrate.config.lambdas.known_functions import ChannelNormalization, Indexing, Known, recognise
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import UnsafeError, quoted


def replace_lambdas(config: Json, custom_classes: frozenset[str] = frozenset()) -> tuple[Json, list[Repair]]:
    """Replace every known Lambda of a model by operations; refuse any other.

    A Sequential model that holds one becomes a Functional one, for operations need a graph. A Lambda in a
    `TimeDistributed` acts one axis further on.

    Args:
        config: a model in the normal form; nested models and those in wrappers are searched too. It is not changed.
        custom_classes: names under which the user registered classes. A Lambda whose layer has such a name (with or
            without the package, as in "Custom>rescale") becomes a layer of that class: the user's own code, from the
            user's own module, in place of the file's.

    Returns:
        The new config, and what was done, a `Repair` a layer. A repair named "lambda-loop-variable" is a doubt, not
        a change: see `_doubt_loop_variables`.

    Raises:
        UnsafeError: a Lambda that is not known. Its code was not run.

    Since: keras-tcn 2.1.0 to 2.8.3, hand-made models of any Keras.
    Issue: keras-tcn #70 (`IndexError: tuple index out of range`), #78 (`tcn.tcn is not loaded, but a Lambda layer uses
    it`), Keras 3's "Requested the deserialization of a `Lambda` layer".
    """
    repairs: list[Repair] = []

    def change(model: Json, path: str) -> Json:
        layers = [_supplied(layer, custom_classes, path, repairs) for layer in model["config"]["layers"]]
        model = {**model, "config": {**model["config"], "layers": layers}}
        known = {name_of(layer): recognised(layer, path) for layer in layers if _lambda_in(layer) is not None}
        if not known:
            return model
        if is_sequential(model):
            model = _as_functional(model, path, repairs)
        repairs.extend(_repair(path + name, function) for name, function in known.items())
        repairs.extend(_doubt_loop_variables(model, known, path))

        def build(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> list[Json]:
            if len(arguments) != 1 or not is_tensor(arguments[0]):
                raise _refusal(path + name, "is called on something else than one tensor")
            return [_drawn(drawing, known[name], arguments[0], name)]

        return replace_layers(model, lambda layer: layer["name"] in known, build)

    changed = every_model(config, change)
    _refuse_remaining_code(changed)
    return changed, repairs


def recognised(layer: Json, path: str = "") -> Known:
    """What a Lambda (or a Lambda in a TimeDistributed) computes; `UnsafeError` if that is not known."""
    entry = _lambda_in(layer)
    if entry is None:
        raise ValueError("not a Lambda")
    name = path + name_of(layer)
    settings: Json = entry["config"]
    if settings.get("mask") is not None:
        raise _refusal(name, "has a mask that is Python code")
    code, defaults, closure = _stored_function(settings, name)
    function = read_function(code)
    if function is None:
        raise _refusal(name, "holds Python code that is not a known function")
    known = recognise(function, defaults, closure, settings.get("arguments") or {})
    if known is None:
        raise _refusal(name, "holds Python code that is not a known function")
    if layer is not entry:
        known = _one_axis_further(known, name)
    return known


def _refusal(name: str, reason: str) -> UnsafeError:
    layer = name.rsplit("/", 1)[-1]
    return UnsafeError(
        f"Lambda {quoted(name)} {reason}. Python code out of a file is never run",
        hint="Known are keras-tcn's channel_normalization and functions that only index, such as x[:, -1, :]. For "
        "anything else write the computation as a layer class of your own, registered by "
        f"@keras.saving.register_keras_serializable(name={quoted(layer)}), and give its module: "
        "--custom-objects package.module",
    )


def _lambda_in(layer: Json) -> Json | None:
    """The Lambda that a layer is, or that a TimeDistributed holds directly."""
    if layer["class_name"] == "Lambda":
        return layer
    inner = layer["config"].get("layer") if isinstance(layer["config"], dict) else None
    if layer["class_name"] == "TimeDistributed" and isinstance(inner, dict) and inner.get("class_name") == "Lambda":
        return inner
    return None


def _stored_function(settings: Json, name: str) -> tuple[bytes, list[Any], list[Any]]:
    """Code, defaults and closure of a Lambda, in the forms that Keras ever wrote.

    Keras 2 writes `[code, defaults, closure]` (in a SavedModel's metadata as a `__tuple__`), Keras 3 a `__lambda__`.
    The code is base64; before Keras 2.1.2 it was text, a character a byte.
    """
    stored = settings.get("function")
    if isinstance(stored, dict) and stored.get("class_name") == "__lambda__" and isinstance(stored["config"], dict):
        parts = [stored["config"].get(key) for key in ("code", "defaults", "closure")]
    elif isinstance(stored, dict) and stored.get("class_name") == "__tuple__":
        parts = list(stored.get("items") or [])
    elif isinstance(stored, list):
        parts = list(stored)
    else:
        raise _refusal(name, f"names a function, {quoted(stored)}")
    if len(parts) != 3 or not isinstance(parts[0], str) or len(parts[0]) > 2 * LARGEST:
        raise _refusal(name, "holds Python code in an unknown form")
    text, defaults, closure = str(parts[0]), parts[1], parts[2]
    try:
        code = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        code = text.encode("raw_unicode_escape", "replace")
    return code, _plain_list(defaults), _plain_list(closure)


def _plain_list(values: Any) -> list[Any]:
    if isinstance(values, dict) and values.get("class_name") == "__tuple__":
        values = values.get("items")
    return list(values) if isinstance(values, list) else []


def _one_axis_further(known: Known, name: str) -> Known:
    """What a TimeDistributed makes of it: each time step is a batch of its own, so every axis moves up by one."""
    if isinstance(known, ChannelNormalization):
        return ChannelNormalization(known.axis + 1)
    if known.key[0] is ...:
        return known
    if known.key[0] != slice(None):
        raise _refusal(name, "takes single samples out of a batch")
    return Indexing((slice(None), *known.key), known.from_closure)


def _drawn(drawing: Drawing, known: Known, x: Json, name: str) -> Json:
    if isinstance(known, Indexing):
        return sliced(drawing, x, known.key, name)
    absolute = drawing.operation("numpy.Absolute", x, name=f"{name}_absolute")
    largest = drawing.operation("numpy.Max", absolute, name=f"{name}_max", axis=known.axis, keepdims=True, initial=None)
    divisor = drawing.operation("numpy.Add", largest, 1e-05, name=f"{name}_add")
    return drawing.operation("numpy.TrueDivide", x, divisor, name=name)


def _repair(layer: str, known: Known) -> Repair:
    if isinstance(known, ChannelNormalization):
        what = f"x / (max(abs(x), axis={known.axis}) + 1e-5), keras-tcn's channel_normalization"
        return Repair(layer, "lambda-channel-normalization", f"Lambda replaced by operations: {what}")
    formula = f"x[{', '.join(_spelt(element) for element in known.key)}]"
    return Repair(layer, "lambda-indexing", f"Lambda replaced by operations: {formula}; its code was not run")


def _spelt(element: Any) -> str:
    if isinstance(element, slice):
        start, stop, step = ("" if part is None else str(part) for part in (element.start, element.stop, element.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return "..." if element is ... else str(element)


def _as_functional(sequential: Json, path: str, repairs: list[Repair]) -> Json:
    functional = functional_of(sequential)
    name = path + str(sequential["config"].get("name"))
    if functional is None:
        raise _refusal(name, "cannot be replaced in a Sequential model whose input shape is not in the file")
    sentence = "Sequential model written as a Functional one, which can hold operations"
    repairs.append(Repair(name, "lambda-in-sequential", sentence))
    return functional


def _doubt_loop_variables(model: Json, known: Mapping[str, Known], path: str) -> list[Repair]:
    """Doubt slices with a number out of a closure, if two of them take the same of the same tensor.

    `for i in range(n): outputs.append(Lambda(lambda x: x[:, i])(x))` stores the loop's last `i` in every Lambda: a
    closure holds the variable, not its value. Nobody takes the same slice of a tensor twice on purpose.

    Issue: keras #13697.
    """
    first: dict[tuple[str, str], str] = {}
    doubts = []
    for layer in model["config"]["layers"]:
        function = known.get(layer["name"])
        if not isinstance(function, Indexing) or not function.from_closure:
            continue
        for node in layer["inbound_nodes"]:
            place = (repr(function.key), repr(node["args"]))
            if first.setdefault(place, layer["name"]) != layer["name"]:
                formula = ", ".join(_spelt(element) for element in function.key)
                sentence = (
                    f"takes the same slice [{formula}] as {quoted(first[place])}, with a number out of a closure: if "
                    "both were made in a loop, the file holds the loop's last number in each (keras #13697), and the "
                    "model may have been trained with others"
                )
                doubts.append(Repair(path + layer["name"], "lambda-loop-variable", sentence))
    return doubts


def _supplied(layer: Json, custom_classes: frozenset[str], path: str, repairs: list[Repair]) -> Json:
    """A layer of the user's class in place of a Lambda, if one was registered under the Lambda's name."""
    if layer["class_name"] != "Lambda":
        return layer
    name = name_of(layer)
    named = [own for own in sorted(custom_classes) if own.rpartition(">")[2] == name]
    if not named:
        return layer
    registered = next((own for own in named if ">" in own), named[0])
    settings = {key: layer["config"][key] for key in ("name", "trainable", "dtype") if key in layer["config"]}
    repairs.append(Repair(path + name, "lambda-supplied", f"Lambda replaced by the given class {quoted(registered)}"))
    return {**layer, "module": None, "class_name": name, "config": settings, "registered_name": registered}


def _refuse_remaining_code(config: Json) -> None:
    """A Lambda anywhere else, such as among a wrapper's layers or in a cell, or code as a setting."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, list):
            waiting.extend((name, part) for part in value)
        elif isinstance(value, dict):
            inner = value.get("config")
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                name = inner["name"]
            if value.get("class_name") in ("Lambda", "__lambda__"):
                raise _refusal(name, "holds Python code where none can be replaced")
            waiting.extend((name, part) for part in value.values())
