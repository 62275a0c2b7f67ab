"""Operators on tensors between layers, as Keras 2 stored them, become operations of Keras 3.

`x * 2.0`, `tf.concat([a, b], -1)` or `x[:, -1, :]` on the tensors of a functional model are layers in the file:
`TFOpLambda` and `SlicingOpLambda` (TensorFlow 2.4 to 2.15), which name a function of TensorFlow, or `TensorFlowOpLayer`
(1.15 to 2.3), which holds a node of its graph. Keras 3 knows none of them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing
from tcn_migrate.config.graph.rewrite import Outputs, every_model, is_functional, replace_layers
from tcn_migrate.config.operators.backend import BACKEND
from tcn_migrate.config.operators.calls import Call, Untranslatable, outputs_of
from tcn_migrate.config.operators.functions import ALIASES, FUNCTIONS
from tcn_migrate.config.operators.nodes import NODES, Node
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import UnknownLayerError, quoted

OPERATORS = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})

_MODULES = ("compat.v1.", "compat.v2.", "__operators__.", "math.", "nn.", "linalg.")
FORMER_PARAMETERS = {
    "dim": "axis",
    "dimension": "axis",
    "reduction_indices": "axis",
    "squeeze_dims": "axis",
    "split_dim": "axis",
    "keep_dims": "keepdims",
    "filter": "filters",
    "other": "y",
}
"""What TensorFlow 1, or an operator such as `==`, calls them."""


def replace_operators(config: Json) -> tuple[Json, list[Repair]]:
    """Replace the operator layers of a model, nested models included, by operations.

    Args:
        config: a model in the normal form; it is not changed. Calls of operator layers are in the form of Keras 3, with
            tensors as `__keras_tensor__` anywhere in their arguments.

    Returns:
        The new config, and what was done, a `Repair` a layer.

    Raises:
        UnknownLayerError: a function of TensorFlow without a counterpart; names the layer, the function and why.

    Since: TensorFlow 1.15 to 2.15.
    Issue: `Unknown layer: 'TFOpLambda'`, `Unknown layer: 'SlicingOpLambda'`.
    """
    repairs: list[Repair] = []

    def change(model: Json, path: str) -> Json:
        def build(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> Outputs:
            function = stored_function(layer)
            try:
                if layer["class_name"] == "TensorFlowOpLayer":
                    outputs = _of_node(drawing, layer, arguments, name)
                else:
                    outputs = _of_function(drawing, layer, arguments, keywords, name)
            except Untranslatable as reason:
                raise UnknownLayerError(
                    f"Layer {quoted(path + name)} applies TensorFlow's {quoted(function)} to tensors: {reason}",
                    hint="docs/operators.md lists what is translated. Where the old environment is at hand, put a "
                    "layer in its place there and save again; else report the function's name, and it can be added",
                ) from None
            if not any(repair.layer == path + name for repair in repairs[-1:]):
                what = ", ".join(entry["class_name"] for entry in drawing.entries) or "nothing, for it changes nothing"
                sentence = f"{layer['class_name']} of TensorFlow's {quoted(function)} replaced by operations: {what}"
                repairs.append(Repair(path + name, "operator", sentence))
            return outputs

        return (
            replace_layers(model, lambda layer: layer["class_name"] in OPERATORS, build)
            if is_functional(model)
            else model
        )

    return every_model(config, change), repairs


def stored_function(layer: Json) -> str:
    """The name of the function or graph node that an operator layer applies, as stored."""
    if layer["class_name"] == "TensorFlowOpLayer":
        node = _node_definition(layer)
        return str(node.get("op")) if node else "?"
    return str(layer["config"].get("function"))


def _of_function(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> Outputs:
    function_name = stored_function(layer)
    of_backend = function_name.removeprefix("keras.backend.")
    if of_backend != function_name:
        function = BACKEND.get(of_backend)
    else:
        for module in _MODULES:
            function_name = function_name.removeprefix(module)
        function = FUNCTIONS.get(ALIASES.get(function_name, function_name))
    if function is None:
        raise Untranslatable("it has no counterpart that is known")
    if len(arguments) > len(function.parameters):
        raise Untranslatable("it is called with more arguments than it has")
    values: Json = dict(zip(function.parameters, arguments, strict=False))
    for key, value in keywords.items():
        parameter = key if key in function.parameters else FORMER_PARAMETERS.get(key, key)
        if value is None or key == "name":
            continue
        if parameter not in function.parameters and value is not False:
            raise Untranslatable(f"its argument {quoted(key)} is not known")
        values[parameter] = value
    return outputs_of(function, Call(drawing, name, values, half_precision=in_half_precision(layer)))


def in_half_precision(layer: Json) -> bool:
    return computed_in(layer) == "float16"


def computed_in(layer: Json) -> str:
    """The type in which a layer computes, to which Keras 2 casts its inputs of other floating types."""
    policy = layer["config"].get("dtype")
    if isinstance(policy, dict) and isinstance(policy.get("config"), dict):
        policy = policy["config"].get("name")
    return str(policy).removeprefix("mixed_") if isinstance(policy, str) else "float32"


def _node_definition(layer: Json) -> Json | None:
    """The node of TensorFlow's graph, stored as a dictionary or as the text of one."""
    stored = layer["config"].get("node_def")
    if isinstance(stored, str):
        try:
            stored = json.loads(stored)
        except (ValueError, RecursionError):
            return None
    return stored if isinstance(stored, dict) else None


