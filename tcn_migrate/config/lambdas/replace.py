"""Lambda layers: their formulas become operations of Keras, and what has no formula is refused.

Keras stores a Lambda's function as marshalled bytecode (also a named function), which today's Keras refuses to load.
Nothing of it is run here, nor turned into a code object: `bytecode.read_function` reads the fields of the function as
data, `evaluate.formula_of` follows its instructions on formulas, and `draw.drawn` draws them. keras-tcn 2.1 to 2.8.3
consists of plain layers and of two Lambdas, `channel_normalization` and the last step `tt[:, -1, :]`.

Issue: keras-tcn #70, #78; keras #13697.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, history, is_tensor
from tcn_migrate.config.graph.entries import name_of
from tcn_migrate.config.graph.rewrite import Outputs, every_model, functional_of, is_sequential, replace_layers
from tcn_migrate.config.lambdas.bytecode import LARGEST, read_function
from tcn_migrate.config.lambdas.draw import drawn
from tcn_migrate.config.lambdas.evaluate import Formula, Unreadable, formula_of
from tcn_migrate.config.lambdas.expressions import Argument, Index
from tcn_migrate.config.lambdas.time_axis import Immovable, one_axis_further
from tcn_migrate.config.operators.calls import Untranslatable
from tcn_migrate.config.operators.replace import computed_in
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import UnsafeError, quoted

_MOST_OPERATIONS = 20_000
"""In one model, layers included: a Lambda of many instructions may be called many times."""


def replace_lambdas(
    config: Json, custom_classes: frozenset[str] = frozenset(), keras_version: str | None = None
) -> tuple[Json, list[Repair]]:
    """Replace every Lambda of a model by operations, or refuse it.

    A Sequential model that holds one becomes a Functional one, for operations need a graph. A Lambda in a
    `TimeDistributed` acts one axis further on.

    Args:
        config: a model in the normal form; nested models and those in wrappers are searched too. It is not changed.
        custom_classes: names under which the user registered classes. A Lambda whose layer has such a name (with or
            without the package, as in "Custom>rescale") becomes a layer of that class: the user's own code, from the
            user's own module, in place of the file's.
        keras_version: of the release that wrote the file, such as "2.3.0-tf"; None if the file does not say.

    Returns:
        The new config, and what was done, a `Repair` a layer. A repair named "lambda-loop-variable" is a doubt, not
        a change: see `_doubt_loop_variables`.

    Raises:
        UnsafeError: a Lambda that has no formula. Its code was not run.

    Since: keras-tcn 2.1.0 to 2.8.3, hand-made models of any Keras.
    Issue: keras-tcn #70 (`IndexError: tuple index out of range`), #78 (`tcn.tcn is not loaded, but a Lambda layer uses
    it`), Keras 3's "Requested the deserialization of a `Lambda` layer".
    """
    repairs: list[Repair] = []

    def change(model: Json, path: str) -> Json:
        layers = [_supplied(layer, custom_classes, path, repairs) for layer in model["config"]["layers"]]
        model = {**model, "config": {**model["config"], "layers": layers}}
        known = {
            name_of(layer): formula_in(layer, path, keras_version) for layer in layers if _lambda_in(layer) is not None
        }
        if not known:
            return model
        if is_sequential(model):
            model = _as_functional(model, path, repairs)
        repairs.extend(_repair(path + name, function) for name, function in known.items())
        repairs.extend(_doubt_loop_variables(model, known, path))
        casts = _casts(model["config"]["layers"], path)

        def build(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> Outputs:
            if len(drawing.taken) > _MOST_OPERATIONS:
                raise _refusal(path + name, f"and its like make more than {_MOST_OPERATIONS} operations of one model")
            given: Any = arguments[0] if len(arguments) == 1 else None
            one = is_tensor(given)
            if not one and not (isinstance(given, list) and given and all(map(is_tensor, given))):
                raise _refusal(path + name, "is called on something else than tensors")
            if not one and layer["class_name"] != "Lambda":
                raise _refusal(path + name, "is called on several tensors in a TimeDistributed")
            if isinstance(known[name].value, Argument) and not _of_separate_keras(keras_version):
                return [given] if one else list(given)  # Keras 2 hands on the very input, with its mask
            given = casts(drawing, layer, given) if one else [casts(drawing, layer, tensor) for tensor in given]
            half_precision = computed_in(layer) == "float16"
            try:
                return drawn(drawing, known[name], given, name, half_precision=half_precision)
            except Untranslatable as reason:
                raise _refusal(path + name, f"cannot be translated: its code {reason}") from None

        return replace_layers(model, lambda layer: layer["name"] in known, build)

    changed = every_model(config, change)
    _refuse_remaining_code(changed)
    return changed, repairs


def formula_in(layer: Json, path: str = "", keras_version: str | None = None) -> Formula:
    """What a Lambda (or a Lambda in a TimeDistributed) computes; `UnsafeError` if it has no formula."""
    entry = _lambda_in(layer)
    if entry is None:
        raise ValueError("not a Lambda")
    name = path + name_of(layer)
    settings: Json = entry["config"]
    if settings.get("mask") is not None:
        raise _refusal(name, "has a mask that is Python code, or a constant")
    code, defaults, closure = _stored_function(settings, name)
    function = read_function(code)
    if function is None:
        raise _refusal(
            name, "holds Python code that is no plain function of Python 3.5 to 3.13, or has another one in it"
        )
    arguments = settings.get("arguments")
    arguments = arguments if isinstance(arguments, dict) else {}
    try:
        formula = formula_of(function, defaults, closure, arguments, tensors_equal=_compares_by_value(keras_version))
        return formula if layer is entry else one_axis_further(formula)
    except Unreadable as reason:
        raise _refusal(name, f"cannot be translated: its code {reason}") from None
    except Immovable as reason:
        raise _refusal(name, str(reason)) from None


def _compares_by_value(keras_version: str | None) -> bool:
    """Whether `==` of tensors compares values: since TensorFlow 2. A Keras of its own also ran on TensorFlow 1."""
    if keras_version is None or _of_separate_keras(keras_version):
        return False
    return not keras_version.startswith("2.2.")


def _of_separate_keras(keras_version: str | None) -> bool:
    """Whether Keras was a package of its own, before it was TensorFlow's."""
    return re.fullmatch(r"[01]\..*|2\.[0-3]\.\d+", keras_version or "") is not None


def _casts(layers: list[Json], path: str) -> Callable[[Drawing, Json, Json], Json]:
    """What casts a Lambda's input to the type in which its layer computes, as Keras 2 does, where types are mixed."""
    entries = {layer["name"]: layer for layer in layers}
    mixed = {computed_in(layer) for layer in layers if isinstance(layer.get("config"), dict)} - {"None"}
    mixed = {kind for kind in mixed if kind.startswith(("float", "bfloat"))}

    def cast(drawing: Drawing, layer: Json, tensor: Json) -> Json:
        kind = computed_in(layer)
        if mixed <= {"float32"}:
            return tensor
        source = entries.get(history(tensor)[0], {})
        if source.get("class_name") == "InputLayer" and "float" not in str(source["config"].get("dtype", "float32")):
            return tensor
        if source.get("class_name") in ("Argmax", "Argmin", "Argsort", "Cast", "Shape", "OneHot", "TopK"):
            raise _refusal(path + layer["name"], "computes in another floating type than what feeds it may have")
        return drawing.operation("core.Cast", tensor, name=f"{layer['name']}_cast", dtype=kind)

    return cast


def _refusal(name: str, reason: str) -> UnsafeError:
    layer = name.rsplit("/", 1)[-1]
    return UnsafeError(
        f"Lambda {quoted(name)} {reason}. Python code out of a file is never run",
        hint="docs/anymodel.md has the functions that are translated. For anything else write the computation as a "
        "layer class of your own, registered by "
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


def _repair(layer: str, formula: Formula) -> Repair:
    taken = ", ".join(f"{alias} for {module}" for alias, module in formula.aliases)
    ending = "; its code was not run" + (f", and {taken} is assumed" if taken else "")
    name, what = "lambda", formula.text
    if what in _CHANNEL_NORMALIZATION:
        name, what = "lambda-channel-normalization", f"{what}, keras-tcn's channel_normalization"
    elif isinstance(formula.value, Index) and isinstance(formula.value.of, Argument):
        name = "lambda-indexing"
    if formula.draws_noise:
        ending += "; it draws random numbers in each prediction, which are others than the old library's"
    return Repair(layer, name, f"Lambda replaced by operations: {what}{ending}")


_CHANNEL_NORMALIZATION = tuple(f"x / (K.max(K.abs(x), {axis}keepdims=True) + 1e-05)" for axis in ("2, ", "axis=3, "))
"""Of keras-tcn 2.1 to 2.3.6, also in a TimeDistributed."""


def _as_functional(sequential: Json, path: str, repairs: list[Repair]) -> Json:
    functional = functional_of(sequential)
    name = path + str(sequential["config"].get("name"))
    if functional is None:
        raise _refusal(name, "cannot be replaced in a Sequential model whose input shape is not in the file")
    sentence = "Sequential model written as a Functional one, which can hold operations"
    repairs.append(Repair(name, "lambda-in-sequential", sentence))
    return functional


def _doubt_loop_variables(model: Json, known: Mapping[str, Formula], path: str) -> list[Repair]:
    """Doubt formulas with a value out of a closure, if two Lambdas compute the same of the same tensor.

    `for i in range(n): outputs.append(Lambda(lambda x: x[:, i])(x))` stores the loop's last `i` in every Lambda: a
    closure holds the variable, not its value. Nobody takes the same slice of a tensor twice on purpose.

    Issue: keras #13697.
    """
    first: dict[tuple[str, str], str] = {}
    doubts = []
    for layer in model["config"]["layers"]:
        function = known.get(layer["name"])
        if function is None or not function.from_closure:
            continue
        for node in layer["inbound_nodes"]:
            place = (function.text, repr(node["args"]))
            if first.setdefault(place, layer["name"]) != layer["name"]:
                sentence = (
                    f"computes the same, {function.text}, as {quoted(first[place])}, with a value out of a closure: if "
                    "both were made in a loop, the file holds the loop's last value in each (keras #13697), and the "
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
