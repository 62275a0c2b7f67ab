"""Sizes that an EinsumDense knew from its input and did not write into its settings."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.masks.rules import PASSED_BY_KERAS_3
from tcn_migrate.config.operations import history, is_tensor
from tcn_migrate.config.redraw import every_model, is_functional

_KEEPS_SIZES = PASSED_BY_KERAS_3 | {"Masking", "Copy"}
"""Layers and operations whose output has the shape of their only input. (Those that pass a mask keep the steps.)"""


def with_sizes_of_inputs(model: Json) -> Json:
    """The model with `known_sizes` for every EinsumDense whose input's shape is that of an input of its model.

    `.h5` files have no `build_config`.
    """

    def change(entry: Json, _path: str) -> Json:
        if not is_functional(entry):
            return entry
        shapes: dict[str, Any] = {}
        layers = [_filled(layer, shapes) for layer in entry["config"]["layers"]]
        return {**entry, "config": {**entry["config"], "layers": layers}}

    return every_model(model, change)


def _filled(layer: Json, shapes: dict[str, Any]) -> Json:
    """The layer with its sizes filled in; `shapes` has the outputs of the layers before it as far as they are known."""
    config, name = layer["config"], layer["name"]
    if layer["class_name"] == "InputLayer":
        shapes[name] = config.get("batch_shape")
        return layer
    calls = layer["inbound_nodes"]
    if len(calls) != 1 or not calls[0]["args"] or not is_tensor(calls[0]["args"][0]):
        return layer
    shape = shapes.get(history(calls[0]["args"][0])[0])
    if not isinstance(shape, list):
        return layer
    if layer["class_name"] == "EinsumDense":
        sizes = known_sizes(config.get("equation"), config.get("output_shape"), {"input_shape": shape})
        shapes[name] = [shape[0], *sizes] if isinstance(sizes, list) else None
        return {**layer, "config": {**config, "output_shape": sizes}}
    if layer["class_name"] == "SpectralNormalization":
        return layer
    if layer["class_name"] == "Dense":
        shapes[name] = [*shape[:-1], config.get("units")]
    elif layer["class_name"] in _KEEPS_SIZES:
        shapes[name] = shape
    return layer


def known_sizes(equation: Any, output_shape: Any, built: Any) -> Any:
    """`output_shape` with the sizes that the layer was built for in place of None.

    Since: Keras 3.0 takes None for a length that is not known, and what comes next (Flatten and Dense, another
        EinsumDense) cannot be built; Keras 2 asked the tensor. From 2.13 on a layer's `build_config` tells.
    Issue: "unsupported operand type(s) for *: 'int' and 'NoneType'".

    Args:
        equation: as stored, such as "abc,cd->abd".
        output_shape: as stored: the sizes behind the batch's, None for unknown ones.
        built: the layer's `build_config`, `{"input_shape": [None, 8, 3]}`, or None.
    """
    shape = built.get("input_shape") if isinstance(built, dict) else None
    if not isinstance(equation, str) or not isinstance(output_shape, list) or not isinstance(shape, list):
        return output_shape
    inputs, _, result = equation.replace(" ", "").partition("->")
    letters = inputs.partition(",")[0]
    if "." in equation or len(letters) != len(shape) or len(result) != len(output_shape) + 1:
        return output_shape
    sizes = {letter: size for letter, size in zip(letters, shape, strict=True) if isinstance(size, int)}
    return [sizes.get(letter) if size is None else size for letter, size in zip(result[1:], output_shape, strict=True)]