def _of_node(drawing: Drawing, layer: Json, arguments: Sequence[Any], name: str) -> Outputs:
    """A node's inputs are the tensors of the call, in order, at the places where no constant stands."""
    definition = _node_definition(layer)
    if definition is None:
        raise Untranslatable("its graph node cannot be read")
    node = NODES.get(str(definition.get("op")))
    if node is None:
        raise Untranslatable("it has no counterpart that is known")
    stored = definition.get("input")
    count = len([one for one in stored if not str(one).startswith("^")]) if isinstance(stored, list) else 0
    constants = layer["config"].get("constants") or {}
    if not isinstance(constants, dict):
        raise Untranslatable("its constants cannot be read")
    tensors = list(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list) else list(arguments)
    inputs = []
    for place in range(count):
        if str(place) in constants:
            inputs.append(constants[str(place)])
        elif tensors:
            inputs.append(tensors.pop(0))
        else:
            raise Untranslatable("it has fewer inputs than its graph node says")
    if tensors:
        raise Untranslatable("it has more inputs than its graph node says")
    attributes = definition.get("attr")
    values = _named(node, inputs) | _attributes(node, attributes if isinstance(attributes, dict) else {})
    return outputs_of(FUNCTIONS[node.function], Call(drawing, name, values, half_precision=in_half_precision(layer)))


def _named(node: Node, inputs: list[Any]) -> Json:
    """Inputs by name; a name with a star takes all that the others leave."""
    named: Json = {}
    more = len(inputs) - len(node.inputs)
    if more > 0 and not any(name.startswith("*") for name in node.inputs):
        raise Untranslatable("it has more inputs than it takes")
    for name in node.inputs:
        if name.startswith("*"):
            named[name[1:]] = [inputs.pop(0) for _ in range(more + 1)]
        elif inputs:
            named[name] = inputs.pop(0)
    return named


def _attributes(node: Node, stored: Json) -> Json:
    return {
        parameter: _attribute(stored[attribute])
        for attribute, parameter in node.attributes.items()
        if attribute in stored
    } | dict(node.settings)


def _attribute(value: Any) -> Any:
    """An AttrValue of TensorFlow in protobuf's JSON: int64 as text, bytes in base64, types by name."""
    if not isinstance(value, dict) or len(value) > 1:
        raise Untranslatable("one of its attributes cannot be read")
    for kind, held in value.items():
        if kind == "i" and isinstance(held, int | str) and str(held).lstrip("-").isdecimal() and len(str(held)) < 20:
            return int(held)
        if kind == "f" and isinstance(held, int | float):
            return held
        if kind == "b" and isinstance(held, bool):
            return held
        if kind == "s" and isinstance(held, str):
            return base64.b64decode(held.encode("ascii", "replace")).decode("ascii", "replace")
        if kind == "type" and isinstance(held, str):
            return _DTYPES.get(held, held)
        if kind == "list" and isinstance(held, dict):
            return [_attribute({inner: one}) for inner, many in held.items() for one in many]
    raise Untranslatable("one of its attributes cannot be read")


_DTYPES = {
    "DT_BFLOAT16": "bfloat16",
    "DT_BOOL": "bool",
    "DT_DOUBLE": "float64",
    "DT_FLOAT": "float32",
    "DT_HALF": "float16",
    "DT_INT8": "int8",
    "DT_INT16": "int16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_UINT8": "uint8",
}
